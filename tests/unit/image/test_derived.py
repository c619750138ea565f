"""An image on top of another one: built once for the same inputs, and only on the one meant."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.files import digest_of
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Silent
from imagefactory.base.values import Digest
from imagefactory.image import DerivedPlan, derive, plan_derived
from tests.unit.image.conftest import SIF_HEAD, WHEEL, FakeRunner

pytestmark = pytest.mark.usefixtures("machine")
REPORT = Silent()


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The SIF underneath, on a machine that may build and has the wheel."""
    derived = import_module("imagefactory.image.derived")
    for name in ("require_fuse", "require_build_rights"):
        monkeypatch.setattr(derived, name, lambda: None)
    monkeypatch.setattr(derived, "require_space", lambda *_: None)
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    monkeypatch.setattr(derived, "fetch", lambda *_: {WHEEL.digest.hex: wheel})
    sif = tmp_path / "base.sif"
    sif.write_bytes(SIF_HEAD + b"base")
    return sif


def plan(base: Path, sections: str = "%post\n    make all\n") -> DerivedPlan:
    return plan_derived("tools", "1", digest_of(base), sections, [WHEEL], "3.11", REPORT)


def test_it_stands_on_the_image_and_is_kept(base: Path, runner: FakeRunner) -> None:
    planned = plan(base)
    record = derive(planned, base, REPORT)
    assert record.sif.read_bytes() == runner.content
    assert planned.definition.startswith("Bootstrap: localimage\nFrom: underneath.sif\n")
    assert record.key["underneath"] == str(digest_of(base))
    assert record.sources == {"thing==1.0": str(WHEEL.digest)}
    assert plan(base).current == record
    assert derive(plan(base), base, REPORT) == record
    assert runner.builds == 1
    assert not list((ordinary_cache() / "building").iterdir()), "nothing is left"


def test_another_definition_or_image_is_another(base: Path) -> None:
    first = plan(base)
    assert plan(base, "%post\n    make less\n").sif != first.sif
    base.write_bytes(SIF_HEAD + b"other")
    assert plan(base).sif != first.sif


def test_another_image_than_the_one_meant_is_refused(base: Path, runner: FakeRunner) -> None:
    wanted = Digest("sha256:" + "cd" * 32)
    planned = plan_derived("tools", "1", wanted, "%post\n", [WHEEL], "3.11", REPORT)
    with pytest.raises(ToolFailed, match="this is not the image sha256:cdcd"):
        derive(planned, base, REPORT)
    assert runner.builds == 0


def test_a_failed_build_names_its_line_and_leaves_no_image(base: Path, runner: FakeRunner) -> None:
    runner.build_fails = True
    runner.lines = ["+ make all", "make: *** no rule"]
    planned = plan(base)
    with pytest.raises(ToolFailed, match=r"failed at line 8 of its definition: make all") as caught:
        derive(planned, base, REPORT)
    assert Path(caught.value.faults[0].fix.rpartition(": ")[2]).is_file()
    assert not planned.sif.exists()
