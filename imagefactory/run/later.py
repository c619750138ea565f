"""A run that another process began: watched, fetched, cancelled, gone on with; by any carrier."""

from __future__ import annotations

from imagefactory.base.errors import ToolFailed, UsageFault
from imagefactory.base.report import Report
from imagefactory.run import nmpi_run, remote, slurm
from imagefactory.run.collecting import collect
from imagefactory.run.execute import Tools, fetching, follow
from imagefactory.run.keeping import failures_kept, keep_failure
from imagefactory.run.outcome import Ending
from imagefactory.run.record import RunRecord, read_record
from imagefactory.run.shell import open_shell
from imagefactory.run.states import JobState
from imagefactory.site import load_site


def resume(run: str, report: Report, link: remote.Link | None = None) -> RunRecord:
    """Go on with a run whose client ended before the run did, from where it was, to its end."""
    record = _unfinished(run, needs_job=False)
    if _is_queued(record):
        return nmpi_run.resume_job(record, report)
    if _is_remote(record):
        link = link or remote.open_link(load_site(record.site), report)
        return remote.finish_run(remote.go_on(record, link, report), link, report)
    return watch(run, report)


def watch(run: str, report: Report, link: remote.Link | None = None) -> RunRecord:
    """Wait for the job of a run that was started, fetch and judge it."""
    record = _unfinished(run)
    if _is_queued(record):
        return nmpi_run.resume_job(record, report)
    site = load_site(record.site)
    if _is_remote(record):
        return remote.finish_run(record, link or remote.open_link(site, report), report)
    with open_shell(site.access, report) as shell:
        return follow(record, site, Tools(shell), report)


def fetch(run: str, report: Report, link: remote.Link | None = None) -> RunRecord:
    """Fetch and judge a run whose job is over, without waiting; else raises UsageFault."""
    record = _unfinished(run)
    if _is_queued(record):
        return nmpi_run.fetch_job(record, report)
    site = load_site(record.site)
    if _is_remote(record):
        return remote.fetch_run(record, link or remote.open_link(site, report), report)
    with open_shell(site.access, report) as shell:
        tools = Tools(shell)
        job, folder = str(record.job["id"]), str(record.job["folder"])
        seen = slurm.look(shell, job, folder, report, None, tools.sleep)
        over = seen.gone or seen.exit_status is not None
        if not over and not (seen.state and seen.state.is_final):
            raise UsageFault(
                f"the job is not over: {seen.word}", where=record.id,
                fix=f"imagefactory runs watch {record.id}",
            )  # fmt: skip
        state = JobState.FINISHED if seen.exit_status == 0 else seen.state or JobState.FAILED
        with failures_kept(record):
            ending = Ending(state, seen.word, seen.exit_status)
            return collect(record, site.name, ending, fetching(record, shell), report)


def cancel(run: str, report: Report, link: remote.Link | None = None) -> RunRecord:
    """Cancel the job of a run that is not over."""
    record = _unfinished(run, needs_job=False)
    if _is_queued(record):
        return nmpi_run.cancel_job(record, report)
    site = load_site(record.site)
    if _is_remote(record):
        return remote.cancel_run(record, link or remote.open_link(site, report), report)
    if record.job.get("id"):
        with open_shell(site.access, report) as shell:
            slurm.cancel(shell, str(record.job["id"]))
    keep_failure(record, JobState.CANCELLED, ToolFailed("cancelled by the user"))
    return read_record(record.folder)


def _is_remote(record: RunRecord) -> bool:
    return record.job.get("via") == "unicore"


def _is_queued(record: RunRecord) -> bool:
    return record.job.get("via") == "nmpi"


def _unfinished(run: str, *, needs_job: bool = True) -> RunRecord:
    record = read_record(run)
    ready = bool(record.job.get("started" if _is_remote(record) else "id"))
    posted = _is_remote(record) or _is_queued(record)
    if JobState(record.state).is_final or (not ready and (needs_job or not posted)):
        waiting = not JobState(record.state).is_final and posted
        raise UsageFault(
            f"the run is {record.state}: there is nothing to wait for",
            where=record.id,
            fix=f"imagefactory runs resume {record.id}" if waiting else "imagefactory runs",
        )
    return record
