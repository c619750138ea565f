"""One job and its life: the order of sub-actions, the states, the log, as UNICORE/X 11 has them.

`live` is a generator that stops wherever the server waits; whoever drives it decides how long.
"""

from __future__ import annotations

import contextlib
import posixpath
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from imagefactory.base.errors import FactoryError, ToolFailed
from imagefactory.sandbox.unicore.description import (
    Partition,
    Unfit,
    Work,
    granted_resources,
    read_work,
)
from imagefactory.sandbox.unicore.faults import FaultKind, FaultPlan
from imagefactory.sandbox.unicore.login import BACKGROUND, BATCH, PROCESS, Login, Seen, Watch
from imagefactory.sandbox.unicore.scripts import (
    EXIT_FILE,
    PID_FILE,
    Place,
    batch_message,
    login_command_script,
    login_message,
    step_folder,
)
from imagefactory.sandbox.unicore.wire import java_date, now

READY, STAGINGIN, QUEUED, RUNNING = "READY", "STAGINGIN", "QUEUED", "RUNNING"
STAGINGOUT, SUCCESSFUL, FAILED = "STAGINGOUT", "SUCCESSFUL", "FAILED"
FINAL = {SUCCESSFUL, FAILED}
HOST = "127.0.0.1"  # the name that the login node has in the recordings
NOT_NORMAL = (
    "Job did not complete normally on BSS, please check standard error file and job log for more "
    "information."
)


@dataclass(frozen=True)
class Owner:
    """Whose job it is: the distinguished name, with blanks after its commas."""

    dn: str

    @property
    def short_dn(self) -> str:
        return self.dn.replace(", ", ",")


@dataclass
class Job:
    """Everything that a job's resource shows, and what the server remembers beside it."""

    id: str
    owner: Owner
    document: dict[str, Any]
    folder: str
    submitted: datetime = field(default_factory=now)
    log: list[str] = field(default_factory=list)
    status: str = READY
    message: str = ""
    exit_code: int | None = None
    queue: str | None = None
    batch_id: str | None = None
    work: Work | None = None
    tags: list[str] = field(default_factory=list)
    termination: datetime | None = None
    started: bool = False
    abort_asked: bool = False
    watch: Watch | None = None
    seen: Seen | None = None
    waited: int = 0  # looks for an exit code that was not there
    times: dict[str, datetime] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    @property
    def is_final(self) -> bool:
        return self.status in FINAL

    @property
    def name(self) -> str:
        return self.work.name if self.work else str(self.document.get("Name") or self.id)

    @property
    def place(self) -> Place:
        return Place(self.folder, self.owner.dn)

    def note(self, text: str) -> None:
        """One more line of the log."""
        self.log.append(f"{java_date(now())}: {text}")

    def mark(self, moment: str) -> None:
        """Remember when something happened first."""
        self.times.setdefault(moment, now())

    def begin(self, watch: Watch) -> None:
        """From now on this process is looked at."""
        self.watch, self.seen = watch, None

    def fail(self, message: str) -> None:
        """The end, and it was not well."""
        self.status, self.message, self.watch = FAILED, message, None

    def fail_noted(self, message: str) -> None:
        self.fail(message)
        self.note("Status set to DONE - failure.")


@dataclass(frozen=True)
class Surroundings:
    """What a life needs: the site, its queue, the faults, and how many looks a lost exit code
    is waited for."""

    login: Login
    partition: Partition
    faults: FaultPlan
    grace: int


def live(job: Job, around: Surroundings) -> Iterator[None]:
    """The whole life; each stop is one look at the job. It never raises."""
    try:
        yield from _created(job, around)
        while not job.started and not job.is_final:
            yield
        if not job.is_final:
            yield from _pending(job, around)
    except (Unfit, FactoryError) as err:
        job.fail(f"Processing failed: {_words(err)}")


