"""imagefactory release: list, show, diff, with their exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory.cli import main
from tests.unit.release.locks import document, node


def call(*arguments: str) -> int:
    try:
        main(arguments)
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0


@pytest.fixture
def locks(tmp_path: Path) -> tuple[str, str]:
    """Two locks as files: zlib was upgraded, nest follows."""
    paths = []
    for version in ("1.3", "1.4"):
        path = tmp_path / f"zlib-{version}.lock"
        path.write_text(json.dumps(document(node("nest@3.8", node(f"zlib@{version}")))))
        paths.append(str(path))
    return paths[0], paths[1]


def test_diff(locks: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("release", "diff", *locks) == 0
    assert "zlib  1.3 -> 1.4" in capsys.readouterr().out
    assert call("release", "diff", *locks, "--format", "markdown") == 0
    assert "- **zlib** 1.3 → 1.4" in capsys.readouterr().out


def test_diff_as_json(locks: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("release", "diff", *locks, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["names"] == list(locks)
    assert found["changes"][0]["kind"] == "upgraded"
    assert found["changes"][0]["differences"] == [
        {"kind": "upgraded", "what": "version", "old": "1.3", "new": "1.4"}
    ]
    assert [one["because"] for one in found["rebuilds"]] == [["zlib@1.4"], []]
    assert found["drift"] == []


def test_show(locks: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call("release", "show", locks[0]) == 0
    assert "nest@3.8" in capsys.readouterr().out
    assert call("release", "show", locks[0], "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["roots"][0]["name"] == "nest"


def test_a_damaged_lock(locks: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    Path(locks[1]).write_text(Path(locks[1]).read_text().replace("1.4", "1.5", 1))
    assert call("release", "diff", *locks) == 4
    assert "edited by hand" in capsys.readouterr().err


def test_an_unknown_release(
    release_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(release_folder.parents[1])
    assert call("release", "show", "esd-99.10") == 2
    assert "did you mean 'esd-99.01'?" in capsys.readouterr().err


def test_list(
    release_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(release_folder.parents[1])
    assert call("release", "list") == 0
    line = capsys.readouterr().out.split()
    assert line[:3] == ["esd-99.01", "drifted", "Spack"]
    monkeypatch.chdir(release_folder)
    assert call("release", "list") == 0
    assert "there is no release" in capsys.readouterr().out


def test_a_release_without_a_lock(
    release_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(release_folder.parents[1])
    assert call("release", "show", "esd-99.01") == 5
    assert "fix: imagefactory release lock esd-99.01" in capsys.readouterr().err


def test_a_lock_that_drifted_is_compared_all_the_same_and_the_exit_status_says_so(
    release_folder: Path,
    locks: tuple[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (release_folder / "spack.lock").write_text(Path(locks[0]).read_text())
    monkeypatch.chdir(release_folder.parents[1])
    assert call("release", "diff", "esd-99.01", locks[1]) == 5
    captured = capsys.readouterr()
    assert "zlib  1.3 -> 1.4" in captured.out
    assert "recipes   v1 (111111111111) -> unknown" in captured.out
    assert "warning: " in captured.err
    assert "nothing says what the lock was made from" in captured.err
    assert call("release", "show", "esd-99.01", "--json") == 5
    found = json.loads(capsys.readouterr().out)
    assert len(found["drift"]) == 1
    assert found["origins"]["recipes"] == "v1 (111111111111)"
