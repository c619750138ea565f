"""A run through UNICORE, done: posted once, watched, fetched, judged; resumable at every point.

What is about to be done stands in the record before it is done. A post whose reply is lost is
looked for by its tag, the run's id, before anything is posted again, and a job runs only when it
was started: so no run is done twice.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from imagefactory.base.errors import (
    FactoryError,
    ServiceAway,
    ToolFailed,
    TrustRefused,
    UsageFault,
)
from imagefactory.base.files import locked, write_text
from imagefactory.base.http import retrying
from imagefactory.base.process import Done
from imagefactory.base.report import Report, Silent, clock
from imagefactory.base.tokens import Issuer, Surroundings, TokenRefused, find_source
from imagefactory.run.artefact import read_files, read_job, write_job
from imagefactory.run.collecting import collect
from imagefactory.run.description import Mode, describe, on_login_node
from imagefactory.run.frozen import draw_frozen
from imagefactory.run.keeping import keep_failure, new_record, timed
from imagefactory.run.outcome import Ending
from imagefactory.run.parcel import LIMIT_BYTES, unpack
from imagefactory.run.plan import RunPlan
from imagefactory.run.record import RunRecord, read_record, write_record
from imagefactory.run.staging import MARK, Staged, explain_stage_one, read_line
from imagefactory.run.states import JobState
from imagefactory.run.unicore import NotThere, Seen, UnicoreSite, connect, verification
from imagefactory.site import Site

T = TypeVar("T")

AWAY_PAUSES = (2.0, 5.0, 15.0, 30.0, 60.0)
TEXT_BYTES = 1_000_000
PRE = ".UNICORE_PRE_0"
TAIL_BYTES = 400
ABORTS = 3
_BEGUN = {"QUEUED", "RUNNING", "STAGINGOUT", "SUCCESSFUL", "FAILED"}
LOOKS_AFTER_ABORT = 5


@dataclass(frozen=True)
class Link:
    """An open way to a site's UNICORE; tests hand in one of their own."""

    unicore: UnicoreSite
    sleep: Callable[[float], None] = time.sleep


def open_link(site: Site, report: Report, around: Surroundings | None = None) -> Link:
    """Connect, with a token that holds. Warns of one that ends before the job may end."""
    access = site.unicore
    if access is None:
        raise UsageFault(
            f"site {site.name} has no key unicore", fix="add it to the site record: docs/sites.md"
        )
    around = replace(around or Surroundings(), verify=verification(access))
    issuer = Issuer(access.issuer, access.client_id) if access.client_id else None
    tokens = find_source(issuer, report, around)
    token = tokens.get()
    left = token.seconds_left(around.clock())
    if left is not None and left < 60 * site.scheduler.time_limit_minutes:
        report.warn(
            f"the token from {token.source} ends in {clock(left)}; if it is not renewed there, the "
            "job goes on without us: imagefactory runs resume RUN"
        )
    return Link(connect(access, tokens, around.verify), around.sleep)


def submit_run(plan: RunPlan, mode: Mode, link: Link, report: Report) -> RunRecord:
    """Post the run's job, send its files, start it; returns its record with the job's URL."""
    job = describe(plan, mode)
    record = new_record(plan)
    record = replace(
        record,
        job={"via": "unicore", "mode": mode.value, "site": link.unicore.core, "tag": plan.id},
        commands=[["POST", f"{link.unicore.core}/jobs"], list(plan.launch)],
    )
    record.folder.mkdir(parents=True, exist_ok=True)
    write_job(job, record.folder / "job", draw_frozen(plan, record.folder))
    write_text(record.folder / "parameters.json", plan.parameters_text)
    write_record(record)
    return go_on(record, link, report)


def go_on(record: RunRecord, link: Link, report: Report) -> RunRecord:
    """Bring a run to where its job is started, from wherever its client ended."""
    step = report.step(f"submit to {record.site} through UNICORE")
    with resumable(record, report), step, alone(record) as latest, timed(latest, "submit_s"):
        try:
            if not latest.job.get("id"):
                latest = _post(latest, link)
            if not latest.job.get("started"):
                latest = _send(latest, link, report)
        except KeyboardInterrupt:
            report.warn(f"stopped half-way: imagefactory runs resume {record.id}, or runs cancel")
            raise
    return latest


