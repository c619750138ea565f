"""The same runs at several sites: which are there already, which are still to be made, and these
made: started everywhere first, then waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from imagefactory.base.errors import Fault, UsageFault
from imagefactory.base.report import Report
from imagefactory.model import BACKEND
from imagefactory.run.ensemble import EnsemblePlan, execute_ensemble, finish_ensemble, spread
from imagefactory.run.job import Via
from imagefactory.run.later import resume
from imagefactory.run.plan import RunPlan, plan_run
from imagefactory.run.record import RunRecord, list_records
from imagefactory.run.states import JobState


@dataclass(frozen=True)
class SitePlan:
    """The runs that are wanted of one site, and by their seeds those that are there: FINISHED, or
    in the site's queue."""

    wanted: EnsemblePlan
    there: Mapping[int, RunRecord]

    @property
    def missing(self) -> EnsemblePlan:
        """The runs that are still to be made; may be none."""
        runs = self.wanted.runs
        return replace(self.wanted, runs=tuple(run for run in runs if not self._has(run)))

    def _has(self, run: RunPlan) -> bool:
        return run.parameters["seed"] in self.there

    def lines(self) -> list[str]:
        """The plan, for people."""
        found = []
        for run in self.wanted.runs:
            record = self.there.get(run.parameters["seed"])
            if record is not None:
                found.append(f"seed {run.parameters['seed']}: {record.state}, {record.id}")
        head = (
            f"{self.wanted.base.site.name}: {len(found)} of {len(self.wanted.runs)} runs are there"
        )
        return [head, *found, *(self.missing.lines() if self.missing.runs else [])]


@dataclass(frozen=True)
class SitesPlan:
    """The same runs at several sites."""

    sites: tuple[SitePlan, ...]

    def lines(self) -> list[str]:
        """The plan, for people; it begins with how many runs are missing."""
        missing = sum(len(site.missing.runs) for site in self.sites)
        wanted = sum(len(site.wanted.runs) for site in self.sites)
        return [
            f"{missing} of {wanted} runs are missing",
            *(line for site in self.sites for line in site.lines()),
        ]


def plan_at_sites(
    image: str,
    sites: Sequence[str],
    model: str,
    *,
    seeds: int,
    report: Report,
    ranks: int = 2,
    threads: int = 1,
    nodes: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    backend: str = BACKEND,
) -> SitesPlan:
    """Decide `seeds` runs at each site, and look which are there: of the same image, model
    (its files too), geometry and parameters.

    The seeds begin with that of the parameters, at all sites alike, and a tag is resolved once.
    Raises UsageFault for a site that is given twice, and what `plan_run` raises.
    """
    twice = sorted({site for site in sites if sites.count(site) > 1})
    if twice:
        faults = [Fault(f"the site {site} is given twice", fix="give two sites") for site in twice]
        raise UsageFault.from_faults(faults)
    records, plans = list_records(), []
    for site in sites:
        plan = plan_run(
            image, site, model, report=report,
            ranks=ranks, threads=threads, nodes=nodes, overrides=overrides,
            backend=backend,
        )  # fmt: skip
        image = str(plan.image.pinned or image)
        first = int(plan.parameters["seed"])
        plans.append(look_for(spread(plan, range(first, first + seeds)), records))
    return SitesPlan(tuple(plans))


def look_for(wanted: EnsemblePlan, records: Sequence[RunRecord]) -> SitePlan:
    """Which of the wanted runs are among the records; of several the last one, and a FINISHED one
    before one that is in the queue."""
    there: dict[int, RunRecord] = {}
    for run in wanted.runs:
        same = [record for record in records if _is(record, run)]
        finished = [record for record in same if record.state == JobState.FINISHED]
        if same:
            there[int(run.parameters["seed"])] = (finished or same)[-1]
    return SitePlan(wanted, there)


def execute_at_sites(plan: SitesPlan, report: Report) -> list[list[RunRecord]]:
    """Make the missing runs; returns the records of each site, in the order of the seeds.

    What was started stays: after an error or an interrupt the same plan goes on with it.
    """
    started: list[list[RunRecord]] = []
    for site in plan.sites:
        missing = site.missing
        detach = missing.base.via is Via.UNICORE or missing.is_array
        title = f"{missing.base.site.name}: {len(missing.runs)} runs"
        with report.step(title):
            made = execute_ensemble(missing, report, detach=detach) if missing.runs else []
        started.append(made)
    return [_finish(site, made, report) for site, made in zip(plan.sites, started, strict=True)]


def _finish(site: SitePlan, made: list[RunRecord], report: Report) -> list[RunRecord]:
    """Wait for what is in the queue."""
    found = dict(site.there)
    with report.step(f"{site.wanted.base.site.name}: the runs of {len(site.wanted.runs)} seeds"):
        if any(not JobState(record.state).is_final for record in made):
            made = finish_ensemble(site.missing, made, report)
        for seed, record in site.there.items():
            if not JobState(record.state).is_final:
                found[seed] = resume(record.id, report)
    found |= {int(record.parameters["seed"]): record for record in made}
    return [found[int(run.parameters["seed"])] for run in site.wanted.runs]


def _is(record: RunRecord, run: RunPlan) -> bool:
    """Whether a record is of this run, and may be taken for it."""
    geometry = run.geometry
    spread_ = {
        "nodes": geometry.nodes,
        "ranks": geometry.ranks,
        "threads": geometry.threads,
        "virtual_processes": geometry.virtual_processes,
    }
    usable = record.state == JobState.FINISHED and record.spikes is not None
    waiting = not JobState(record.state).is_final and bool(record.job.get("id"))
    return (
        (usable or waiting)
        and (record.site, record.model, record.backend)
        == (run.site.name, run.model.name, run.backend)
        and record.image.get("sif") == str(run.image.sif)
        and record.model_code == str(run.model.code)
        and record.geometry == spread_
        and record.parameters == dict(run.parameters)
    )
