"""The demo's end: two sites with ten short runs each, which differ by their seed alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imagefactory.base.report import Report
from imagefactory.run import RunRecord, execute_ensemble, finish_ensemble, plan_run, spread

RUNS = 10  # a side; fewer are never EQUIVALENT
SITES = ("bookworm", "trixie")
# A small network and a short window on purpose: what it would take to decide is in the report.
SMALL = {"n_exc": 200, "n_inh": 50, "duration_ms": 1000.0, "warmup_ms": 500.0}


def plan_seeds(first: int) -> list[str]:
    """What will be run, for people."""
    return [
        f"run {RUNS} seeds at {site}: one job array, seeds {first} to {first + RUNS - 1}"
        for site in SITES
    ]


def run_seeds(
    reference: str, parameters: Mapping[str, Any], report: Report
) -> tuple[list[RunRecord], list[RunRecord]]:
    """Run both sides, each as one job array, at once; returns their records by seed."""
    begun = []
    for site in SITES:
        plan = plan_run(
            reference, site, "balanced-random", report=report, ranks=1,
            overrides={**parameters, **SMALL},
        )  # fmt: skip
        first = int(plan.parameters["seed"])
        ensemble = spread(plan, range(first, first + RUNS))
        with report.step(f"start {RUNS} seeds at {site}"):
            begun.append((ensemble, execute_ensemble(ensemble, report, detach=True)))
    sides = []
    for ensemble, records in begun:
        with report.step(f"{RUNS} seeds at {ensemble.base.site.name}"):
            sides.append(finish_ensemble(ensemble, records, report))
    return sides[0], sides[1]
