"""A run on a neuromorphic queue, done: submitted once, watched, fetched, judged; resumable.

The record says what is about to be done before it is done. A submission whose reply is lost is
looked for by its tag, the run's id, before anything is submitted again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from imagefactory.base.errors import ServiceAway, ToolFailed, UsageFault
from imagefactory.base.files import write_text
from imagefactory.base.http import retrying
from imagefactory.base.report import Report
from imagefactory.base.tokens import Surroundings, find_source
from imagefactory.base.values import Digest
from imagefactory.run.collecting import collect
from imagefactory.run.frozen import draw_frozen
from imagefactory.run.keeping import keep_failure, timed
from imagefactory.run.nmpi import Nmpi, SeenJob, connect_nmpi, verification_of
from imagefactory.run.nmpi_plan import BACKEND, EMULATED, ONE, NmpiPlan, program_text, submission
from imagefactory.run.outcome import TAIL_LINES, Ending
from imagefactory.run.parcel import LIMIT_BYTES, unpack
from imagefactory.run.record import RunRecord, read_record, runs_folder, write_record
from imagefactory.run.remote import AWAY_PAUSES, alone, kept_with, poll_pauses, resumable
from imagefactory.run.states import JobState
from imagefactory.site import JobQueue, load_queue

T = TypeVar("T")

NAME = "imagefactory-output.tar"
LONGEST_SECONDS = 24 * 3600.0  # of one watching; the run itself can be gone on with
SYSTEMS = {"spiNNaker": BACKEND, EMULATED: EMULATED}
_OUTPUT = re.compile(r"^imagefactory: output (\d{1,12}) (sha256:[0-9a-f]{64})\s*$", re.MULTILINE)
_SYSTEM = re.compile(r"^imagefactory: run \S+, system (\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Line:
    """An open way to a queue; tests hand in one of their own."""

    nmpi: Nmpi
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def open_line(queue: JobQueue, report: Report, around: Surroundings | None = None) -> Line:
    """Ready to call, with a token that holds."""
    around = replace(around or Surroundings(), verify=verification_of(queue))
    tokens = find_source(None, report, around)
    tokens.get()
    return Line(connect_nmpi(queue, tokens, around.verify), around.sleep)


def execute_on_queue(
    plan: NmpiPlan, report: Report, *, detach: bool = False, line: Line | None = None
) -> RunRecord:
    """Do the run; returns the record of a finished one, with `detach` of one that is submitted.

    Token, right and quota are checked before anything is drawn or written.
    """
    line = line or open_line(plan.queue, report)
    with report.step(f"token, collab and quota at {plan.queue.name}"):
        quota = _admit(plan, line, report)
    record = _new_record(plan, quota)
    record.folder.mkdir(parents=True, exist_ok=True)
    code = program_text(plan, draw_frozen(plan, record.folder))
    write_text(record.folder / "job.py", code)
    write_text(record.folder / "job.json", json.dumps(submission(plan, ""), indent=1) + "\n")
    write_text(record.folder / "parameters.json", plan.parameters_text)
    write_record(record)
    record = _submit(record, line, report)
    return record if detach else _finish(record, line, report)


def resume_job(record: RunRecord, report: Report, line: Line | None = None) -> RunRecord:
    """Go on with a run from wherever its client ended, to its end."""
    line = line or open_line(load_queue(record.site), report)
    if not record.job.get("id"):
        record = _submit(record, line, report)
    return _finish(record, line, report)


def fetch_job(record: RunRecord, report: Report, line: Line | None = None) -> RunRecord:
    """Fetch and judge a run whose job is over; raises UsageFault while it is not."""
    line = line or open_line(load_queue(record.site), report)
    with resumable(record, report):
        seen = _look(record, line, report)
    if not seen.state.is_final:
        raise UsageFault(
            f"the job is not over: {seen.word}", where=record.id,
            fix=f"imagefactory runs watch {record.id}",
        )  # fmt: skip
    return _take(record, line, report)


def cancel_job(record: RunRecord, report: Report, line: Line | None = None) -> RunRecord:
    """Remove the job from the queue; the record says CANCELLED. A provider that runs it already
    goes on: the service has no way to stop it."""
    line = line or open_line(load_queue(record.site), report)
    with alone(record) as latest:
        known = latest.job.get("id")
        numbers = [int(known)] if known else _found(latest, line)
        for number in numbers:
            seen = _again(line, lambda number=number: line.nmpi.look(number, report))  # type: ignore[misc]
            if seen.state is JobState.FINISHED:
                raise UsageFault(
                    "the job has finished: there is nothing to cancel", where=record.id,
                    fix=f"imagefactory runs fetch {record.id}",
                )  # fmt: skip
            _again(line, lambda number=number: line.nmpi.remove(number))  # type: ignore[misc]
            if seen.state is JobState.RUNNING:
                report.warn(f"job {number} was running: its provider may go on to its end")
        keep_failure(latest, JobState.CANCELLED, ToolFailed("cancelled by the user"))
    return read_record(record.folder)


def _admit(plan: NmpiPlan, line: Line, report: Report) -> dict[str, Any] | None:
    """Raise before anything is submitted; returns the quota as it is now."""
    nmpi = line.nmpi
    # Nothing is under way yet: who waits here waits for nothing for long.
    retrying(lambda: nmpi.check_right(plan.collab), sleep=line.sleep)
    quota = retrying(lambda: nmpi.quota(plan.collab), sleep=line.sleep)
    if plan.queue.double:
        report.warn("this queue is the sandbox's double: no SpiNNaker takes part")
    if quota is None:
        report.note(f"{plan.collab} has no quota yet: the first job makes a test quota")
        return None
    if quota.usage >= quota.limit:
        raise ToolFailed(
            f"the quota of {plan.collab} is used up: {quota.usage:g} of {quota.limit:g} "
            f"{quota.units}",
            where=plan.queue.url,
            fix="ask for more in the Job Manager app of your collab",
        )
    report.note(f"quota: {quota.usage:g} of {quota.limit:g} {quota.units} used")
    return {"limit": quota.limit, "usage": quota.usage, "units": quota.units}


def _new_record(plan: NmpiPlan, quota: dict[str, Any] | None) -> RunRecord:
    queue = plan.queue
    return RunRecord(
        id=plan.id,
        state=JobState.PREPARED,
        site=queue.name,
        model=plan.model.name,
        backend=BACKEND,
        image={"reference": f"none: {queue.platform} at {queue.url}", "sif": None, "size": None},
        geometry={
            "nodes": ONE.nodes,
            "ranks": ONE.ranks,
            "threads": ONE.threads,
            "virtual_processes": ONE.virtual_processes,
        },
        parameters=dict(plan.parameters),
        model_code=str(plan.model.code),
        commands=[["POST", f"{queue.url}/jobs/"]],
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        job={
            "via": "nmpi", "url": queue.url, "collab": plan.collab, "platform": queue.platform,
            "tag": plan.id, "double": queue.double, "quota_before": quota,
        },
        folder=runs_folder() / plan.id,
    )  # fmt: skip


def _submit(record: RunRecord, line: Line, report: Report) -> RunRecord:
    step = report.step(f"submit to {record.site}")
    with resumable(record, report), step, alone(record) as latest, timed(latest, "submit_s"):
        found = _found(latest, line) if latest.job.get("submitting") else []
        if not found:
            now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            latest = kept_with(latest, submitting=now)  # before: it may be done and not told
            found = [_submit_surely(latest, line)]
        latest = replace(latest, state=JobState.SUBMITTED)
        return kept_with(latest, id=found[-1])


def _submit_surely(record: RunRecord, line: Line) -> int:
    job = json.loads((record.folder / "job.json").read_text(encoding="utf-8"))
    job["code"] = (record.folder / "job.py").read_text(encoding="utf-8")
    pauses = iter(AWAY_PAUSES)
    while True:
        try:
            return line.nmpi.submit(job)
        except ServiceAway:
            pause = next(pauses, None)
            if pause is None:
                raise
            line.sleep(pause)
            found = _found(record, line)
            if found:
                return found[-1]


def _finish(record: RunRecord, line: Line, report: Report) -> RunRecord:
    number = int(record.job["id"])
    try:
        step = report.step(f"job {number} at {record.site}")
        with resumable(record, report), step, timed(record, "job_s"):
            record = _watch(record, line, report)
    except KeyboardInterrupt:
        report.warn("stopped by the user: taking the job off the queue")
        cancel_job(record, report, line)
        raise
    return _take(record, line, report)


def _watch(record: RunRecord, line: Line, report: Report) -> RunRecord:
    last, began = "", line.clock()
    for pause in poll_pauses():
        seen = _look(record, line, report, last)
        if seen.word != last:
            report.note(f"job {record.job['id']}: {seen.word}")
            record = replace(record, state=seen.state if not seen.state.is_final else record.state)
            write_record(record)
        if seen.state.is_final:
            return record
        if line.clock() - began > LONGEST_SECONDS:
            raise ServiceAway(
                f"the job is {seen.word} still: nothing more is waited for", where=record.id,
                fix=f"imagefactory runs watch {record.id}",
            )  # fmt: skip
        last = seen.word
        line.sleep(pause)
    raise AssertionError  # the pauses do not end


def _take(record: RunRecord, line: Line, report: Report) -> RunRecord:
    """From a job that is over to the record's end; any other than FINISHED raises."""
    with resumable(record, report):
        seen = _look(record, line, report, log=True)
        record = _with_facts(record, seen)
        write_text(record.folder / "log.txt", seen.log)
        write_record(record)
        if seen.state is not JobState.FINISHED:
            _end_badly(record, seen)
        if seen.provenance.get("board") == "virtual":
            _end_mapped(record)
        return collect(
            record, record.site, Ending(JobState.FINISHED, seen.word, 0),
            lambda place: _fetch(seen, place, line), report,
        )  # fmt: skip


