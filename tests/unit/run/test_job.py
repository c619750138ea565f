"""Texts that go to a site, whole."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.run.plan import decide_geometry
from imagefactory.site import Access, Launcher, Scheduler, Site
from tests.conftest import Golden
from tests.unit.run.fake_site import make_plan, slurm_site


def here_site() -> Site:
    return replace(
        slurm_site(),
        name="here",
        access=Access("local"),
        scheduler=Scheduler("none"),
        launcher=Launcher("mpirun"),
        nodes=1,
    )


def test_job_with_slurm(golden: Golden) -> None:
    golden.check("run/job-slurm.sh", make_plan(slurm_site(), ranks=4).job)


def test_job_with_slurm_and_ranks_that_do_not_divide(golden: Golden) -> None:
    golden.check("run/job-slurm-3-ranks.sh", make_plan(slurm_site(), ranks=3).job)


def test_job_here(golden: Golden) -> None:
    golden.check("run/job-here.sh", make_plan(here_site()).job)


def test_parameters() -> None:
    plan = make_plan(slurm_site(), ranks=4)
    assert json.loads(plan.parameters_text) == {
        "schema": 1,
        "model": "balanced-random",
        "backend": "nest",
        "ranks": 4,
        "threads": 1,
        "parameters": dict(plan.parameters),
        "expect": dict(plan.expect),
    }


def test_plan_lines(golden: Golden) -> None:
    golden.check("run/plan.txt", "\n".join(make_plan(slurm_site()).lines()) + "\n")


def test_geometry() -> None:
    site = slurm_site()
    assert decide_geometry(site, 4, 1, None).nodes == 2
    assert decide_geometry(site, 1, 4, None).nodes == 1, "no node without a rank"
    with pytest.raises(UsageFault) as caught:
        decide_geometry(here_site(), 0, 0, 2)
    assert len(caught.value.faults) == 4
