"""What a user sees while work goes on."""

from __future__ import annotations

import io

import pytest

from imagefactory.base.report import Console, clock, size


def lines(verbose: bool = False) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(verbose, stream), stream


def test_steps_are_named_and_timed() -> None:
    console, stream = lines()
    with console.step("build"), console.step("fetch"):
        console.note("two files")
    text = stream.getvalue()
    assert "> build\n  > fetch\n    two files\n" in text
    assert "fetch: done in 0.0 s" in text


def test_a_step_that_fails_is_not_called_done() -> None:
    console, stream = lines()
    with pytest.raises(RuntimeError), console.step("build"):
        raise RuntimeError
    assert "build: stopped after" in stream.getvalue()
    assert "done" not in stream.getvalue()


def test_commands_are_shown_only_when_asked() -> None:
    quiet, quiet_stream = lines()
    loud, loud_stream = lines(verbose=True)
    for console in (quiet, loud):
        console.command(["echo", "a b"])
    assert quiet_stream.getvalue() == ""
    assert loud_stream.getvalue() == "+ echo 'a b'\n"


def test_gitlab_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    console, stream = lines()
    with console.step("build"):
        pass
    assert "section_start:" in stream.getvalue()
    assert "section_end:" in stream.getvalue()


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"),
    (194_000_000, "194.0 MB"), (2.5e12, "2.5 TB")])  # fmt: skip
def test_bytes_for_people(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.44, "0.4 s"), (12.3, "12 s"), (200, "3 min 20 s")]
)
def test_seconds_for_people(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_progress_in_a_log_is_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    console, stream = lines()
    now = iter([0.0, 5.0, 11.0, 12.0])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    for done in (1, 50, 80, 100):
        console.progress("pull", done, 100)
    assert stream.getvalue() == "pull: 80 B of 100 B (80 %)\n"


def test_progress_on_a_terminal_overwrites_its_line() -> None:
    stream = io.StringIO()
    stream.isatty = lambda: True  # type: ignore[method-assign]
    console = Console(False, stream)
    console.progress("pull", 100, 100)
    console.note("done")
    assert stream.getvalue() == "\r\x1b[Kpull: 100 B of 100 B (100 %)\r\x1b[Kdone\n"