def _with_facts(record: RunRecord, seen: SeenJob) -> RunRecord:
    """What really ran, as log and provenance say it; "unknown" where neither does."""
    told = _SYSTEM.search(seen.log)
    system = told[1] if told else str(seen.provenance.get("system", "unknown"))
    files = [{key: item.get(key) for key in ("url", "path", "size", "hash")} for item in seen.files]
    return replace(
        record,
        backend=SYSTEMS.get(system, record.backend),
        job=record.job
        | {
            "word": seen.word, "system": system, "provenance": dict(seen.provenance),
            "usage": dict(seen.usage), "files": files,
        },
    )  # fmt: skip


def _end_badly(record: RunRecord, seen: SeenJob) -> None:
    number, state = record.job["id"], seen.state
    tail = "\n".join(seen.log.strip().splitlines()[-TAIL_LINES:])
    if state is JobState.CANCELLED:
        error = ToolFailed(f"job {number} was removed from the queue", where=record.site)
    else:
        error = ToolFailed(
            f"job {number} ended with an error at its provider",
            where=f"{record.site}, log {record.folder / 'log.txt'}",
            fix="read the log",
            detail=tail or "the provider left no log",
        )
    keep_failure(record, state, error)
    raise error


def _end_mapped(record: RunRecord) -> None:
    error = ToolFailed(
        "the job was mapped on a virtual board: nothing was simulated, and there are no spikes",
        where=record.site,
        fix=f"imagefactory model map {record.model} says more, without a queue",
    )
    keep_failure(record, JobState.FAILED, error)
    raise error


