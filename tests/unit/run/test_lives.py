"""A few lives of runs through a faulty UNICORE, and two clients of one run at once; the many lives
are in tests/integration."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import FactoryError, ToolFailed, UsageFault
from imagefactory.base.report import Silent
from imagefactory.run import cancel, read_record, resume
from imagefactory.run.description import Mode
from imagefactory.run.remote import finish_run, go_on, submit_run
from imagefactory.sandbox.unicore import FaultKind, PlannedFault
from tests.unit.run.lives import (
    Killed,
    Killer,
    Life,
    World,
    find_fault,
    live,
    open_world,
    unicore_plan,
)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_world(tmp_path) as found:
        yield found


@pytest.mark.parametrize("seed", [3, 155, 7])
def test_every_life_has_an_end_and_no_job_is_posted_twice(world: World, seed: int) -> None:
    life = live(world, seed)
    assert not find_fault(world, life), life.drawn


class Meanwhile(Killer):
    """In the middle of the first client's call `at`, a second client begins its work."""

    def __init__(self, at: int, work: Callable[[], object]) -> None:
        super().__init__(at)
        self.thread = threading.Thread(target=self._work, args=(work,))
        self.first = threading.get_ident()
        self.raised: list[FactoryError] = []

    def _work(self, work: Callable[[], object]) -> None:
        try:
            work()
        except FactoryError as err:
            self.raised.append(err)

    def around(self, call: Callable[..., object], *arguments: object) -> object:
        if threading.get_ident() == self.first:
            self.calls += 1
            if self.calls == self.at:
                self.thread.start()
                self.thread.join(0.05)  # time enough for the second one, where nothing holds it
        return call(*arguments)


@pytest.mark.parametrize("at", [1, 3])
def test_two_clients_that_resume_one_run_post_one_job(world: World, at: int) -> None:
    begun = world.link(Life(0))
    world.killer = Killer(2, after=True)  # that a job will be posted is in the record, no more
    with pytest.raises(Killed):
        submit_run(unicore_plan(world.site, "life-0"), Mode.BATCH, begun, Silent())
    world.killer = Killer()
    link, other = world.link(Life(0)), world.link(Life(0))
    meanwhile = Meanwhile(at, lambda: resume("life-0", Silent(), other))
    world.killer = meanwhile
    resume("life-0", Silent(), link)
    meanwhile.thread.join()
    assert (world.posted["life-0"], world.begun["life-0"]) == (1, 1)
    assert read_record("life-0").state == "FINISHED"


@pytest.mark.parametrize("at", [3, 12, 20])
def test_a_run_that_is_cancelled_while_it_is_submitted_does_not_go_on(
    world: World, at: int
) -> None:
    link, other = world.link(Life(0)), world.link(Life(0))
    meanwhile = Meanwhile(at, lambda: cancel("life-0", Silent(), other))
    world.killer = meanwhile
    with pytest.raises((ToolFailed, UsageFault), match=r"cancelled|CANCELLED"):
        finish_run(
            submit_run(unicore_plan(world.site, "life-0"), Mode.BATCH, link, Silent()),
            link, Silent(),
        )  # fmt: skip
    meanwhile.thread.join()
    assert not meanwhile.raised
    assert read_record("life-0").state == "CANCELLED"
    assert world.all_over()


def test_a_job_that_is_gone_before_its_files_came(world: World) -> None:
    world.unicore.faults.add(PlannedFault(FaultKind.JOB_GONE, "^life"))
    link = world.link(Life(0))
    with pytest.raises(ToolFailed, match="does not have the job any more"):
        submit_run(unicore_plan(world.site, "life-0"), Mode.BATCH, link, Silent())
    assert read_record("life-0").state == "FAILED"


def test_a_late_second_client_leaves_a_finished_record_as_it_is(world: World) -> None:
    link = world.link(Life(0))
    record = submit_run(unicore_plan(world.site, "life-0"), Mode.BATCH, link, Silent())
    finish_run(record, link, Silent())
    with pytest.raises(UsageFault, match="the run is FINISHED"):
        go_on(record, link, Silent())
    assert read_record("life-0").state == "FINISHED"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"partition": "nosuch"}, "Queue = nosuch"),
        ({"time_limit_minutes": 44640}, "Runtime=2678400"),
        ({}, "Invalid account"),
    ],
)
def test_what_the_site_refuses_is_told_as_through_a_shell(
    world: World, wrong: dict[str, Any], said: str
) -> None:
    if not wrong:
        world.login.refuses = "sbatch: error: Invalid account or account/partition combination"
    plan, link = unicore_plan(world.site, "life-0"), world.link(Life(0))
    site = replace(plan.site, scheduler=replace(plan.site.scheduler, **wrong))
    record = submit_run(replace(plan, site=site), Mode.BATCH, link, Silent())
    with pytest.raises(ToolFailed, match="the site did not take the job") as caught:
        finish_run(record, link, Silent())
    assert said in caught.value.detail
    assert "partition, account" in str(caught.value)
    assert read_record("life-0").state == "FAILED"
