"""Many seeds on real Slurm: one array, one run that is cancelled takes no other with it; and the
same frozen network at two sites gives the same spikes, seed by seed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.equivalence import Verdict, compare
from imagefactory.run import (
    cancel,
    execute_at_sites,
    execute_ensemble,
    plan_at_sites,
    plan_run,
    read_record,
    spread,
    watch,
)

if TYPE_CHECKING:
    from imagefactory.sandbox import Sandbox

SMALL: dict[str, Any] = {"n_exc": 200, "n_inh": 50, "duration_ms": 200, "warmup_ms": 20}
SITES = ("bookworm", "trixie")


@pytest.fixture(autouse=True)
def _own_runs(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs of tests are kept apart from the user's; the sandbox's sites stay known."""
    sites = tmp_path / "settings" / "sites"
    sites.mkdir(parents=True)
    for site in sandbox.sites:
        shutil.copy(site.record, sites)
    monkeypatch.setenv("IMAGEFACTORY_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.setenv("IMAGEFACTORY_DATA", str(tmp_path / "data"))


def test_one_array_a_record_each(pushed_ref: ImageRef, report: Silent) -> None:
    plan = plan_run(
        str(pushed_ref), "bookworm", "balanced-random", report=report, ranks=1, overrides=SMALL
    )
    started = execute_ensemble(spread(plan, (1, 2, 3)), report, detach=True)
    arrays = {str(record.job["id"]).partition("_")[0] for record in started}
    assert len(arrays) == 1
    assert cancel(started[2].id, report).state == "CANCELLED"
    found = [watch(record.id, report) for record in started[:2]]
    assert [record.state for record in found] == ["FINISHED", "FINISHED"]
    assert [record.parameters["seed"] for record in found] == [1, 2]
    assert found[0].spikes != found[1].spikes
    assert read_record(started[2].id).spikes is None


def test_one_frozen_network_at_two_sites(pushed_ref: ImageRef, report: Silent) -> None:
    def plan() -> Any:
        return plan_at_sites(
            str(pushed_ref), SITES, "balanced-random", seeds=2, report=report, ranks=1,
            overrides={**SMALL, "frozen": True},
        )  # fmt: skip

    sides = execute_at_sites(plan(), report)
    assert len({record.network["digest"] for side in sides for record in side}) == 1
    inputs = [[record.network["input"] for record in side] for side in sides]
    assert inputs[0] == inputs[1]
    assert inputs[0][0] != inputs[0][1]
    found = compare(sides[0], sides[1])
    assert found.verdict is Verdict.IDENTICAL
    assert len(found.outcome.pairs) == 2
    assert plan().lines()[0] == "0 of 4 runs are missing"
