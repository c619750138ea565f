"""Runs that differ by their seed alone: one staging, one parcel, one job array; a record each."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeVar

from imagefactory.base.errors import FactoryError, Fault, ServiceAway, ToolFailed, UsageFault
from imagefactory.base.files import write_text
from imagefactory.base.report import Report
from imagefactory.model import resolve_parameters
from imagefactory.run import slurm
from imagefactory.run.description import Mode
from imagefactory.run.execute import Tools, admit, execute_with, follow, run_files, stage_image
from imagefactory.run.job import FOLDER, Via, batch_options
from imagefactory.run.keeping import keep_failure, new_record, timed, with_staged
from imagefactory.run.module import with_module
from imagefactory.run.parcel import pack
from imagefactory.run.plan import RunPlan
from imagefactory.run.record import RunRecord, read_record, write_record
from imagefactory.run.remote import finish_run, open_link, submit_run
from imagefactory.run.shell import open_shell
from imagefactory.run.states import JobState

T = TypeVar("T")


@dataclass(frozen=True)
class EnsemblePlan:
    """A run, and its likes with other seeds, in the order of the seeds."""

    base: RunPlan
    runs: tuple[RunPlan, ...]

    @property
    def id(self) -> str:
        """Of the whole: its runs' ids begin with it."""
        return self.base.id

    @property
    def is_array(self) -> bool:
        """Whether all runs are one job of Slurm."""
        return self.base.via is Via.SHELL and self.base.site.scheduler.kind == "slurm"

    @property
    def job(self) -> str:
        """The script of the job array."""
        site, geometry = self.base.site, self.base.geometry
        log = f"{self.base.folder}/%a.log"
        options = [
            *batch_options(site, self.id, geometry, log),
            f"--array=0-{len(self.runs) - 1}",
        ]
        folders = shlex.join(plan.folder for plan in self.runs)
        lines = [
            "#!/bin/sh",
            *(f"#SBATCH {option}" for option in options),
            f"# Ensemble {self.id}, written by imagefactory: one task, one run.",
            f"set -- {folders}",
            'shift "$SLURM_ARRAY_TASK_ID"',
            'cd "$1" && mkdir -p output || exit 1',
            "exec sh job.sh >output/job.log 2>&1",
        ]
        return "\n".join(lines) + "\n"

    def lines(self) -> list[str]:
        """The plan, for people."""
        seeds = [plan.parameters["seed"] for plan in self.runs]
        how = {
            True: "one job array",
            False: "one job each" if self.base.via is Via.UNICORE else "one after the other",
        }[self.is_array]
        return [
            *self.runs[0].lines(),
            f"the same for seeds {', '.join(map(str, seeds))}: {len(seeds)} runs, {how}",
        ]


def spread(plan: RunPlan, seeds: Sequence[int]) -> EnsemblePlan:
    """The runs of a plan with other seeds. Raises UsageFault for seeds that are none, or twice.

    Frozen runs share one network: that of the plan's network_seed, or of its seed if it has none.
    """
    twice = sorted({seed for seed in seeds if list(seeds).count(seed) > 1})
    faults = [Fault(f"the seed {seed} is there twice") for seed in twice]
    if not seeds:
        faults.append(Fault("there is no seed", fix="--seeds 10"))
    if faults:
        raise UsageFault.from_faults(faults)
    if plan.parameters.get("frozen") and plan.parameters.get("network_seed") == 0:
        shared = {**plan.parameters, "network_seed": plan.parameters["seed"]}
        plan = replace(plan, parameters=resolve_parameters(plan.model, shared))
    return EnsemblePlan(plan, tuple(_with_seed(plan, seed) for seed in seeds))


def _with_seed(plan: RunPlan, seed: int) -> RunPlan:
    run_id = f"{plan.id}-{seed}"
    folder = FOLDER
    if plan.via is Via.SHELL:
        folder = str(PurePosixPath(plan.site.work) / run_id)
    return replace(
        plan,
        id=run_id,
        folder=folder,
        parameters=resolve_parameters(plan.model, {**plan.parameters, "seed": seed}),
        # The folder is named by the id, and so is an instance that ranks may share.
        launch=tuple(word.replace(plan.id, run_id) for word in plan.launch),
        after=tuple(line.replace(plan.id, run_id) for line in plan.after),
    )