def live_again(job: Job, around: Surroundings) -> Iterator[None]:
    """A finished job that is restarted: from PENDING on, in the same folder."""
    job.note("RESTARTING job.")
    job.message, job.exit_code, job.batch_id = "", None, None
    for moment in ("pre", "submitted", "main", "end_main", "post", "stage_out", "end"):
        job.times.pop(moment, None)
    job.note("Status set to PENDING.")
    try:
        yield from _pending(job, around)
    except (Unfit, FactoryError) as err:
        job.fail(f"Processing failed: {_words(err)}")


def abort(job: Job, login: Login) -> None:
    """What the server does on an abort: a precommand is not stopped, for it has no id."""
    try:
        kill(job, login)
    except FactoryError as err:
        job.note(f"Could not abort action on BSS: {_words(err)}")
    job.fail("Job aborted.")


def kill(job: Job, login: Login) -> None:
    """Stop the main process of a job, in Slurm or on the login node."""
    if job.batch_id is None:
        job.note(
            "Could not abort action on BSS: java.lang.IllegalArgumentException "
            "Can't abort: no batch system ID."
        )
    elif job.batch_id.startswith("INTERACTIVE_"):
        login.terminate(int(job.batch_id.rpartition("_")[2]))
    else:
        login.cancel(job.batch_id)


def _created(job: Job, around: Surroundings) -> Iterator[None]:
    job.mark("start")
    job.note(f"Created job directory <{job.folder}>")
    if not job.document:
        job.note("Empty job description, nothing to do.")
        _succeed(job)
        return
    job.work = read_work(job.document)
    if job.work.imports:
        job.status = STAGINGIN
        job.note("Status set to PREPROCESSING (staging in).")
        yield
        problem = _stage_in(job, job.work, around.login)
        if problem:
            job.fail_noted(f"Staging in failed. Reason: {problem}")
            return
    job.mark("end_stage_in")
    job.status = READY
    job.note("Status set to READY.")


def _stage_in(job: Job, work: Work, login: Login) -> str:
    for item in work.imports:
        if item.content is not None:
            login.write(inside(job.folder, item.to), item.content.encode())
        elif not item.may_fail:
            return f"this double fetches nothing from elsewhere: {item.source}"
    return ""


def _pending(job: Job, around: Surroundings) -> Iterator[None]:
    work = job.work
    if work is None:  # an empty job that is started again
        _succeed(job)
        return
    job.status = QUEUED
    yield
    if work.before is not None and work.before_on_login:
        job.mark("pre")
        yield from _login_command(job, work, around, "PRE_0", work.before)
    if job.is_final:
        return
    if work.executable is None:
        job.note("No application to execute, changing action status to POSTPROCESSING")
    else:
        yield from _main(job, work, around)
    if not job.is_final:
        yield from _finish(job, work, around)


def _main(job: Job, work: Work, around: Surroundings) -> Iterator[None]:
    if work.kind == "ON_LOGIN_NODE":
        _start_on_login_node(job, work, around.login)
    else:
        _submit(job, work, around)
    yield from _await_main(job, around)
    if job.is_final:
        return
    job.mark("end_main")
    job.note(f"Exit code {job.exit_code}")
    job.note("Job completed on BSS.")
    job.status, job.watch = STAGINGOUT, None
    yield
    if job.exit_code and not work.ignore_exit_code:
        job.fail_noted(
            f"User application exited with non-zero exit code: <{job.exit_code}>. {_more(job)}"
        )


def _submit(job: Job, work: Work, around: Surroundings) -> None:
    login = around.login
    try:
        granted = granted_resources(work, around.partition)
        shown = ", ".join(f"{name}={value}" for name, value in granted.items())
        job.note(f"Requesting resources: [{shown}]")
        message = batch_message(work, job.place, granted)
        number = login.submit(message, job.folder)
    except (Unfit, ToolFailed) as err:
        problem = f"Could not submit job: {_words(err)}"
        job.note(problem)
        raise Unfit(problem) from None
    _note_submission(job, message, f"BSSID={number}", login)
    job.batch_id = number
    job.queue = None if work.kind == "RAW" else granted["Queue"]  # RAW: Slurm will say
    job.begin(Watch(job.id, BATCH, number, "", f"{job.folder}{EXIT_FILE}"))


