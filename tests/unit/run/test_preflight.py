"""A run whose pre-flight failed is refused before anything is done, or goes on and says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imagefactory.base.errors import VerdictAgainst
from imagefactory.base.report import Silent
from imagefactory.launch import Launch, Preflight, SiteSide, Verdict, preflight
from imagefactory.run import execute, list_records
from imagefactory.run.ensemble import execute_ensemble, spread
from imagefactory.run.keeping import new_record
from tests.unit.launch.samples import NEST, SLURM
from tests.unit.run.fake_site import make_plan, slurm_site

BAD = preflight(NEST, SLURM, Launch("pmi2", "sharens"))
OPEN = preflight(NEST, SiteSide(), Launch("pmix", "sharens"))


def test_refused_before_anything_is_done() -> None:
    with pytest.raises(VerdictAgainst, match="older protocol"):
        execute(replace(make_plan(slurm_site()), preflight=BAD), Silent())
    assert not list_records(), "no folder, no ssh, no record"


@pytest.mark.parametrize(
    ("result", "force", "expected"),
    [
        (BAD, True, ("FAIL", True)),
        (OPEN, True, ("UNKNOWN", False)),
        (OPEN, False, ("UNKNOWN", False)),
    ],
)
def test_what_the_record_keeps(result: Preflight, force: bool, expected: tuple[str, bool]) -> None:
    plan = replace(make_plan(slurm_site()), preflight=result, force=force)
    kept = new_record(plan).launcher["preflight"]
    assert (kept["verdict"], kept["forced"]) == expected
    assert bool(kept["told"]) is (result.verdict is Verdict.FAIL)


def test_the_plan_says_it() -> None:
    lines = replace(make_plan(slurm_site()), preflight=BAD).lines()
    assert "pre-flight: FAIL" in lines
    assert any(line.startswith("pre-flight: FAIL protocol") for line in lines)


def test_an_ensemble_is_refused_too() -> None:
    plan = spread(replace(make_plan(slurm_site()), preflight=BAD), [1, 2])
    with pytest.raises(VerdictAgainst, match="older protocol"):
        execute_ensemble(plan, Silent())
    assert not list_records()


def test_each_run_of_an_ensemble_has_an_instance_of_its_own() -> None:
    """Two tasks of a job array may be on one node at once."""
    plan = make_plan(slurm_site())
    launch, after = (*plan.launch, f"instance://{plan.id}"), (f"stop {plan.id}",)
    runs = spread(replace(plan, launch=launch, after=after), [1, 2]).runs
    assert [one.launch[-1] for one in runs] == ["instance://r1-1", "instance://r1-2"]
    assert [one.after for one in runs] == [("stop r1-1",), ("stop r1-2",)]
    assert all(f"{one.folder}:{one.folder}" in one.launch for one in runs)