def execute_ensemble(
    plan: EnsemblePlan, report: Report, mode: Mode = Mode.BATCH, *, detach: bool = False
) -> list[RunRecord]:
    """Do all runs; returns their records in the order of the seeds.

    All are waited for. Then an error is raised if one did not end FINISHED; each run's record says
    what became of it. With `detach` the jobs are started, no more. Raises as `execute` does where
    the pre-flight failed.
    """
    site = plan.base.site
    admit(plan.base, report)
    plan = _with_module(plan, report)
    if plan.base.via is Via.UNICORE:
        link = open_link(site, report)
        records = [submit_run(one, mode, link, report) for one in plan.runs]
        if detach:
            return records
        return _each(records, lambda record: finish_run(record, link, report), report)
    if detach and not plan.is_array:
        raise UsageFault(
            f"site {site.name} has no queue: no run there goes on without us",
            fix="leave --detach away",
        )
    with open_shell(site.access, report) as shell:
        tools = Tools(shell)
        if not plan.is_array:
            return _each(plan.runs, lambda one: execute_with(one, tools, report), report)
        records = submit_array(plan, tools, report)
        return records if detach else _follow_all(records, plan, tools, report)


def _with_module(plan: EnsemblePlan, report: Report) -> EnsemblePlan:
    """The same with the module that its runs share."""
    base = with_module(plan.base, report)
    runs = tuple(replace(run, module=base.module, module_plan=None) for run in plan.runs)
    return EnsemblePlan(base, runs)


def finish_ensemble(
    plan: EnsemblePlan, records: list[RunRecord], report: Report
) -> list[RunRecord]:
    """Wait for the runs of an ensemble that was started with `detach`; ends as it does without."""
    site = plan.base.site
    if plan.base.via is Via.UNICORE:
        link = open_link(site, report)
        return _each(records, lambda record: finish_run(record, link, report), report)
    with open_shell(site.access, report) as shell:
        return _follow_all(records, plan, Tools(shell), report)


def submit_array(plan: EnsemblePlan, tools: Tools, report: Report) -> list[RunRecord]:
    """Stage the image once, send all runs' files in one parcel, submit one job array."""
    records = []
    for one in plan.runs:
        record = new_record(one)
        write_text(record.folder / "job.sh", one.job)
        write_text(record.folder / "parameters.json", one.parameters_text)
        write_record(record)
        records.append(record)
    with _all_kept(records):
        first = records[0]
        with report.step(f"stage one on {plan.base.site.name}: the image"), timed(first, "stage_s"):
            staged = stage_image(plan.base, tools, report)
        records = [
            with_staged(record, one, staged) for record, one in zip(records, plan.runs, strict=True)
        ]
        with report.step(f"send the files of {len(records)} runs"), timed(records[0], "send_s"):
            _send_all(plan, tools)
        number = slurm.submit(tools.shell, plan.base.folder)
        records = [
            replace(record, state=JobState.SUBMITTED, job=record.job | {"id": f"{number}_{task}"})
            for task, record in enumerate(records)
        ]
        for record in records:
            write_record(record)
    return records


def _send_all(plan: EnsemblePlan, tools: Tools) -> None:
    contents: dict[str, str | Path] = {f"{plan.id}/job.sh": plan.job}
    for one in plan.runs:
        contents |= {f"{one.id}/{name}": content for name, content in run_files(one).items()}
    with tempfile.TemporaryDirectory(prefix="imagefactory-") as folder:
        parcel = Path(folder) / "runs.tar"
        pack(contents, parcel)
        tools.shell.send(parcel, plan.base.site.work)


def _follow_all(
    records: list[RunRecord], plan: EnsemblePlan, tools: Tools, report: Report
) -> list[RunRecord]:
    try:
        return _each(records, lambda record: follow(record, plan.base.site, tools, report), report)
    except KeyboardInterrupt:
        slurm.cancel(tools.shell, str(records[0].job["id"]).partition("_")[0])
        _fail_rest(records, JobState.CANCELLED, ToolFailed("stopped by the user"))
        raise


def _each(items: Sequence[T], work: Callable[[T], RunRecord], report: Report) -> list[RunRecord]:
    """Do the work for every item, whatever becomes of the others; then tell all that failed."""
    found: list[RunRecord] = []
    errors: list[FactoryError] = []
    for item in items:
        try:
            found.append(work(item))
        except ServiceAway:  # the others are no nearer
            raise
        except FactoryError as err:
            errors.append(err)
        report.progress("runs of the ensemble", len(found) + len(errors), len(items), unit="runs")
    if errors:
        raise type(errors[0]).from_faults([fault for err in errors for fault in err.faults])
    return found


@contextmanager
def _all_kept(records: list[RunRecord]) -> Iterator[None]:
    try:
        yield
    except FactoryError as err:
        _fail_rest(records, JobState.FAILED, err)
        raise


def _fail_rest(records: list[RunRecord], state: JobState, error: FactoryError) -> None:
    for record in records:
        latest = read_record(record.folder)
        if not JobState(latest.state).is_final:
            keep_failure(latest, state, error)
