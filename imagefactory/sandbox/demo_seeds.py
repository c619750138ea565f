"""The demo's end: two sites with ten runs each, which differ by their seed alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imagefactory.base.report import Report
from imagefactory.run import RunRecord, execute_ensemble, plan_run, spread

RUNS = 10  # a side; fewer are never EQUIVALENT
REFERENCE, SAME_SEEDS, OTHER_SEEDS = "bookworm", "trixie", "trixie, other seeds"
# A warm-up as the margins ask for, and a window that is too short on purpose: what it takes to
# decide is in the report.
WINDOW = {"duration_ms": 1500.0, "warmup_ms": 500.0}


def seeds_of(first: int) -> dict[str, tuple[str, Sequence[int]]]:
    """The site and the seeds of each side."""
    same, others = range(first, first + RUNS), range(first + RUNS, first + 2 * RUNS)
    return {
        REFERENCE: ("bookworm", same),
        SAME_SEEDS: ("trixie", same),
        OTHER_SEEDS: ("trixie", others),
    }


def run_seeds(
    reference: str, parameters: Mapping[str, Any], report: Report
) -> dict[str, list[RunRecord]]:
    """Run every side, each as one job array; returns the records by the side's name."""
    found = {}
    for name, (site, seeds) in seeds_of(int(parameters["seed"])).items():
        with report.step(f"{name}: {RUNS} seeds, one job array"):
            plan = plan_run(
                reference, site, "balanced-random", report=report, ranks=1,
                overrides={**parameters, **WINDOW},
            )  # fmt: skip
            found[name] = execute_ensemble(spread(plan, seeds), report)
    return found
