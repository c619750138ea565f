"""The verbs for Python: a handle on a run, in this process or in another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import imagefactory
from imagefactory.base.errors import FactoryError, ToolFailed, UsageFault
from imagefactory.base.report import Silent
from imagefactory.run import RunHandle, RunPlan, execute, open_run
from imagefactory.run.execute import Tools, execute_with
from imagefactory.sandbox.unicore import FaultKind, PlannedFault
from tests.unit.run.fake_site import FakeSite, make_plan, rank_file, rank_output, slurm_site
from tests.unit.run.lives import Life, World, open_world, unicore_plan

START: Callable[..., RunHandle] = imagefactory.run  # type: ignore[assignment]
asked: dict[str, Any] = {}
SHORT: dict[str, Any] = {"site": "bookworm", "via": "unicore"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A server; the plan is given, for there is no registry."""
    asked.clear()
    with open_world(tmp_path) as found:

        def plan(image: str, site: str, model: str, **options: Any) -> RunPlan:
            assert (image, site, model) == ("oras://h/n:t", "bookworm", "balanced-random")
            asked.update(options)
            return unicore_plan(found.site, f"run-{len(imagefactory.runs())}")

        monkeypatch.setattr("imagefactory.run.handle.plan_run", plan)
        for room in ("remote", "execute"):
            module = sys.modules[f"imagefactory.run.{room}"]
            monkeypatch.setattr(module, "open_link", lambda *_: found.link(Life(0)))
        yield found


def test_a_run_is_started_and_waited_for(world: World) -> None:
    handle = START("oras://h/n:t", **SHORT, seed=7, parameters={"duration_ms": 5}, report=Silent())
    assert handle.state == "SUBMITTED"
    assert asked["overrides"] == {"duration_ms": 5, "seed": 7}
    record = handle.wait()
    assert (record.state, str(handle)) == ("FINISHED", "run-0 FINISHED")
    assert len(handle.spikes()) == 2
    assert handle.wait() == handle.fetch() == record, "what is over is not asked for again"


def test_a_run_is_taken_up_by_its_id(world: World) -> None:
    first = START("oras://h/n:t", **SHORT, report=Silent())
    assert imagefactory.runs() == [first]
    again = imagefactory.open_run(first.id, Silent())
    assert again.cancel().state == "CANCELLED"
    assert first.state == "CANCELLED"
    for ask in (first.wait, first.fetch):
        with pytest.raises(ToolFailed, match="cancelled by the user"):
            ask()
    with pytest.raises(UsageFault, match="it has no spikes"):
        first.spikes()


def test_fetch_does_not_wait(world: World) -> None:
    handle = START("oras://h/n:t", **SHORT, report=Silent())
    with pytest.raises(UsageFault, match="the job is not over"):
        handle.fetch()


def test_a_failed_run_raises_each_time_it_is_asked(world: World) -> None:
    world.unicore.faults.add(PlannedFault(FaultKind.PRECOMMAND_FAILS, "^run"))
    handle = START("oras://h/n:t", **SHORT, report=Silent())
    said = []
    for _ in range(2):
        with pytest.raises(FactoryError) as caught:
            handle.wait()
        said.append(caught.value.faults[0])
    assert said[0] == said[1]


def test_an_unknown_run() -> None:
    with pytest.raises(UsageFault, match="there is no run"):
        open_run("none")


def test_a_shell_run_goes_on_without_us_too(monkeypatch: pytest.MonkeyPatch) -> None:
    site = FakeSite(output=rank_output([rank_file(rank, 2) for rank in range(2)]))
    tools = Tools(site, lambda _: None)
    record = execute_with(make_plan(slurm_site()), tools, Silent(), detach=True)
    assert (record.state, record.job["id"]) == ("SUBMITTED", "42")
    assert open_run("r1").state == "SUBMITTED"


def test_a_site_without_a_queue_cannot_go_on_without_us() -> None:
    plan = make_plan(slurm_site())
    here = replace(plan.site, scheduler=replace(plan.site.scheduler, kind="none"))
    with pytest.raises(UsageFault, match="has no queue"):
        execute(replace(plan, site=here), Silent(), detach=True)


def test_the_package_has_the_names_of_the_verbs() -> None:
    from imagefactory.equivalence import compare
    from imagefactory.run import start

    assert imagefactory.compare is compare
    assert callable(imagefactory.run)
    assert imagefactory.run.__call__ is start
    with pytest.raises(AttributeError, match="no attribute 'build'"):
        imagefactory.build  # noqa: B018