def _fetch(seen: SeenJob, place: Path, line: Line) -> None:
    """The program's output, held against the length and sha256 that it wrote into the log."""
    told = _OUTPUT.findall(seen.log)
    if not told:
        raise ToolFailed("the log does not say what the output is", fix="read the log")
    bytes_, digest = int(told[-1][0]), Digest(told[-1][1])
    if bytes_ > LIMIT_BYTES:
        raise ToolFailed("the results are larger than a run's can be", where=f"{bytes_} bytes")
    item = _output_of(seen.files)
    parcel = place.with_name("output.tar")
    _again(line, lambda: line.nmpi.download(item, parcel, bytes_, digest))
    place.mkdir(parents=True, exist_ok=True)
    unpack(parcel, place)
    parcel.unlink()
    write_text(place / "job.log", seen.log)


def _output_of(files: tuple[Mapping[str, Any], ...]) -> Mapping[str, Any]:
    named = [item for item in files if NAME in str(item.get("path") or item.get("url"))]
    for item in (*named, *files):
        if urlsplit(str(item.get("url"))).path.rpartition("/")[2].startswith(NAME) or item in named:
            return item
    raise ToolFailed(f"the job has left no {NAME}", fix="read the log")


def _look(
    record: RunRecord, line: Line, report: Report, last: str = "", *, log: bool = False
) -> SeenJob:
    number = int(record.job["id"])
    return _again(line, lambda: line.nmpi.look(number, report, last, log=log))


def _found(record: RunRecord, line: Line) -> list[int]:
    return _again(line, lambda: line.nmpi.find(str(record.job["tag"])))


def _again(line: Line, call: Callable[[], T]) -> T:
    return retrying(call, AWAY_PAUSES, line.sleep)
