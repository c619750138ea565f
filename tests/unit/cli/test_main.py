"""The command line: help, errors with their exit codes, JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory.base.errors import FactoryError, ToolFailed
from imagefactory.cli import main
from imagefactory.cli.main import VERBS
from imagefactory.cli.session import plain


def call(*arguments: str) -> int:
    """The exit status of a command line."""
    try:
        main(arguments)
    except SystemExit as ending:
        return int(ending.code or 0)
    return 0


def test_every_verb_has_help_with_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[tuple[str, ...]] = [(verb,) for verb in VERBS]
    lines += [("image", name) for name in ("define", "build", "test", "inspect")]
    lines += [("sandbox", name) for name in ("up", "status", "token", "approve", "fault", "down")]
    for line in lines:
        assert call(*line, "--help") == 0
        text = capsys.readouterr().out
        assert "Example: imagefactory" in text, line


def test_the_list_of_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    text = capsys.readouterr().out
    assert all(f"  {verb} " in text for verb in VERBS)


def test_an_unknown_verb_shows_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("comapre") == 2
    assert "did you mean 'compare'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "part"),
    [
        (("push", "x.sif", "oras://host/Name"), 2, "2 errors"),
        (("image", "define", "nowhere"), 4, "No such file"),
        (("sites", "bookwrom"), 2, "bookwrom"),
        (("models", "balanced"), 2, "did you mean 'balanced-random'?"),
        (("compare", "a", "b"), 2, "there is no run 'a'"),
        (("compare", "a"), 2, "there is one side only"),
        (("compare", "a", "b", "--seeds", "3", "--frozen"), 2, "2 errors"),
        (("compare", "a", "b", "--ranks", "2"), 2, "--ranks says nothing about runs"),
        (("compare", "--sites", "here", "there"), 2, "which image is to be compared?"),
        (("compare", "--sites", "here", "here", "--image", "x"), 2, "here is given twice"),
        (("run", "x.sif", "--site", "here", "--set", "seed"), 2, "sets nothing"),
    ],
)
def test_errors_have_their_exit_code(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, part: str
) -> None:
    assert call(*arguments) == status
    captured = capsys.readouterr()
    assert part in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_an_error_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("push", "x.sif", "oras://host/Name", "--json") == 2
    document = json.loads(capsys.readouterr().out)
    assert document["error"]["exit_code"] == 2
    assert len(document["error"]["faults"]) == 2


def test_a_defect_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(_: object) -> None:
        message = "oops"
        raise RuntimeError(message)

    monkeypatch.setattr("imagefactory.model.find_model", defect)
    with pytest.raises(RuntimeError):
        main(["models", "x"])


def test_no_exit_code_is_given_twice() -> None:
    kinds = FactoryError.__subclasses__()
    assert sorted(kind.exit_code for kind in kinds) == list(range(2, 10))
    assert ToolFailed("x").exit_code == 6


def test_results_become_plain_json() -> None:
    assert plain({"a": (Path("x"), None, 1.5, True)}) == {"a": ["x", None, 1.5, True]}
