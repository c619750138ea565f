"""imagefactory model build: what it plans, prints, and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from imagefactory import image as image_room
from imagefactory import nestml
from imagefactory.base.files import digest_of
from imagefactory.nestml import Module
from tests.unit.cli.test_runs import call
from tests.unit.nestml.conftest import FakeTools, make_record, source, tools

__all__ = ["make_record", "source", "tools"]  # fixtures of that room


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nest.sif"
    path.write_bytes(b"image")
    monkeypatch.setattr(image_room, "require_sif", lambda sif: sif)
    return path


def test_a_plan_changes_nothing(
    source: Path, image: Path, tools: FakeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("model", "build", str(source), "--image", str(image), "--dry-run") == 0
    told = capsys.readouterr().out
    assert "NESTML 8.3.0 with ODE-toolbox 2.5.12" in told
    assert f"compile tinymodule.so against the NEST of {digest_of(image)}" in told
    assert not tools.ran


def test_the_folder_comes_first(
    source: Path, image: Path, tools: FakeTools, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("model", "build", str(source), "--image", str(image)) == 0
    folder = Path(capsys.readouterr().out.splitlines()[0])
    assert nestml.read_module(folder).image == str(digest_of(image))
    assert call("model", "build", str(source), "--image", str(image), "--json") == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(folder)


def test_code_for_spinnaker_says_that_it_was_never_run(
    source: Path, image: Path, make_record: Callable[..., Module], monkeypatch: pytest.MonkeyPatch,
    tools: FakeTools, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    code = make_record(target="spinnaker", compiled=False, file=None, sha256=None)
    monkeypatch.setattr(nestml, "build_module", lambda *_: code)
    words = ("model", "build", str(source), "--image", str(image), "--target", "spinnaker")
    assert call(*words) == 0
    assert "generated only, nothing was compiled or run" in capsys.readouterr().out


def test_a_bad_pair(source: Path, image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("model", "build", str(source), "--image", str(image), "--target", "spinnaker")
    assert call(*words, "--nestml", "9.0.0") == 2
    assert "_gsl_printer_no_origin" in capsys.readouterr().err
