"""A run, done: stage, send, start, wait, fetch, judge, and the record of it all."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from imagefactory.base.errors import ServiceAway, ToolFailed, TrustRefused, UsageFault
from imagefactory.base.files import write_text
from imagefactory.base.report import Report
from imagefactory.launch import Verdict, require
from imagefactory.run import slurm
from imagefactory.run.collecting import collect
from imagefactory.run.description import Mode
from imagefactory.run.frozen import draw_frozen
from imagefactory.run.job import Via, parcel_of
from imagefactory.run.keeping import (
    failures_kept,
    keep_failure,
    new_record,
    timed,
    with_staged,
)
from imagefactory.run.module import with_module
from imagefactory.run.nmpi_plan import NmpiPlan
from imagefactory.run.nmpi_run import execute_on_queue
from imagefactory.run.outcome import Ending
from imagefactory.run.parcel import LIMIT_BYTES, pack, unpack
from imagefactory.run.plan import RunPlan
from imagefactory.run.record import RunRecord, runs_folder, write_record
from imagefactory.run.remote import finish_run, open_link, submit_run
from imagefactory.run.shell import SiteShell, open_shell
from imagefactory.run.staging import Staged, stage, store_file
from imagefactory.run.states import JobState
from imagefactory.site import Site

# Without Slurm job.sh is run in place; its streams go where sbatch puts them.
RUN_HERE = 'cd "$1" && mkdir -p output && exec sh job.sh >output/job.log 2>&1 </dev/null'
# With the mark that stage_one.sh leaves: this run needs the image.
CHECK_FILE = """
test -r "$1" || exit 1
mkdir -p "${1%/*}/.used" && touch "${1%/*}/.used/$3"
"$2" --version
"""
ASK_SECONDS = 120.0


@dataclass(frozen=True)
class Tools:
    """What a run does outside; tests hand in a site of their own."""

    shell: SiteShell
    sleep: Callable[[float], None] = time.sleep


def execute(
    plan: RunPlan | NmpiPlan, report: Report, mode: Mode = Mode.BATCH, *, detach: bool = False
) -> RunRecord:
    """Do the run; returns the record of a finished one.

    Any other end raises a FactoryError, after the record of the failed run was written. `mode` is
    for runs through UNICORE. With `detach` the record is that of a run whose job is started.
    Raises VerdictAgainst, and leaves no record, where the pre-flight failed and no force was used.
    """
    if isinstance(plan, NmpiPlan):
        return execute_on_queue(plan, report, detach=detach)
    admit(plan, report)
    plan = with_module(plan, report)
    if plan.via is Via.UNICORE:
        link = open_link(plan.site, report)
        record = submit_run(plan, mode, link, report)
        return record if detach else finish_run(record, link, report)
    if detach and plan.site.scheduler.kind == "none":
        raise UsageFault(
            f"site {plan.site.name} has no queue: no run there goes on without us",
            fix="leave --detach away",
        )
    with open_shell(plan.site.access, report) as shell:
        return execute_with(plan, Tools(shell), report, detach=detach)


def admit(plan: RunPlan, report: Report) -> None:
    """Raise VerdictAgainst where the pre-flight failed, unless the user uses force."""
    if plan.preflight is None:
        return
    if not plan.force:
        require(plan.preflight)
    if plan.preflight.verdict is not Verdict.PASS:
        report.note(f"pre-flight: {plan.preflight.verdict}; why: imagefactory site check")


def execute_with(plan: RunPlan, tools: Tools, report: Report, *, detach: bool = False) -> RunRecord:
    """As `execute`, with a shell that is open already."""
    record = new_record(plan)
    write_text(record.folder / "job.sh", plan.job)
    write_text(record.folder / "parameters.json", plan.parameters_text)
    write_record(record)
    with failures_kept(record):
        with report.step(f"stage one on {plan.site.name}: the image"), timed(record, "stage_s"):
            staged = stage_image(plan, tools, report)
        record = with_staged(record, plan, staged)
        write_record(record)
        with report.step("send the run's files"), timed(record, "send_s"):
            _send(plan, tools.shell)
        if plan.site.scheduler.kind == "none":
            with report.step(f"run on {plan.site.name}"), timed(record, "run_s"):
                ending = _run_here(plan, tools.shell)
            return collect(record, plan.site.name, ending, fetching(record, tools.shell), report)
        record = replace(
            record, state=JobState.SUBMITTED,
            job=record.job | {"id": slurm.submit(tools.shell, plan.folder)},
        )  # fmt: skip
        write_record(record)  # at once: a client that is killed now can be resumed
    return record if detach else follow(record, plan.site, tools, report)


def follow(record: RunRecord, site: Site, tools: Tools, report: Report) -> RunRecord:
    """Wait for a run's job, fetch and judge it; an interrupt cancels the job."""
    job, folder = str(record.job["id"]), str(record.job["folder"])
    kept = {"record": record}

    def on_state(state: JobState) -> None:
        kept["record"] = replace(kept["record"], state=state)
        write_record(kept["record"])

    try:
        with report.step(f"job {job} on {site.name}"), timed(record, "job_s"):
            ending = slurm.watch(tools.shell, job, folder, report, tools.sleep, on_state)
    except KeyboardInterrupt:
        report.warn(f"stopped by the user: cancelling job {job}")
        keep_failure(record, JobState.CANCELLED, ToolFailed("stopped by the user"))
        slurm.cancel(tools.shell, job)
        raise
    except ServiceAway:
        report.warn(f"job {job} goes on without us; later: imagefactory runs resume {record.id}")
        raise
    with failures_kept(record):
        return collect(record, site.name, ending, fetching(record, tools.shell), report)


