"""A login node that runs nothing: a local folder, and outcomes that a test decides."""

from __future__ import annotations

import itertools
import re
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from imagefactory.base.errors import ToolFailed
from imagefactory.sandbox.unicore.login import BATCH, FileFacts, Seen, Watch
from imagefactory.sandbox.unicore.scripts import EXIT_FILE, parameter

NAMES = {"PRE_0": "pre", "POST_0": "post"}


@dataclass(frozen=True)
class Outcome:
    """How a step ends: after so many looks, with that exit code (None: it is lost).

    A batch job waits in the queue for the first `queued` of them.
    """

    exit_code: int | None = 0
    looks: int = 1
    queued: int = 0


Behaviour = Callable[[str, str, Path], Outcome]


def succeed(_step: str, _command: str, _folder: Path) -> Outcome:
    """Every step ends well."""
    return Outcome()


@dataclass
class _Process:
    outcome: Outcome
    exit_file: Path
    queue: str | None
    looks: int = 0
    ended: bool = False


@dataclass
class FakeLogin:
    """`behaviour(step, command, folder)` says how "pre", "main" or "post" ends.

    It is called when the step starts, and may write files into `folder`, the job's folder.
    `started` lists (step, command) in order, `batch_jobs` the ids that "Slurm" gave out,
    `cancelled` what was aborted. With `refuses` "Slurm" takes no job and says that; files whose
    names are in `unreadable` may not be read.
    """

    root: Path
    behaviour: Behaviour = succeed
    user: str = "scientist"
    group: str = "scientist"
    started: list[tuple[str, str]] = field(default_factory=list)
    batch_jobs: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    refuses: str = ""
    unreadable: set[str] = field(default_factory=set)
    _processes: dict[str, _Process] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(11))
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def home(self) -> str:
        return f"{self.root}/home/"

    @property
    def folder(self) -> str:
        return f"{self.root}/jobs/"

    def make_folder(self, path: str) -> None:
        Path(path).mkdir(parents=True, exist_ok=True)

    def start_command(self, script: str, folder: str) -> None:
        self.make_folder(folder)
        found = re.search(r"\{ UC_EXECUTABLE=\"(.*)\"; export UC_EXECUTABLE\n", script, re.DOTALL)
        step = re.search(rf"(\w+_\d+)_{EXIT_FILE}", script)
        assert found  # noqa: S101 - our own scripts
        assert step  # noqa: S101
        for name in ("stdout", "stderr"):
            (Path(folder) / name).touch()
        exit_file = Path(folder) / f"{step[1]}_{EXIT_FILE}"
        self._begin(NAMES[step[1]], found[1], Path(folder).parent, exit_file)

    def start_process(self, message: str, folder: str) -> int:
        return int(self._main(message, folder, None))

    def submit(self, message: str, folder: str) -> str:
        if self.refuses:
            raise ToolFailed(self.refuses)
        number = self._main(message, folder, parameter(message, "QUEUE") or "batch")
        with self._lock:
            self.batch_jobs.append(number)
        return number

    def look(self, watches: Sequence[Watch]) -> dict[str, Seen]:
        with self._lock:
            return {watch.key: self._look(watch) for watch in watches}

    def cancel(self, job: str) -> None:
        with self._lock:
            self.cancelled.append(job)
            self._processes[job].ended = True

    def terminate(self, pid: int) -> None:
        self.cancel(str(pid))

    def details(self, job: str) -> str:
        process = self._processes[job]
        state = "COMPLETED" if process.ended else "RUNNING"
        return f"JobId={job} JobState={state} Partition={process.queue} NumNodes=1"

    def free_bytes(self, path: str) -> int:
        return shutil.disk_usage(path).free

    def stat(self, path: str) -> FileFacts | None:
        place = Path(path)
        return self._facts(place) if place.exists() else None

    def listing(self, path: str) -> dict[str, FileFacts]:
        return {item.name: self._facts(item) for item in sorted(Path(path).iterdir())}

    def read(self, path: str, first: int, count: int) -> Iterator[bytes]:
        if Path(path).name in self.unreadable:
            raise ToolFailed("Permission denied", where=path)
        content = Path(path).read_bytes()[first : first + count]
        half = max(len(content) // 2, 1)
        yield from (content[start : start + half] for start in range(0, len(content), half))

    def write(self, path: str, content: bytes) -> None:
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(0o640)

    def remove(self, path: str) -> None:
        place = Path(path)
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)

    def rename(self, source: str, target: str) -> None:
        Path(source).rename(target)

    def copy(self, source: str, target: str) -> None:
        shutil.copy(source, target)

    def _main(self, message: str, folder: str, queue: str | None) -> str:
        for name in (parameter(message, "STDOUT"), parameter(message, "STDERR")):
            (Path(folder) / str(name)).touch()
        (Path(folder) / f"UNICORE_Job_{len(self.started):06}").write_text(message)
        last = message.split(f"rm -f ${{UC_OUTPUT_DIRECTORY}}/{EXIT_FILE}\n")[-1]
        command = last.split("\n\necho $? >")[0]
        return self._begin("main", command, Path(folder), Path(folder) / EXIT_FILE, queue)

    def _begin(
        self, step: str, command: str, folder: Path, exit_file: Path, queue: str | None = None
    ) -> str:
        outcome = self.behaviour(step, command, folder)
        with self._lock:
            number = str(next(self._numbers))
            self.started.append((step, command))
            process = _Process(outcome, exit_file, queue)
            self._processes[number] = process
            self._processes[str(exit_file)] = process
        return number

    def _look(self, watch: Watch) -> Seen:
        process = self._processes[watch.exit_file]
        process.looks += 1
        if not process.ended and process.looks >= process.outcome.looks:
            process.ended = True
            if process.outcome.exit_code is not None and process.exit_file.parent.is_dir():
                process.exit_file.write_text(f"{process.outcome.exit_code}\n", encoding="ascii")
        code = None
        if process.ended and process.exit_file.is_file():
            code = int(process.exit_file.read_text(encoding="ascii"))
        waits = process.queue is not None and process.looks <= process.outcome.queued
        state = None if process.ended else "QUEUED" if waits else "RUNNING"
        return Seen(state, code, process.queue if watch.kind == BATCH else None, pid=4711)

    def _facts(self, place: Path) -> FileFacts:
        found = place.stat()
        letters = "".join(
            letter if found.st_mode & (1 << (8 - position)) else "-"
            for position, letter in enumerate("rwxrwxrwx")
        )
        modified = datetime.fromtimestamp(found.st_mtime, UTC)
        return FileFacts(place.is_dir(), found.st_size, letters, self.user, self.group, modified)
