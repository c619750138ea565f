"""The module of a run: needed or not, refused, built before anything is sent, and sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imagefactory import nestml
from imagefactory.base.errors import UsageFault
from imagefactory.base.report import Report, Silent
from imagefactory.model import find_model, resolve_parameters
from imagefactory.nestml import Module
from imagefactory.nestml.module import write_module
from imagefactory.run.description import describe
from imagefactory.run.execute import run_files
from imagefactory.run.keeping import new_record
from imagefactory.run.module import plan_run_module, with_module
from imagefactory.run.plan import RunPlan
from imagefactory.run.record import read_record, write_record
from tests.unit.run.fake_site import SIF, make_plan, slurm_site

REPORT = Silent()
ADAPTIVE = find_model("adaptive")
BUILT_IN = resolve_parameters(ADAPTIVE, {"neuron": "nest"})
IN_NESTML = resolve_parameters(ADAPTIVE, {})


@pytest.fixture
def make_module(tmp_path: Path) -> Callable[..., Module]:
    def make(image: str = str(SIF)) -> Module:
        folder = tmp_path / "module"
        folder.mkdir(exist_ok=True)
        (folder / "adaptivemodule.so").write_bytes(b"module")
        from imagefactory.base.files import digest_of

        digest = str(digest_of(folder / "adaptivemodule.so"))
        module = Module(
            name="adaptive", target="nest", models=("adaptive_neuron",),
            source={"file": "adaptive.nestml", "sha256": digest}, image=image,
            versions={"nestml": "8.3.0"}, key={}, generated={}, compiled=True, seconds=1.0,
            file="adaptivemodule.so", sha256=digest, folder=folder,
        )  # fmt: skip
        write_module(module)
        return module

    return make


def adaptive_plan() -> RunPlan:
    return replace(make_plan(slurm_site()), model=ADAPTIVE, parameters=IN_NESTML)


def test_only_the_neuron_in_nestml_needs_a_module(make_module: Callable[..., Module]) -> None:
    assert plan_run_module(ADAPTIVE, BUILT_IN, SIF, None, REPORT) == (None, None)
    with pytest.raises(UsageFault, match="this run of adaptive loads no module"):
        plan_run_module(ADAPTIVE, BUILT_IN, SIF, make_module().folder, REPORT)


def test_one_that_is_given(make_module: Callable[..., Module]) -> None:
    module = make_module()
    assert plan_run_module(ADAPTIVE, IN_NESTML, SIF, module.folder, REPORT) == (module, None)


def test_one_for_another_image_is_refused(make_module: Callable[..., Module]) -> None:
    module = make_module("sha256:" + "cd" * 32)
    with pytest.raises(UsageFault, match=r"is for the image sha256:cdcd.*not for sha256:abab"):
        plan_run_module(ADAPTIVE, IN_NESTML, SIF, module.folder, REPORT)


def test_one_that_is_missing_is_built_before_anything_is_sent(
    make_module: Callable[..., Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def build(plan: object, _sif: object, _report: Report) -> Module:
        asked.append(plan)
        return make_module()

    monkeypatch.setattr(nestml, "build_module", build)
    plan = replace(adaptive_plan(), module_plan="a plan")  # type: ignore[arg-type]
    ready = with_module(plan, REPORT)
    assert asked == ["a plan"]
    assert ready.module == make_module()
    assert with_module(ready, REPORT) == ready
    assert len(asked) == 1


def test_it_is_sent_and_every_rank_is_told_its_digest(make_module: Callable[..., Module]) -> None:
    module = make_module()
    plan = replace(adaptive_plan(), module=module)
    told = json.loads(plan.parameters_text)["module"]
    assert told == {"file": "adaptivemodule.so", "sha256": module.sha256}
    for files in (run_files(plan), describe(plan).files):
        assert files["inside/adaptivemodule.so"] == module.path
    assert f"module {module.path}, {module.sha256}" in plan.lines()


def test_the_record_tells_what_was_loaded(make_module: Callable[..., Module]) -> None:
    module = make_module()
    record = new_record(replace(adaptive_plan(), module=module))
    write_record(record)
    assert read_record(record.id).module == {
        "file": "adaptivemodule.so",
        "sha256": module.sha256,
        "models": ["adaptive_neuron"],
        "source": module.source["sha256"],
        "versions": {"nestml": "8.3.0"},
    }
    assert new_record(make_plan(slurm_site())).module is None
    assert "module" not in json.loads(make_plan(slurm_site()).parameters_text)
