"""The door to programs, with real programs."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Runner
from imagefactory.base.report import Silent


@pytest.fixture
def runner() -> Runner:
    return Runner(Silent(), {"PATH": "/usr/bin:/bin", "MARK": "seen"})


def test_output_status_and_environment(runner: Runner) -> None:
    done = runner.run("sh", "-c", "echo $MARK$HOME; echo oops >&2", timeout=10)
    assert (done.status, done.output, done.errors) == (0, "seen\n", "oops\n")


def test_a_failure_carries_the_tail_and_the_log(runner: Runner, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ToolFailed) as caught:
        runner.run("sh", "-c", "seq 100; echo last >&2; exit 3", timeout=10, log=log)
    assert "exit status 3" in str(caught.value)
    assert "last" in caught.value.detail
    assert str(log) in str(caught.value)
    assert "100\n" in log.read_text()


def test_a_program_that_is_not_there(runner: Runner) -> None:
    with pytest.raises(ToolFailed, match="'nosuchprogram' is not installed"):
        runner.run("nosuchprogram", timeout=10)


def test_a_folder_that_is_not_there(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="folder to work in is missing"):
        runner.run("true", timeout=10, cwd=tmp_path / "none")


def test_a_timeout_ends_the_children_too(runner: Runner, tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"(sleep 2; touch {alive}) & wait"
    with pytest.raises(ToolFailed, match="it took more than"):
        runner.run("sh", "-c", script, timeout=0.5)
    Runner(Silent()).run("sleep", "2.5", timeout=10)
    assert not alive.exists()


def test_streams_by_line_from_text_and_to_file(runner: Runner, tmp_path: Path) -> None:
    lines: list[str] = []
    runner.run("cat", timeout=10, stdin="a\nb\n", on_line=lines.append)
    assert lines == ["a", "b"]
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"\x00\xff\n\x80" * 1000)
    runner.run("cat", timeout=10, stdin=source, output_file=target)
    assert target.read_bytes() == source.read_bytes()


def test_a_program_that_does_not_read_its_input(runner: Runner) -> None:
    assert runner.run("true", timeout=10, stdin="x" * 1_000_000).status == 0