def _start_on_login_node(job: Job, work: Work, login: Login) -> None:
    job.note("Execution on login node")
    message = login_message(work, job.place)
    number = login.start_process(message, job.folder)
    _note_submission(job, message, f"PID={number} on [{HOST}]", login)
    job.batch_id = f"INTERACTIVE_{HOST}_{number}"
    job.status = RUNNING
    job.mark("main")
    job.begin(Watch(job.id, PROCESS, str(number), "", f"{job.folder}{EXIT_FILE}"))


def _note_submission(job: Job, message: str, number: str, login: Login) -> None:
    job.mark("submitted")
    job.note(f"Command is: {message}")
    job.note("TSI reply: submission OK.")
    job.note(f"Submitted to TSI as [{login.user} {login.group}:DEFAULT_GID] with {number}")


def _await_main(job: Job, around: Surroundings) -> Iterator[None]:
    """Until the process is gone and its exit code is there, or has been waited for long enough."""
    lost = around.faults.draw(job.name, FaultKind.EXIT_CODE_LOST) is not None
    for _ in _until_gone(job):
        if job.seen and job.seen.queue:
            job.queue = job.seen.queue
        if job.seen and job.seen.state in {QUEUED, RUNNING}:
            job.status = job.seen.state
        if job.status == RUNNING:
            job.mark("main")
        yield
    job.mark("main")
    for _ in range(around.grace):
        if not lost and job.seen and job.seen.exit_code is not None:
            job.exit_code = job.seen.exit_code
            return
        job.waited += 1
        yield
    if job.watch and job.watch.kind == PROCESS:
        job.fail(_no_exit_file(job.work.stderr if job.work else "stderr"))
        return
    with contextlib.suppress(FactoryError):  # Slurm may have forgotten it
        details = around.login.details(job.batch_id or "")
        job.note(f"Detailed job information from batch system: {details}")
    job.fail(NOT_NORMAL)


def _until_gone(job: Job) -> Iterator[None]:
    yield
    while job.seen is None or job.seen.state is not None:
        yield


def _login_command(
    job: Job, work: Work, around: Surroundings, step: str, command: str
) -> Iterator[None]:
    """Run a command before or after the main one; its failure is the job's."""
    name = "Pre" if step == "PRE_0" else "Post"
    begun = java_date(now())
    job.note(f"Launched {name.lower()} command <{command}>")
    folder = step_folder(job.place, step)
    script = login_command_script(work, job.place, step, command)
    around.login.start_command(script, folder)
    exit_file = f"{folder}{step}_{EXIT_FILE}"
    job.begin(Watch(job.id, BACKGROUND, "", f"{folder}{step}_{PID_FILE}", exit_file))
    result = CommandResult()
    yield from _await_command(job, around, folder, result)
    job.watch = None
    if name == "Pre" and around.faults.draw(job.name, FaultKind.PRECOMMAND_FAILS):
        result.exit_code = 1
    _note_command(job, around.login, name, begun, command, script, result)
    may_fail = name == "Pre" and work.before_may_fail
    problem = result.problem
    if result.exit_code and not may_fail:
        problem = f"Command exited with non-zero exit code: <{result.exit_code}>. {_more(job)}"
    if problem:
        job.note(f"{name}-commands was NOT SUCCESSFUL: {problem}")
        job.fail_noted(f"{name}-command(s) failed: [{problem}]")


@dataclass
class CommandResult:
    """How a login-node command ended: an exit code, or why there is none."""

    exit_code: int | None = None
    pid: int | None = None
    problem: str = ""


def _await_command(
    job: Job, around: Surroundings, folder: str, result: CommandResult
) -> Iterator[None]:
    for _ in range(around.grace):
        yield
        result.pid = job.seen.pid if job.seen else None
        if result.pid is not None:
            break
        job.waited += 1
    else:
        file = job.watch.pid_file if job.watch else folder
        result.problem = f"Processing failed: Could not read PID file <{file}> on <{HOST}>"
        return
    while job.seen and job.seen.state is not None:
        yield
    for _ in range(around.grace):
        if job.seen and job.seen.exit_code is not None:
            result.exit_code = job.seen.exit_code
            return
        job.waited += 1
        yield
    result.problem = _no_exit_file("stderr")


