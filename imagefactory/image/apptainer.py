"""The user's Apptainer, run as an ordinary user."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base import apptainer as programs
from imagefactory.base.errors import ConfigurationFault, ToolFailed
from imagefactory.base.ordinary import ordinary_runner, ordinary_user
from imagefactory.base.process import Done, Runner, which
from imagefactory.base.report import Report, size

SIF_MAGIC = b"SIF_MAGIC"  # at offset 32, after the launch script: sylabs/sif, pkg/sif/sif.go
MAGIC_OFFSET = 32
LAYOUT = b"\x0001\x00"  # the version of the header, behind the magic
# Where the data begin and how many bytes they are, two numbers of 8 bytes in the same header.
EXTENT = struct.Struct("<qq")
EXTENT_OFFSET = 112
FUSE = Path("/dev/fuse")
SUBUID = Path("/etc/subuid")


@dataclass(frozen=True)
class Apptainer:
    """One Apptainer program; `version` is like 1.5.3. Everything is run as the ordinary user."""

    program: Path
    version: str
    runner: Runner

    @classmethod
    def find(cls, report: Report) -> Apptainer:
        """The Apptainer of base.apptainer; raises ToolFailed if there is none."""
        program = programs.find_apptainer(report)
        version = programs.version_of(program, report).removeprefix("apptainer version ")
        return cls(program, version, ordinary_runner(report))

    def exec_argv(self, sif: Path, argv: Sequence[str], options: Sequence[str] = ()) -> list[str]:
        """The words that run `argv` inside the SIF."""
        return [str(self.program), "--quiet", "exec", *options, str(sif), *argv]

    def execute(
        self,
        sif: Path,
        argv: Sequence[str],
        *,
        timeout: float = 600,
        options: Sequence[str] = (),
        extra: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Done:
        """Run `argv` inside the SIF; raises as Runner.run does."""
        return self.runner.run(
            *self.exec_argv(sif, argv, options), timeout=timeout, extra=extra, check=check,
            cwd=Path("/"),
        )  # fmt: skip


def find_apptainer(report: Report) -> Apptainer:
    """The Apptainer to use, run as the ordinary user; raises ToolFailed if there is none."""
    return Apptainer.find(report)


def require_sif(path: Path) -> Path:
    """The path, absolute, if it is a whole SIF by its header.

    Raises ConfigurationFault if it is none, ToolFailed if its end is missing.
    """
    try:
        with path.open("rb") as stream:
            head = stream.read(EXTENT_OFFSET + EXTENT.size)
    except OSError as err:
        raise ConfigurationFault(
            f"cannot read the image: {err.strerror}", where=str(path)
        ) from None
    if head[MAGIC_OFFSET : MAGIC_OFFSET + len(SIF_MAGIC)] != SIF_MAGIC:
        raise ConfigurationFault(
            "this is no SIF", where=str(path), fix="build one: imagefactory image build RECIPE"
        )
    there, whole = path.stat().st_size, _whole_size(head)
    if there < whole:
        raise ToolFailed(
            f"the image is cut: {size(there)} of {size(whole)} are there",
            where=str(path),
            fix="pull or build it again",
        )
    return path.absolute()


def _whole_size(head: bytes) -> int:
    """How many bytes the SIF of this header has; 0 for a layout that we do not know."""
    if not head.startswith(LAYOUT, MAGIC_OFFSET + len(SIF_MAGIC)):
        return 0
    end = EXTENT_OFFSET + EXTENT.size
    return sum(EXTENT.unpack_from(head, EXTENT_OFFSET)) if len(head) == end else end


def require_fuse() -> None:
    """Raise ToolFailed unless an ordinary user may open /dev/fuse (squashfuse mounts the SIF)."""
    if not FUSE.exists():
        raise ToolFailed("there is no /dev/fuse", where=str(FUSE), fix="modprobe fuse")
    mode = FUSE.stat().st_mode
    if not (os.access(FUSE, os.R_OK | os.W_OK) if os.geteuid() else mode & stat.S_IWOTH):
        raise ToolFailed(
            "an ordinary user may not open /dev/fuse, so images cannot be mounted",
            where=f"{FUSE} (mode {stat.S_IMODE(mode):o})",
            fix="chmod 666 /dev/fuse, or: imagefactory setup",
        )


def require_build_rights() -> None:
    """Raise ToolFailed unless the ordinary user has a subuid range, or `fakeroot` is installed."""
    user = ordinary_user().pw_name
    lines = SUBUID.read_text(encoding="utf-8").splitlines() if SUBUID.exists() else []
    if not any(line.startswith(f"{user}:") for line in lines) and which("fakeroot") is None:
        raise ToolFailed(
            f"the user {user!r} has no range of subordinate user ids, so it cannot build images",
            where=str(SUBUID),
            fix=f"usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}",
        )
