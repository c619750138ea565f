"""Files on their way: packed as tar here, and unpacked without trusting what came."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from imagefactory.base.errors import ToolFailed, TrustRefused

LIMIT_BYTES = 8_000_000_000
LIMIT_FILES = 100_000


def pack(contents: Mapping[str, str | Path], to: Path) -> None:
    """Write a tar file of texts and files, under the relative names given."""
    with tarfile.open(to, "w") as tar:
        for name, content in contents.items():
            data = content.read_bytes() if isinstance(content, Path) else content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(data))


def unpack(parcel: Path, to: Path, limit: int = LIMIT_BYTES) -> list[Path]:
    """Unpack files and folders below `to`; returns the files.

    Raises TrustRefused for names that climb out, links and devices, ToolFailed for a cut archive
    or one with more than `limit` bytes or LIMIT_FILES members.
    """
    try:
        with tarfile.open(parcel, "r:") as tar:
            members = tar.getmembers()
            _refuse_bad(members, parcel, limit)
            for member in members:
                _write(tar, member, to / member.name)
    except (tarfile.TarError, EOFError) as err:
        raise ToolFailed(f"the files from the site came cut ({err})", fix="try again") from None
    return sorted(to / member.name for member in members if member.isfile())


def _refuse_bad(members: list[tarfile.TarInfo], parcel: Path, limit: int) -> None:
    if len(members) > LIMIT_FILES or sum(member.size for member in members) > limit:
        raise ToolFailed("the site sent more files than a run can have", where=str(parcel))
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
            raise TrustRefused(f"the site sent a file that we do not take: {member.name!r}")


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    # Not extractall(filter="data"): Python 3.11.2, Debian 12's, does not have it.
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    source = tar.extractfile(member)
    if source is not None:
        with path.open("wb") as sink:
            shutil.copyfileobj(source, sink)
