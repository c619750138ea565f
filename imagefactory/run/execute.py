"""A run, done: stage, send, start, wait, fetch, judge, and the record of it all."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused, UsageFault
from imagefactory.base.files import write_text
from imagefactory.base.report import Report
from imagefactory.model import find_model, freeze, read_spikes, write_spikes
from imagefactory.run import slurm
from imagefactory.run.facts import read_ranks, record_facts
from imagefactory.run.job import parcel_of
from imagefactory.run.keeping import (
    failures_kept,
    keep_failure,
    launcher_version,
    new_record,
    timed,
    with_staged,
)
from imagefactory.run.outcome import Ending, Outcome, judge
from imagefactory.run.parcel import LIMIT_BYTES, pack, unpack
from imagefactory.run.plan import RunPlan
from imagefactory.run.record import RunRecord, read_record, write_record
from imagefactory.run.shell import SiteShell, open_shell
from imagefactory.run.staging import Staged, stage, store_file
from imagefactory.run.states import JobState
from imagefactory.site import Site, load_site

# Without Slurm job.sh is run in place; its streams go where sbatch puts them.
RUN_HERE = 'cd "$1" && mkdir -p output && exec sh job.sh >output/job.log 2>&1 </dev/null'
CHECK_FILE = 'test -r "$1" || exit 1; "$2" --version'
ASK_SECONDS = 120.0


@dataclass(frozen=True)
class Tools:
    """What a run does outside; tests hand in a site of their own."""

    shell: SiteShell
    sleep: Callable[[float], None] = time.sleep


def execute(plan: RunPlan, report: Report) -> RunRecord:
    """Do the run; returns the record of a finished one.

    Any other end raises a FactoryError, after the record of the failed run was written.
    """
    with open_shell(plan.site.access, report) as shell:
        return execute_with(plan, Tools(shell), report)


def execute_with(plan: RunPlan, tools: Tools, report: Report) -> RunRecord:
    """As `execute`, with a shell that is open already."""
    record = new_record(plan)
    write_text(record.folder / "job.sh", plan.job)
    write_text(record.folder / "parameters.json", plan.parameters_text)
    write_record(record)
    with failures_kept(record):
        with report.step(f"stage one on {plan.site.name}: the image"), timed(record, "stage_s"):
            staged = _stage(plan, tools, report)
        record = with_staged(record, plan, staged)
        write_record(record)
        with report.step("send the run's files"), timed(record, "send_s"):
            _send(plan, tools.shell)
        if plan.site.scheduler.kind == "none":
            with report.step(f"run on {plan.site.name}"), timed(record, "run_s"):
                ending = _run_here(plan, tools.shell)
            return _collect(record, plan.site, ending, tools.shell, report)
        record = replace(
            record, state=JobState.SUBMITTED,
            job=record.job | {"id": slurm.submit(tools.shell, plan.folder)},
        )  # fmt: skip
        write_record(record)  # at once: a client that is killed now can be resumed
    return _follow(record, plan.site, tools, report)


def resume(run: str, report: Report) -> RunRecord:
    """Go on with a run whose job was submitted, but whose client ended before the job did."""
    record = read_record(run)
    if JobState(record.state).is_final or not record.job.get("id"):
        raise UsageFault(
            f"the run is {record.state}: there is nothing to wait for",
            where=record.id,
            fix="imagefactory runs",
        )
    site = load_site(record.site)
    with open_shell(site.access, report) as shell:
        return _follow(record, site, Tools(shell), report)


def _follow(record: RunRecord, site: Site, tools: Tools, report: Report) -> RunRecord:
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
        report.warn(f"job {job} goes on without us; later: imagefactory runs {record.id} --resume")
        raise
    with failures_kept(record):
        return _collect(record, site, ending, tools.shell, report)


def _collect(
    record: RunRecord, site: Site, ending: Ending, shell: SiteShell, report: Report
) -> RunRecord:
    """Fetch what the run wrote, judge it, write the record; raises unless it is FINISHED."""
    model = find_model(record.model)
    with report.step("fetch the results"), timed(record, "fetch_s"):
        output = _fetch(record, shell)
    ranks = read_ranks(output)
    log = _keep_log(record, output)
    outcome = judge(ending, record.geometry["ranks"], ranks, log, _place(record, site))
    facts: dict[str, Any] = record_facts(model, ranks)
    timings = record.timings | facts.pop("timings")
    machine = record.machine | facts.pop("machine")
    record = replace(
        record, state=outcome.state, timings=timings, machine=machine,
        launcher=record.launcher | launcher_version(output),
        job=record.job | ({"word": ending.word} if ending.word else {}), **facts,
    )  # fmt: skip
    record, outcome = _keep_spikes(record, output, outcome)
    write_record(record)
    shutil.rmtree(output.parent, ignore_errors=True)
    if outcome.error is not None:
        keep_failure(record, outcome.state, outcome.error)
        raise outcome.error
    return record


def _stage(plan: RunPlan, tools: Tools, report: Report) -> Staged:
    if plan.image.source is not None:
        store_file(plan.image.source, Path(plan.image.path), plan.image.sif)
        done = tools.shell.run(
            CHECK_FILE, plan.image.path, plan.site.apptainer, timeout=ASK_SECONDS
        )
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


def _send(plan: RunPlan, shell: SiteShell) -> None:
    with tempfile.TemporaryDirectory(prefix="imagefactory-") as folder:
        parcel, contents = (
            Path(folder) / "run.tar",
            parcel_of(plan.model, plan.parameters_text, plan.job),
        )
        if plan.parameters.get("frozen"):
            contents["inside/frozen.npz"] = Path(folder) / "frozen.npz"
            freeze(plan.model, plan.parameters, Path(folder) / "frozen.npz")
        pack(contents, parcel)
        shell.send(parcel, plan.folder)


def _run_here(plan: RunPlan, shell: SiteShell) -> Ending:
    minutes = plan.site.scheduler.time_limit_minutes
    try:
        status = shell.run(RUN_HERE, plan.folder, timeout=60.0 * minutes).status
    except ToolFailed:  # it was stopped: `sh` itself is never missing
        return Ending(JobState.TIMEOUT, f"{minutes} min")
    return Ending(JobState.FINISHED if status == 0 else JobState.FAILED, "", status)


def _fetch(record: RunRecord, shell: SiteShell) -> Path:
    """The run's output folder, fetched beside its parameters; a temporary place."""
    place = Path(tempfile.mkdtemp(prefix=".fetch-", dir=record.folder))
    parcel = place / "output.tar"
    shell.fetch(f"{record.job['folder']}/output", parcel, LIMIT_BYTES)
    unpack(parcel, place / "output")
    parcel.unlink()
    shutil.copy(record.folder / "parameters.json", place)
    (place / "output").mkdir(exist_ok=True)
    ranks = record.folder / "ranks"
    ranks.mkdir(exist_ok=True)
    for path in (place / "output").glob("rank-*.json"):
        shutil.copyfile(path, ranks / path.name)
    return place / "output"


def _keep_log(record: RunRecord, output: Path) -> str:
    path = output / "job.log"
    log = path.read_text("utf-8", "replace") if path.is_file() else ""
    write_text(record.folder / "log.txt", log)
    return log


def _keep_spikes(record: RunRecord, output: Path, outcome: Outcome) -> tuple[RunRecord, Outcome]:
    """The merged spikes of a finished run; spikes that are missing or damaged make it FAILED."""
    if outcome.state is not JobState.FINISHED:
        return record, outcome
    try:
        spikes = read_spikes(output.parent)
    except FactoryError as err:
        return replace(record, state=JobState.FAILED), Outcome(JobState.FAILED, err)
    write_spikes(spikes, record.folder / "spikes.npz")
    about = {"file": "spikes.npz", "digest": str(spikes.digest), "count": len(spikes)}
    return replace(record, spikes=about), outcome


def _place(record: RunRecord, site: Site) -> str:
    job = f"job {record.job['id']}" if record.job.get("id") else record.id
    return f"{site.name}, {job}, log {record.folder / 'log.txt'}"