def stage_image(plan: RunPlan, tools: Tools, report: Report) -> Staged:
    """Get the plan's image into the site's store."""
    if plan.image.source is not None:
        store_file(plan.image.source, Path(plan.image.path), plan.image.sif)
        done = tools.shell.run(
            CHECK_FILE, plan.image.path, plan.site.apptainer, f"{plan.image.sif.hex}.{plan.id}",
            timeout=ASK_SECONDS,
        )  # fmt: skip
        if done.status:
            raise ToolFailed(
                "the user who runs images cannot read the image, or has no Apptainer",
                where=plan.image.path,
                fix="imagefactory setup",
                detail=done.tail,
            )
        version = done.output.strip().removeprefix("apptainer version ")
        return Staged(plan.image.path, str(plan.image.sif), version)
    staged = stage(tools.shell, plan.stage_arguments, report, tools.sleep)
    if staged.sif != str(plan.image.sif) or staged.image != plan.image.path:
        raise TrustRefused(
            "stage one has another image than the one asked for",
            where=f"{tools.shell.where}: {staged.image} {staged.sif}",
        )
    return staged


def run_files(plan: RunPlan) -> dict[str, str | Path]:
    """What is sent into the run's folder, by relative name."""
    return {
        **parcel_of(plan.model, plan.parameters_text, plan.job),
        **plan.module_files,
        **draw_frozen(plan, runs_folder() / plan.id),
    }


def _send(plan: RunPlan, shell: SiteShell) -> None:
    with tempfile.TemporaryDirectory(prefix="imagefactory-") as folder:
        parcel = Path(folder) / "run.tar"
        pack(run_files(plan), parcel)
        shell.send(parcel, plan.folder)


def _run_here(plan: RunPlan, shell: SiteShell) -> Ending:
    minutes = plan.site.scheduler.time_limit_minutes
    try:
        status = shell.run(RUN_HERE, plan.folder, timeout=60.0 * minutes).status
    except ToolFailed:  # it was stopped: `sh` itself is never missing
        return Ending(JobState.TIMEOUT, f"{minutes} min")
    return Ending(JobState.FINISHED if status == 0 else JobState.FAILED, "", status)


def fetching(record: RunRecord, shell: SiteShell) -> Callable[[Path], None]:
    """What brings the run's output folder here, unpacked into the place it is given."""

    def fetch(place: Path) -> None:
        parcel = place.with_name("output.tar")
        shell.fetch(f"{record.job['folder']}/output", parcel, LIMIT_BYTES)
        unpack(parcel, place)
        parcel.unlink()

    return fetch
