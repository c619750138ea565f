"""Reading files out of a SIF without mounting or running it: no root, no Apptainer, any processor.

Layout: sylabs/sif v2, pkg/sif (header of 128 bytes, descriptors of 585). Needs unsquashfs, which
comes with mksquashfs in squashfs-tools, and so is where images are built.
"""

from __future__ import annotations

import re
import struct
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import ConfigurationFault
from imagefactory.base.process import Runner

_HEADER = struct.Struct("<32s10s3s3s16s8q")
_DESCRIPTOR = struct.Struct("<i?III3q4q128s384s")
_PARTITION = struct.Struct("<ii3s")
_PARTITION_TYPE = 0x4004
_SQUASHFS, _ENCRYPTED = 1, 4
_SYSTEM = 2
_ARCHITECTURES = {
    "01": "386", "02": "amd64", "03": "arm", "04": "arm64", "05": "ppc64", "06": "ppc64le",
    "11": "s390x", "12": "riscv64",
}  # fmt: skip
# `-rwxr-xr-x root/root  1234 2026-01-01 00:00 squashfs-root/usr/bin/x -> y`
_ENTRY = re.compile(
    r"(?P<kind>[-dlbcps])\S{9}\s+\S+\s+(?P<size>\d+|\d+,\s*\d+) \S+ \S+ squashfs-root(?P<path>/.*)"
)
_SECONDS = 120


@dataclass(frozen=True)
class Partition:
    """Where the root file system is in the SIF, in bytes."""

    offset: int
    size: int
    architecture: str


@dataclass(frozen=True)
class Entry:
    """One file of the image; `target` is that of a link, else empty."""

    path: str
    size: int
    target: str = ""


def partition_of(sif: Path) -> Partition:
    """The root file system of a SIF.

    Raises ConfigurationFault if it is no SIF, or is encrypted, ToolFailed if it is cut.
    """
    from imagefactory.image import require_sif  # the room of images is slow to import

    path = require_sif(sif)
    with path.open("rb") as stream:
        head = stream.read(_HEADER.size)
        if len(head) < _HEADER.size:
            raise _odd(path, "its header is not whole")
        _, _, _, _, _, _, _, _, count, offset, *_ = _HEADER.unpack(head)
        if not (0 <= count <= 1000 and offset >= _HEADER.size):
            raise _odd(path, "its header makes no sense")
        stream.seek(offset)
        table = stream.read(_DESCRIPTOR.size * count)
    for start in range(0, len(table) - _DESCRIPTOR.size + 1, _DESCRIPTOR.size):
        kind, used, _, _, _, begin, size, *_, extra = _DESCRIPTOR.unpack_from(table, start)
        if not used or kind != _PARTITION_TYPE:
            continue
        system, role, code = _PARTITION.unpack_from(extra)
        if role != _SYSTEM:
            continue
        if system == _ENCRYPTED:
            raise _odd(path, "its root file system is encrypted")
        if system != _SQUASHFS:
            raise _odd(path, "its root file system is no squashfs")
        word = code.rstrip(b"\0").decode("ascii", "replace")
        return Partition(begin, size, _ARCHITECTURES.get(word, f"unknown ({word})"))
    raise _odd(path, "there is no root file system in it")


def _odd(path: Path, why: str) -> ConfigurationFault:
    return ConfigurationFault(
        f"the image cannot be read: {why}", where=str(path), fix="pull or build it again"
    )


def list_files(sif: Path, partition: Partition, runner: Runner) -> list[Entry]:
    """Every file and link of the image, in the order of their paths."""
    with tempfile.TemporaryDirectory(prefix="imagefactory-") as folder:
        listing = Path(folder) / "list"
        runner.run(
            "unsquashfs", "-ll", "-o", str(partition.offset), sif,
            timeout=_SECONDS, output_file=listing,
        )  # fmt: skip
        return parse_listing(listing.read_text("utf-8", "replace"))


def parse_listing(text: str) -> list[Entry]:
    """Files and links in what `unsquashfs -ll` printed."""
    found = []
    for line in text.splitlines():
        match = _ENTRY.fullmatch(line)
        if match is None or match["kind"] not in "-l":
            continue
        path, _, target = match["path"].partition(" -> ") if match["kind"] == "l" else (
            match["path"], "", "",
        )  # fmt: skip
        found.append(Entry(path, int(match["size"]), target))
    return found


def read_files(
    sif: Path, partition: Partition, paths: Sequence[str], runner: Runner, limit: int = 200_000_000
) -> dict[str, bytes]:
    """The contents of some files, by path; one above `limit` bytes is left out."""
    if not paths:
        return {}
    with tempfile.TemporaryDirectory(prefix="imagefactory-") as folder:
        root = Path(folder) / "root"
        runner.run(
            "unsquashfs", "-q", "-n", "-no-xattrs", "-no-wildcards", "-o", str(partition.offset),
            "-d", root, sif, *paths,
            timeout=_SECONDS,
        )  # fmt: skip
        return {
            path: place.read_bytes()
            for path in paths
            if (place := root / path.lstrip("/")).is_file() and place.stat().st_size <= limit
        }


Reader = Callable[[Sequence[str]], dict[str, bytes]]
