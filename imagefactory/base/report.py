"""What a user sees while work is going on: steps, bytes, warnings, commands.

Everything here goes to standard error; standard output is kept for results (text or JSON).
"""

from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO


class Report(Protocol):
    """Where work tells how far it is. Rooms take one as an argument and never print."""

    def step(self, title: str) -> AbstractContextManager[None]:
        """A named piece of work: a context manager that times it."""

    def note(self, text: str) -> None:
        """One line that a user should read."""

    def warn(self, text: str) -> None:
        """Something that does not stop the work but may spoil it."""

    def command(self, argv: Sequence[str]) -> None:
        """A program is about to be started (shown with -v)."""

    def progress(self, what: str, done: float, total: float | None = None, unit: str = "B") -> None:
        """How much of `what` is done; may be called often, is shown seldom."""


class Silent:
    """Keeps warnings and commands, shows nothing: for library use and tests."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.commands: list[list[str]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        yield

    def note(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def command(self, argv: Sequence[str]) -> None:
        self.commands.append(list(argv))

    def progress(self, what: str, done: float, total: float | None = None, unit: str = "B") -> None:
        pass


class Console:
    """Lines on a terminal or in a CI log; progress overwrites one line on a terminal."""

    def __init__(self, verbose: bool = False, stream: TextIO | None = None) -> None:
        self._verbose = verbose
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._folds = "GITLAB_CI" in os.environ
        self._depth = 0
        self._shown = ("", 0.0)  # what was last shown of progress, and when
        self._dirty = False

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        fold = f"step_{int(time.time() * 1000)}_{self._depth}"
        started = time.monotonic()
        self._fold("start", fold, title)
        self._line(f"{'  ' * self._depth}> {title}")
        self._depth += 1
        ending = "stopped after"
        try:
            yield
            ending = "done in"
        finally:
            self._depth -= 1
            seconds = time.monotonic() - started
            self._line(f"{'  ' * self._depth}  {title}: {ending} {clock(seconds)}")
            self._fold("end", fold, "")

    def note(self, text: str) -> None:
        self._line(f"{'  ' * self._depth}{text}")

    def warn(self, text: str) -> None:
        self._line(f"{'  ' * self._depth}warning: {text}")

    def command(self, argv: Sequence[str]) -> None:
        if self._verbose:
            self._line(f"{'  ' * self._depth}+ {shlex.join(argv)}")

    def progress(self, what: str, done: float, total: float | None = None, unit: str = "B") -> None:
        now = time.monotonic()
        last, when = self._shown
        if what != last and not self._live:
            self._shown = (what, now)  # a log wants no line for what is over in a moment
            return
        finished = total is not None and done >= total
        if now - when < (0.2 if self._live else 10.0) and not (finished and self._live):
            return
        self._shown = (what, now)
        amount = size(done) if unit == "B" else f"{done:g} {unit}"
        if total:
            whole = size(total) if unit == "B" else f"{total:g} {unit}"
            amount = f"{amount} of {whole} ({100 * done / total:.0f} %)"
        text = f"{'  ' * self._depth}{what}: {amount}"
        if self._live:
            self._stream.write(f"\r\x1b[K{text}")
            self._stream.flush()
            self._dirty = True
        else:
            self._line(text)

    def _line(self, text: str) -> None:
        if self._dirty:
            self._stream.write("\r\x1b[K")
            self._dirty = False
        self._stream.write(text + "\n")
        self._stream.flush()

    def _fold(self, word: str, name: str, title: str) -> None:
        # GitLab's collapsible sections: docs.gitlab.com/ci/jobs/job_logs.
        if self._folds:
            self._stream.write(f"\x1b[0Ksection_{word}:{int(time.time())}:{name}\r\x1b[0K{title}\n")


@contextmanager
def ticking(report: Report, what: str, usual: float) -> Iterator[None]:
    """Show the time that passes against the usual one, for a program that says nothing itself."""
    started = time.monotonic()
    stop = threading.Event()

    def tick() -> None:
        while not stop.wait(1):
            passed = round(time.monotonic() - started)
            report.progress(f"{what} (usually {usual:.0f} s)", passed, unit="s")

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        stop.set()
        ticker.join()


def size(count: float) -> str:
    """Bytes for people: 1.5 MB. Powers of 1000, as disks and networks are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def clock(seconds: float) -> str:
    """Seconds for people: 0.4 s, 12 s, 3 min 20 s."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
