"""The sides of a comparison by site: which runs are there, which are missing; those are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import UsageFault
from imagefactory.equivalence.provenance import FINISHED

if TYPE_CHECKING:
    from imagefactory.base.report import Report
    from imagefactory.run import EnsemblePlan, RunPlan, RunRecord


@dataclass(frozen=True)
class SidePlan:
    """One site: the runs that are there by seed, and the missing ones (None if none is)."""

    site: str
    seeds: tuple[int, ...]
    there: Mapping[int, RunRecord]
    missing: EnsemblePlan | None

    def line(self) -> str:
        """For people."""
        if self.missing is None:
            return f"{self.site}: all {len(self.seeds)} runs are there"
        seeds = ", ".join(str(plan.parameters["seed"]) for plan in self.missing.runs)
        return f"{self.site}: {len(self.there)} runs are there; to be run: seeds {seeds}"


@dataclass(frozen=True)
class SitesPlan:
    """What a comparison of sites takes."""

    image: str
    sides: tuple[SidePlan, ...]

    def lines(self) -> list[str]:
        """The plan, for people."""
        missing = [line for side in self.sides if side.missing for line in side.missing.lines()]
        return [f"compare {self.image} at", *(side.line() for side in self.sides), *missing]


def plan_sites(
    image: str, sites: Sequence[str], model: str, *, seeds: int, report: Report, **options: Any
) -> SitesPlan:
    """Look which of the runs with `seeds` seeds are there at each site.

    A run counts where image (sha256 of the SIF), model, geometry and all parameters agree; the
    newest of several does. `options` are those of `run.plan_run`. Raises what `plan_run` raises.
    """
    if len(set(sites)) < len(sites):
        raise UsageFault("a site is there twice", where=" ".join(sites), fix="imagefactory sites")
    return SitesPlan(
        image, tuple(_plan_side(image, site, model, seeds, report, options) for site in sites)
    )


def run_missing(plan: SitesPlan, report: Report) -> list[list[RunRecord]]:
    """Run what is missing, at all sites at once; returns the sides, each in order of the seeds."""
    from imagefactory.run import execute_ensemble, finish_ensemble

    begun = {}
    for side in plan.sides:
        if side.missing is not None and side.missing.has_queue:
            with report.step(f"start {len(side.missing.runs)} runs at {side.site}"):
                begun[side.site] = execute_ensemble(side.missing, report, detach=True)
    sides = []
    for side in plan.sides:
        found = dict(side.there)
        if side.missing is not None:
            with report.step(f"{len(side.missing.runs)} runs at {side.site}"):
                records = (
                    finish_ensemble(side.missing, begun[side.site], report)
                    if side.site in begun
                    else execute_ensemble(side.missing, report)
                )
            found |= {int(record.parameters["seed"]): record for record in records}
        sides.append([found[seed] for seed in side.seeds])
    return sides


def _plan_side(
    image: str, site: str, model: str, seeds: int, report: Report, options: Mapping[str, Any]
) -> SidePlan:
    from imagefactory.run import list_records, plan_run, spread

    plan = plan_run(image, site, model, report=report, **options)
    first = int(plan.parameters["seed"])
    wanted = tuple(range(first, first + seeds))
    there = {
        int(record.parameters["seed"]): record
        for record in list_records()
        if _is_one_of(record, plan) and record.parameters["seed"] in wanted
    }
    missing = [seed for seed in wanted if seed not in there]
    return SidePlan(plan.site.name, wanted, there, spread(plan, missing) if missing else None)


def _is_one_of(record: RunRecord, plan: RunPlan) -> bool:
    """Whether a run is what the plan would give, whatever its seed."""
    asked = {**plan.parameters, "seed": record.parameters.get("seed")}
    return (
        record.state == FINISHED
        and (record.site, record.model) == (plan.site.name, plan.model.name)
        and record.image.get("verified") == str(plan.image.sif)
        and record.geometry["ranks"] == plan.geometry.ranks
        and record.geometry["threads"] == plan.geometry.threads
        and record.parameters == asked
    )