def finish_run(record: RunRecord, link: Link, report: Report) -> RunRecord:
    """Wait for the job's end, fetch and judge; returns the record of a finished run."""
    try:
        step = report.step(f"job on {record.site} through UNICORE")
        with resumable(record, report), step, timed(record, "job_s"):
            record, seen = _watch(record, link, report)
    except KeyboardInterrupt:
        report.warn("stopped by the user: cancelling the job")
        cancel_run(record, link, report)
        raise
    return take_results(record, seen, link, report)


def fetch_run(record: RunRecord, link: Link, report: Report) -> RunRecord:
    """Fetch and judge a run whose job is over; raises UsageFault while it is not."""
    with resumable(record, report):
        seen = _ask(record, link, report)
    if not seen.state.is_final:
        raise UsageFault(
            f"the job is not over: {seen.word}", where=record.id,
            fix=f"imagefactory runs watch {record.id}",
        )  # fmt: skip
    return take_results(record, seen, link, report)


def cancel_run(record: RunRecord, link: Link, report: Report) -> RunRecord:
    """Abort the job, and see that it has ended; the record says CANCELLED."""
    with alone(record) as latest:
        jobs = [str(latest.job["id"])] if latest.job.get("id") else _found(latest, link)
        if latest.job.get("id") and _ask(latest, link, report).state is JobState.FINISHED:
            raise UsageFault(
                "the job has finished: there is nothing to cancel", where=record.id,
                fix=f"imagefactory runs fetch {record.id}",
            )  # fmt: skip
        for job in jobs:
            _abort(job, link, report)
        keep_failure(latest, JobState.CANCELLED, ToolFailed("cancelled by the user"))
    return read_record(record.folder)


def take_results(record: RunRecord, seen: Seen, link: Link, report: Report) -> RunRecord:
    """From a job that is over to the record's end; any other than FINISHED raises."""
    with resumable(record, report):
        error = _never_begun(seen, link)
        if error is not None:
            # At once: a registry that was away may come back, but this job is over.
            keep_failure(record, JobState.FAILED, error)
            raise error
        record = _with_stage_one(record, seen, link, report)
        ending = ending_of(seen, _text(link, seen, "stderr"))
        return collect(record, record.site, ending, lambda place: _fetch(seen, place, link), report)


def ending_of(seen: Seen, errors: str) -> Ending:
    """How a job ended that UNICORE calls SUCCESSFUL or FAILED (facts/unicore-nmpi.md 2.5, 2.9).

    A job that Slurm ended has no exit code: the cause stands in its standard error alone.
    """
    word = seen.message or seen.word
    if seen.state is JobState.FINISHED:
        return Ending(JobState.FINISHED, seen.word, 0 if seen.exit_code is None else seen.exit_code)
    text = "\n".join((errors, *seen.log))
    if seen.exit_code is None and "DUE TO TIME LIMIT" in text:
        return Ending(JobState.TIMEOUT, word)
    if seen.exit_code is None and ("aborted" in seen.message or re.search(r"CANCELLED AT", text)):
        return Ending(JobState.CANCELLED, word)
    return Ending(JobState.FAILED, word, seen.exit_code)


def poll_pauses() -> Iterator[float]:
    """Seconds between looks. The server itself looks every 10 s to 30 s: 120 requests an hour
    is the load of a long wait."""
    yield from (1, 1, 2, 2, 3, 5, 5, 10, 10, 15, 15, 20)
    while True:
        yield 30


def run_on_login_node(
    link: Link, name: str, files: Mapping[str, str], arguments: Sequence[str], report: Report
) -> Done:
    """Run the first of `files`, a POSIX script, on the site's login node, and wait for it.

    A post whose reply is lost leaves a job that was never started; nothing was done then.
    """
    script = next(iter(files))
    contents = {path: text.encode() for path, text in files.items()}
    job = link.unicore.submit(on_login_node(name, script, arguments))
    for pause in poll_pauses():
        seen = _surely(link, job, lambda: link.unicore.look(job, report))
        if seen.state.is_final:
            break
        if seen.word == "READY":
            _upload_and_start(job, seen.folder, contents, link)
        link.sleep(pause)
    status = seen.exit_code if seen.exit_code is not None else 1
    errors = _text(link, seen, "stderr") or ("" if status == 0 else seen.message)
    return Done((script, *arguments), status, _text(link, seen, "stdout"), errors, 0.0)


