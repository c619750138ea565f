"""The one door to programs: argv, explicit environment, always a timeout, the tail in the error."""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from imagefactory.base.errors import ToolFailed
from imagefactory.base.report import Report, Silent

TAIL_LINES = 15


@dataclass(frozen=True)
class Done:
    """A program that ended: its two streams as text, and how many seconds it took."""

    argv: tuple[str, ...]
    status: int
    output: str
    errors: str
    seconds: float

    @property
    def tail(self) -> str:
        """The last lines that it wrote, for an error text."""
        text = self.errors if self.errors.strip() else self.output
        return "\n".join(text.strip().splitlines()[-TAIL_LINES:])


@dataclass(frozen=True)
class Runner:
    """Starts programs, as the present user or, where that is root, as another `user`.

    `environment` is the whole environment of a program: nothing else is inherited.
    """

    report: Report = field(default_factory=Silent)
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    user: str | None = None

    def run(
        self,
        *argv: str | Path,
        timeout: float,
        cwd: Path | None = None,
        extra: Mapping[str, str] | None = None,
        stdin: str | Path | None = None,
        output_file: Path | None = None,
        log: Path | None = None,
        on_line: Callable[[str], None] | None = None,
        check: bool = True,
    ) -> Done:
        """Run a program to its end.

        `stdin` is a text, or a file of any bytes. Both streams are read line by line: kept,
        written to `log` where given, and given to `on_line`; with `output_file` standard output
        goes there as it is. Raises ToolFailed when the program is missing, takes more than
        `timeout` seconds, or (with `check`) ends with a status other than 0.
        """
        words = [str(word) for word in argv]
        self.report.command(words)
        started = time.monotonic()
        output, errors = _Stream(log, on_line), _Stream(log, on_line)
        process = self._start(words, cwd, extra, stdin, output_file)
        with _reading((output, process.stdout), (errors, process.stderr)):
            status = _wait(process, stdin, timeout)
        if status is None:
            raise ToolFailed(
                f"{words[0]} was stopped: it took more than {timeout:g} s",
                where=shlex.join(words),
                detail="\n".join(errors.lines[-TAIL_LINES:]),
            )
        done = Done(tuple(words), status, output.text, errors.text, time.monotonic() - started)
        if check and status:
            raise ToolFailed(
                f"{words[0]} ended with exit status {status}",
                where=shlex.join(words),
                fix=f"read the whole log: {log}" if log else "",
                detail=done.tail,
            )
        return done

    def _start(
        self,
        words: list[str],
        cwd: Path | None,
        extra: Mapping[str, str] | None,
        stdin: str | Path | None,
        output_file: Path | None,
    ) -> subprocess.Popen[str]:
        user, group, groups = _identity(self.user)
        try:
            with ExitStack() as files:
                return subprocess.Popen(
                    words,
                    cwd=cwd,
                    env={**self.environment, **(extra or {})},
                    stdin=_source(stdin, files),
                    stdout=_sink(output_file, files),
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    start_new_session=True,
                    user=user,
                    group=group,
                    extra_groups=groups,
                )
        except FileNotFoundError:
            if cwd is not None and not cwd.is_dir():
                raise ToolFailed("the folder to work in is missing", where=str(cwd)) from None
            raise ToolFailed(
                f"the program {words[0]!r} is not installed", fix="imagefactory setup"
            ) from None
        except PermissionError as err:
            where = str(cwd or words[0])
            raise ToolFailed(f"cannot start {words[0]!r}: {err.strerror}", where=where) from None


def _source(stdin: str | Path | None, files: ExitStack) -> IO[bytes] | int:
    if stdin is None:
        return subprocess.DEVNULL
    return files.enter_context(stdin.open("rb")) if isinstance(stdin, Path) else subprocess.PIPE


def _sink(output_file: Path | None, files: ExitStack) -> IO[bytes] | int:
    return subprocess.PIPE if output_file is None else files.enter_context(output_file.open("wb"))


@dataclass
class _Stream:
    log: Path | None
    on_line: Callable[[str], None] | None
    # Bounded: a program that prints without end must not fill our memory; the log has it all.
    lines: list[str] = field(default_factory=list)
    _kept: deque[str] = field(default_factory=lambda: deque(maxlen=200_000))

    def read(self, pipe: IO[str] | None) -> None:
        if pipe is None:  # it goes to a file
            return
        sink = self.log.open("a", encoding="utf-8") if self.log else None
        try:
            for line in pipe:
                self._kept.append(line)
                if sink:
                    sink.write(line)
                    sink.flush()
                if self.on_line:
                    self.on_line(line.rstrip("\n"))
        finally:
            pipe.close()
            if sink:
                sink.close()
            self.lines = [line.rstrip("\n") for line in self._kept]

    @property
    def text(self) -> str:
        return "".join(self._kept)


@contextmanager
def _reading(*streams: tuple[_Stream, IO[str] | None]) -> Iterator[None]:
    """Read the streams in the background; what a grandchild holds open is not waited for."""
    readers = [
        threading.Thread(target=one.read, args=(pipe,), daemon=True) for one, pipe in streams
    ]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        for reader in readers:
            reader.join(timeout=5)


def _wait(process: subprocess.Popen[str], stdin: str | Path | None, timeout: float) -> int | None:
    """The exit status, or None where the program had to be stopped after `timeout` seconds."""
    try:
        if isinstance(stdin, str):
            _feed(process, stdin)
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _end(process)


def _feed(process: subprocess.Popen[str], stdin: str) -> None:
    if process.stdin is None:
        return
    # A program that ends before it read all breaks the pipe; its status tells why.
    with suppress(BrokenPipeError):
        process.stdin.write(stdin)
    with suppress(BrokenPipeError):
        process.stdin.close()


def _end(process: subprocess.Popen[str]) -> None:
    """Stop the program and what it started, if it still runs (timeout, Ctrl-C)."""
    if process.poll() is not None:
        return
    for number in (15, 9):
        try:
            os.killpg(process.pid, number)
            process.wait(10)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
        break


def _identity(user: str | None) -> tuple[int | None, int | None, list[int] | None]:
    """User id, group id and further groups to start a program with; all None for our own."""
    if user is None:
        return None, None, None
    import pwd

    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid, os.getgrouplist(user, entry.pw_gid)


def which(program: str) -> Path | None:
    """The program's place on PATH, or None."""
    from shutil import which as find

    found = find(program)
    return Path(found) if found else None


def quoted(argv: Sequence[str]) -> str:
    """One shell line for people to read or copy."""
    return shlex.join(argv)
