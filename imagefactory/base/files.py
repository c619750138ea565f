"""Folders of ours, and files that are whole or not there."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imagefactory.base.errors import ToolFailed
from imagefactory.base.values import Digest

CHUNK = 1 << 20


def cache_folder() -> Path:
    """What took minutes and can be made again: tools, base roots, built images, downloads.

    IMAGEFACTORY_CACHE, else the user's XDG cache folder.
    """
    return _folder("IMAGEFACTORY_CACHE", "XDG_CACHE_HOME", ".cache")


def data_folder() -> Path:
    """What the user keeps: runs, reports, the sandbox's state. IMAGEFACTORY_DATA overrides."""
    return _folder("IMAGEFACTORY_DATA", "XDG_DATA_HOME", ".local/share")


def settings_folder() -> Path:
    """What the user writes: site records, registry settings. IMAGEFACTORY_SETTINGS overrides."""
    return _folder("IMAGEFACTORY_SETTINGS", "XDG_CONFIG_HOME", ".config")


def _folder(own: str, general: str, at_home: str) -> Path:
    if os.environ.get(own):
        return Path(os.environ[own]).expanduser().absolute()
    base = os.environ.get(general)
    return (Path(base) if base else Path.home() / at_home) / "imagefactory"


@contextmanager
def whole_file(path: Path, mode: int = 0o644) -> Iterator[Path]:
    """A path to write to; it gets its final name only when the block ends well.

    The temporary file stands in the same folder, so that the rename is atomic; on any error
    it is removed and what stood at `path` before is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a text file, whole or not at all."""
    with whole_file(path, mode) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, document: object, mode: int = 0o644) -> None:
    """Write a JSON file, whole or not at all, keys in the order given."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n", mode)


def digest_of(path: Path, on_bytes: Callable[[int], None] | None = None) -> Digest:
    """The sha256 of a file's bytes; `on_bytes` gets how many were read so far."""
    hasher = hashlib.sha256()
    read = 0
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            hasher.update(chunk)
            read += len(chunk)
            if on_bytes:
                on_bytes(read)
    return Digest(f"sha256:{hasher.hexdigest()}")


def digest_of_text(text: str) -> Digest:
    """The sha256 of a text as UTF-8."""
    return Digest(f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")


def require_space(folder: Path, needed: int) -> None:
    """Raise ToolFailed unless `needed` bytes are free where `folder` is (or will be)."""
    from imagefactory.base.report import size

    place = folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < needed:
        raise ToolFailed(
            f"the disk is too full: {size(needed)} are needed, {size(free)} are free",
            where=str(folder),
            fix="free some room, or choose another folder",
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file `path` during the block; the kernel frees it if we die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