@contextmanager
def resumable(record: RunRecord, report: Report) -> Iterator[None]:
    """An error that may pass leaves a run that can be gone on with; any other one its record."""
    try:
        yield
    except (ServiceAway, TokenRefused):
        if not JobState(read_record(record.folder).state).is_final:
            report.warn(f"the run can be gone on with: imagefactory runs resume {record.id}")
        raise
    except FactoryError as err:
        latest = read_record(record.folder)
        if not JobState(latest.state).is_final:
            keep_failure(latest, JobState.FAILED, err)
        raise


@contextmanager
def alone(record: RunRecord) -> Iterator[RunRecord]:
    """The record as it stands now, while no other client of ours submits or cancels the run.

    Raises UsageFault if it ended meanwhile.
    """
    with locked(record.folder / "lock"):
        latest = read_record(record.folder)
        if JobState(latest.state).is_final:
            raise UsageFault(f"the run is {latest.state}", where=record.id, fix="imagefactory runs")
        yield latest


# --- the steps ------------------------------------------------------------------------------------


def _post(record: RunRecord, link: Link) -> RunRecord:
    found = _found(record, link) if record.job.get("submitting") else []
    if not found:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        record = kept_with(record, submitting=now)  # before the post: it may be done and not told
        found = [_post_surely(record, link)]
    return kept_with(record, id=found[-1])


def _post_surely(record: RunRecord, link: Link) -> str:
    description = read_job(record.folder / "job")
    pauses = iter(AWAY_PAUSES)
    while True:
        try:
            return link.unicore.submit(description)
        except ServiceAway:
            pause = next(pauses, None)
            if pause is None:
                raise
            link.sleep(pause)
            found = _found(record, link)
            if found:
                return found[-1]


def _found(record: RunRecord, link: Link) -> list[str]:
    return retrying(lambda: link.unicore.find(str(record.job["tag"])), AWAY_PAUSES, link.sleep)


def _send(record: RunRecord, link: Link, report: Report) -> RunRecord:
    job = str(record.job["id"])
    seen = _ask(record, link, report)
    for pause in AWAY_PAUSES:
        if seen.word in _BEGUN or seen.word == "READY":
            break
        link.sleep(pause)
        seen = _ask(record, link, report, seen.word)
    else:
        raise ServiceAway(f"the job is {seen.word}, and takes no files yet", where=job)
    if seen.word == "READY":
        _upload_and_start(job, seen.folder, read_files(record.folder / "job"), link)
    record = replace(record, state=JobState.SUBMITTED)
    return kept_with(record, started=True, folder=seen.folder)


def _upload_and_start(job: str, folder: str, files: Mapping[str, bytes], link: Link) -> None:
    for name, content in sorted(files.items()):
        _surely(link, job, lambda name=name, content=content: link.unicore.upload(  # type: ignore[misc]
            folder, name, content
        ))  # fmt: skip
    _surely(link, job, lambda: link.unicore.start(job))


def _watch(record: RunRecord, link: Link, report: Report) -> tuple[RunRecord, Seen]:
    last, job, staged = "", str(record.job["id"]), Staged()
    for pause in poll_pauses():
        seen = _ask(record, link, report, last)
        if seen.state.is_final:
            return record, seen
        if seen.word == "READY":  # the start did not come through
            _surely(link, job, lambda: link.unicore.start(job))
        if seen.word == "QUEUED" and not staged.image:
            _tell_progress(seen, link, staged, report)
        if seen.word != last:
            report.note(f"job {job.rpartition('/')[2]}: {seen.word}")
            record = replace(record, state=seen.state)
            write_record(record)
        last = seen.word
        link.sleep(pause)
    raise AssertionError  # the pauses do not end


def _tell_progress(seen: Seen, link: Link, staged: Staged, report: Report) -> None:
    """Bytes of the pull, as stage one wrote last. A look that fails is not worth a second one."""
    try:
        text = link.unicore.tail(seen.folder, f"{PRE}/stdout", TAIL_BYTES)
    except ServiceAway:
        return
    for line in text.decode("utf-8", "replace").splitlines():
        if line.startswith((f"{MARK}bytes ", f"{MARK}image ")):
            read_line(line, staged, report)


def _ask(record: RunRecord, link: Link, report: Report, last: str = "") -> Seen:
    job = str(record.job["id"])
    return _surely(link, job, lambda: link.unicore.look(job, report, last))


