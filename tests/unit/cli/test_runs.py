"""imagefactory job and imagefactory runs: what each verb calls, and what it prints."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory import run as room
from imagefactory.base.report import Report
from imagefactory.cli import main
from imagefactory.run import RunRecord
from imagefactory.run.keeping import new_record
from imagefactory.run.record import write_record
from tests.unit.run.test_description import unicore_plan

REF = "oras://registry.example.org/demo/nest:3.10"


def call(*arguments: str) -> int:
    try:
        main(arguments)
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0


@pytest.fixture
def record() -> RunRecord:
    found = new_record(unicore_plan())
    write_record(found)
    return found


@pytest.mark.parametrize("words", [(), ("show",)])
def test_runs_alone_lists_them(
    record: RunRecord, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("runs", *words) == 0
    assert capsys.readouterr().out.startswith(record.id)
    assert call("runs", *words, record.id, "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == record.id


@pytest.mark.parametrize("word", ["watch", "fetch", "cancel", "resume"])
def test_a_run_of_another_process(
    record: RunRecord,
    word: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[str] = []

    def do(run: str, _report: Report) -> RunRecord:
        asked.append(run)
        return record

    monkeypatch.setattr(room, word, do)
    assert call("runs", word, record.id) == 0
    assert asked == [record.id]
    assert capsys.readouterr().out.startswith(record.id)


def test_what_was_not_started_cannot_be_watched(
    record: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("runs", "watch", record.id) == 2
    assert "nothing to wait for" in capsys.readouterr().err


@pytest.fixture
def _planned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "plan_run", lambda *_, **__: unicore_plan())


@pytest.mark.usefixtures("_planned")
def test_job_show_prints_what_is_posted(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("job", "show", REF, "--site", "bookworm") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["Job type"] == "BATCH"
    assert shown["Tags"] == ["bookworm-balanced-random"]


@pytest.mark.usefixtures("_planned")
def test_job_show_as_in_the_paper_warns(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("job", "show", REF, "--site", "bookworm", "--as-in-paper", "3") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["Executable"] == "sbatch"
    assert "warning: UNICORE says SUCCESSFUL when sbatch has accepted" in said.err
    assert call("job", "show", REF, "--site", "b", "--as-in-paper", "3", "--mode", "raw") == 2


@pytest.mark.usefixtures("_planned")
def test_job_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("job", "write", REF, "--site", "bookworm", "--mode", "raw", "--to", str(tmp_path))
    assert call(*words) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(path.is_file() for path in written)
    assert tmp_path / "files" / "slurm.txt" in written


@pytest.mark.usefixtures("_planned")
def test_a_detached_run_says_how_to_go_on(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "execute", lambda *_, **__: record)
    assert call("run", REF, "--site", "bookworm", "--via", "unicore", "--detach") == 0
    assert f"imagefactory runs watch {record.id}" in capsys.readouterr().out
