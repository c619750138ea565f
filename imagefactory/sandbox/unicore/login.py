"""What a UNICORE/X has its TSI do on a login node: the one door from the double to a site."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class FileFacts:
    """A file or folder of a site. `permissions` as ls writes them, without the first letter."""

    is_folder: bool
    size: int
    permissions: str
    owner: str
    group: str
    modified: datetime


@dataclass(frozen=True)
class Watch:
    """A process to be looked at: a batch job by its `id`, or the one that `pid_file` names.

    `id` is Slurm's job id or, for a job on the login node, a process id.
    """

    key: str
    kind: str
    id: str
    pid_file: str
    exit_file: str


BATCH, PROCESS, BACKGROUND = "batch", "process", "background"


@dataclass(frozen=True)
class Seen:
    """One look. `state` is QUEUED, RUNNING, or None where it is gone; `exit_code` None: no file.

    `queue` is the partition of a batch job; `pid` the number in a pid file.
    """

    state: str | None
    exit_code: int | None
    queue: str | None = None
    pid: int | None = None


class Login(Protocol):
    """Files, processes and Slurm of one site. Paths are absolute; folders end with `/`.

    Every call may raise a FactoryError: the site is away, or refused.
    """

    @property
    def user(self) -> str: ...

    @property
    def group(self) -> str: ...

    @property
    def home(self) -> str: ...

    @property
    def folder(self) -> str:
        """Where the jobs' folders are made."""

    def make_folder(self, path: str) -> None: ...

    def start_command(self, script: str, folder: str) -> None:
        """Run `script` with bash in the background; `folder` for its outcome is made."""

    def start_process(self, message: str, folder: str) -> int:
        """Run a message on the login node in a session of its own; returns its process id."""

    def submit(self, message: str, folder: str) -> str:
        """Give a message to sbatch; returns Slurm's id. Raises ToolFailed with sbatch's words."""

    def look(self, watches: Sequence[Watch]) -> dict[str, Seen]:
        """Look at all of them at once; what could not be asked is missing."""

    def cancel(self, job: str) -> None: ...

    def terminate(self, pid: int) -> None: ...

    def details(self, job: str) -> str:
        """What `scontrol show jobid` says."""

    def free_bytes(self, path: str) -> int: ...

    def stat(self, path: str) -> FileFacts | None: ...

    def listing(self, path: str) -> dict[str, FileFacts]:
        """What is in a folder, by name."""

    def read(self, path: str, first: int, count: int) -> Iterator[bytes]:
        """`count` bytes from the byte `first` on. Raises ToolFailed if it may not be read."""

    def write(self, path: str, content: bytes) -> None:
        """Write a file with mode 640; the folders above are made."""

    def remove(self, path: str) -> None: ...

    def rename(self, source: str, target: str) -> None: ...

    def copy(self, source: str, target: str) -> None: ...