def _note_command(
    job: Job,
    login: Login,
    name: str,
    begun: str,
    command: str,
    script: str,
    result: CommandResult,
) -> None:
    """The lines of the sub-action, which the server copies into the job's log."""
    lines = [
        "Created with type 'ASYNC_COMMAND'",
        client_line(job.owner, login),
        f"Executing command: {command}",
        "Execution on login node",
        f"Command is: {script}",
        "TSI reply: submission OK.",
    ]
    if result.pid is not None:
        who = f"[{login.user} {login.group}:DEFAULT_GID]"
        lines.append(f"Submitted to TSI as {who} with PID={result.pid} on [{HOST}]")
    if result.exit_code is not None:
        lines += [f"Exit code {result.exit_code}", "Job completed on BSS."]
    job.note(f"{name}-commands log:")
    for line in lines:
        job.note(f"{begun}: {line}")
    job.note(f"{name}-commands is DONE.")


def _finish(job: Job, work: Work, around: Surroundings) -> Iterator[None]:
    job.status = STAGINGOUT
    if work.after is not None and work.after_on_login:
        job.mark("post")
        yield from _login_command(job, work, around, "POST_0", work.after)
    if job.is_final:
        return
    job.mark("stage_out")
    if work.exports:
        job.fail_noted(f"Stage-out failed: this double sends nothing elsewhere: {work.exports[0]}")
        return
    _succeed(job)


def _succeed(job: Job) -> None:
    job.mark("end")
    job.status, job.watch = SUCCESSFUL, None
    job.note("End of processing - successful.")
    titles = {
        "total": "Total", "stage-in": "Stage-in", "preCommand": "Pre", "queued": "Queued",
        "main": "Main", "postCommand": "Post", "stage-out": "Stage-out",
    }  # fmt: skip
    spent = consumed(job)
    parts = [f"{title}: {spent[key]} sec." for key, title in titles.items() if spent[key] != "N/A"]
    job.note(", ".join(parts))


def consumed(job: Job) -> dict[str, str]:
    """Seconds spent in each part, as texts; N/A where a part is not over or was not there."""

    def span(first: str, last: str) -> str:
        begin, end = job.times.get(first), job.times.get(last)
        return str(int((end - begin).total_seconds())) if begin and end else "N/A"

    last = "stage_out" if "stage_out" in job.times else "end"
    return {
        "total": span("start", "end"),
        "queued": span("submitted", "main"),
        "stage-in": span("start", "end_stage_in"),
        "preCommand": span("pre", "submitted"),
        "main": span("main", "end_main"),
        "postCommand": span("post", last),
        "stage-out": span(last, "end"),
    }


def client_line(owner: Owner, login: Login) -> str:
    """How the log names the caller."""
    return (
        f"Client: Name: {owner.short_dn}\n"
        f"Xlogin: uid: [{login.user}], gids: [{login.group}, addingOSgroups: true]\n"
        "Role: user: role from attribute source\n"
        f"Security tokens: User: {owner.short_dn}\n"
        "Client's original IP: 127.0.0.1"
    )


def inside(folder: str, path: str) -> str:
    """The absolute path of a file below `folder`; `..` leads no higher than that."""
    return folder.rstrip("/") + posixpath.normpath(f"/{path.lstrip('/')}")


def _no_exit_file(stderr: str) -> str:
    return (
        "Execution was not completed (no exit code file found), please check standard error file "
        f"<{stderr}>"
    )


def _more(job: Job) -> str:
    return f"More information might be available in the job's working directory '{job.folder}'"


def _words(err: Unfit | FactoryError) -> str:
    return str(err) if isinstance(err, Unfit) else " ".join([err.faults[0].what, err.detail])