def _surely(link: Link, job: str, call: Callable[[], T]) -> T:
    """Do what needs the job; raises ToolFailed where the site has forgotten it."""
    try:
        return _again(link, call)
    except NotThere:
        raise ToolFailed(
            "the site does not have the job any more: it was deleted, or its lifetime is over",
            where=job,
            fix="run it again, and fetch sooner",
        ) from None


def _abort(job: str, link: Link, report: Report) -> None:
    for _ in range(ABORTS):
        try:
            _again(link, lambda: link.unicore.abort(job))
            for _ in range(LOOKS_AFTER_ABORT):
                seen = _again(link, lambda: link.unicore.look(job, Silent()))
                if seen.state.is_final:
                    return
                link.sleep(1)
        except NotThere:
            return
    report.warn("the server took the abort, but the job goes on there")
    raise ToolFailed("the job could not be cancelled", where=job, fix="ask the site")


def _never_begun(seen: Seen, link: Link) -> FactoryError | None:
    """Why a job ended before the run began; None if it began."""
    if "re-command(s) failed" in seen.message:
        return _stage_one_failed(seen, link)
    if seen.message.startswith("Processing failed"):
        return ToolFailed(
            "the site did not take the job",
            where=link.unicore.where,
            fix="check partition, account, time limit and nodes of the site record",
            detail=seen.message,
        )
    return None


def _stage_one_failed(seen: Seen, link: Link) -> FactoryError:
    found = re.search(r"<(\d+)>", seen.message)
    errors = _text(link, seen, f"{PRE}/stderr")
    status = int(found[1]) if found else 1
    script = _text(link, seen, "stage.sh").splitlines()
    words = script[-1].split()[3:] if script else []
    arguments = words if len(words) == 6 else ["", "", "", "0", "", ""]
    return explain_stage_one(
        Done(("stage_one.sh",), status, "", errors or seen.message, 0.0),
        arguments,
        link.unicore.where,
    )


def _with_stage_one(record: RunRecord, seen: Seen, link: Link, report: Report) -> RunRecord:
    """The record with what stage one said of the image; another image is refused."""
    staged = Staged()
    for line in _text(link, seen, f"{PRE}/stdout").splitlines():
        read_line(line, staged, Silent())
    if staged.sif and staged.sif != record.image["sif"]:
        raise TrustRefused(
            "stage one has another image than the one asked for",
            where=f"{link.unicore.where}: {staged.image} {staged.sif}",
        )
    if not staged.sif and seen.state is JobState.FINISHED:
        raise ToolFailed("stage one did not say where the image is", where=link.unicore.where)
    return replace(
        record,
        image=record.image | {"verified": staged.sif or None},
        machine=record.machine | {"apptainer": staged.apptainer or None},
        launcher=record.launcher | ({"version": staged.slurm} if staged.slurm else {}),
    )


def _fetch(seen: Seen, place: Path, link: Link) -> None:
    """The job's output folder: as one parcel where the job packed it, else file by file."""
    parcel = place.with_name("output.tar")
    unicore, folder = link.unicore, seen.folder
    if _again(link, lambda: unicore.download(folder, "output.tar", parcel, LIMIT_BYTES)):
        unpack(parcel, place.parent)
        parcel.unlink()
        return
    place.mkdir(parents=True, exist_ok=True)
    files = _again(link, lambda: unicore.listing(folder, "output"))
    if sum(files.values()) > LIMIT_BYTES:
        raise ToolFailed("the results are larger than a run's can be", where=folder)
    for name in files:
        _again(link, lambda name=name: unicore.download(  # type: ignore[misc]
            folder, f"output/{name}", place / name, LIMIT_BYTES
        ))  # fmt: skip
    if "job.log" not in files:
        write_text(place / "job.log", _text(link, seen, "stderr"))


def _text(link: Link, seen: Seen, name: str) -> str:
    found = _again(link, lambda: link.unicore.read(seen.folder, name, TEXT_BYTES))
    return (found or b"").decode("utf-8", "replace")


def kept_with(record: RunRecord, **facts: object) -> RunRecord:
    """The record with more known of its job, written."""
    record = replace(record, job=record.job | facts)
    write_record(record)
    return record


def _again(link: Link, call: Callable[[], T]) -> T:
    return retrying(call, AWAY_PAUSES, link.sleep)
