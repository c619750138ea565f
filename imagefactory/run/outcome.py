"""What came of a run: decided from the job's state, the ranks' files and the log. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagefactory.base.errors import FactoryError, NoVerdict, ToolFailed
from imagefactory.launch import diagnose, guard_faults, loud_fault, read_text, silent_fault
from imagefactory.run.states import JobState

TAIL_LINES = 15
WRONG_WORLD = 90  # start.py: the MPI world has not the size that was asked for
# srun: error: c2: task 1: Exited with exit code 3 (also: Killed, Segmentation fault).
_SRUN = re.compile(r"srun: error: (?P<host>\S+): tasks? (?P<rank>\d+)[^:]*: (?P<how>.+)")
# Open MPI 4: mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 9.
_MPIRUN = re.compile(
    r"process rank (?P<rank>\d+) with PID \d+ on node (?P<host>\S+) (?P<how>exited on.+)"
)
# Open MPI 4: Process name: [[1,1],1] and, on the next line, Exit code:    3
_MPIRUN_NAME = re.compile(
    r"Process name: \[\[\d+,\d+\],(?P<rank>\d+)\]\s+(?P<how>Exit code:\s+\d+)"
)
# Slurm's PMIx plugin, when a rank goes away without a word: status -61 is
# PMIX_ERR_LOST_CONNECTION. It then kills all ranks, the one that went away too.
_PMIX = re.compile(
    r"mpi/pmix\S*: _errhandler: (?P<host>\S+) \[\d+\]: .*(?P<how>status = -?\d+), "
    r"source = \[slurm\.pmix\.[\d.]+:(?P<rank>\d+)\]"
)
_ABORT = re.compile(r"MPI_ABORT was invoked on rank (?P<rank>\d+)")
_KILLED_AFTER = re.compile(r"Killed|Terminated|signal 15|signal 9|exit code (?:137|143)")


@dataclass(frozen=True)
class Ending:
    """How the job ended: its state, Slurm's word and reason, and the launch line's exit status."""

    state: JobState
    word: str = ""
    exit_status: int | None = None


@dataclass(frozen=True)
class Outcome:
    """The run's final state, and the error to raise unless it is FINISHED."""

    state: JobState
    error: FactoryError | None = None


def judge(
    ending: Ending,
    ranks: int,
    seen: Sequence[Mapping[str, Any]],
    log: str,
    where: str,
    fabric: bool | None = None,
) -> Outcome:
    """Did all ranks of one world finish, and well? Exit status 0 does not tell: N singletons have
    it too, and so has a run over TCP beside a fabric (`fabric`: the site has one; None: unknown).
    """
    if ending.state is JobState.CANCELLED:
        return _ended(ending, f"the job was cancelled{_said(ending)}", where, "run it again", log)
    if ending.state is JobState.TIMEOUT:
        fix = "raise scheduler.time_limit_minutes of the site record, or make the run shorter"
        return _ended(ending, "the job ran into its time limit", where, fix, log)
    alone = _singletons(ending, ranks, seen, log, where)
    if alone:
        return alone
    guarded = guard_faults(seen)
    if guarded:
        detail = "\n".join([*(f"{what} ({name})" for what, name, _ in guarded), _tail(log)])
        what, name, fix = guarded[0]
        return _failed(f"the guard stopped the run: {what} ({name})", where, fix, detail)
    if ending.exit_status is None:
        what = f"the job ended without a result{_said(ending)}: its node or Slurm stopped it"
        return _failed(what, where, "run it again; ask the site if it repeats", log)
    if ending.exit_status != 0:
        return _crash(ending.exit_status, ranks, seen, log, where)
    found = diagnose(read_text(log), fabric)
    silent = silent_fault(found)
    if silent is not None:
        what = f"exit status 0, but {silent.symptom.cause}"
        return _failed(what, where, silent.symptom.fix, "\n".join(silent.told()))
    finished = sorted(rank["rank"] for rank in seen if rank.get("state") == "finished")
    if finished != list(range(ranks)):
        what = f"{len(finished)} of {ranks} ranks finished, although the exit status is 0"
        return Outcome(JobState.FAILED, NoVerdict(what, where=where, detail=_tail(log)))
    return Outcome(JobState.FINISHED)


def _singletons(
    ending: Ending, ranks: int, seen: Sequence[Mapping[str, Any]], log: str, where: str
) -> Outcome | None:
    wrong = [rank for rank in seen if rank.get("size") != ranks]
    if not wrong and ending.exit_status != WRONG_WORLD:
        return None
    if all(rank.get("size") == 1 for rank in wrong):
        what = f"the ranks did not find each other: {len(wrong)} processes, each rank 0 of 1"
    else:
        sizes = sorted({int(rank.get("size", 0)) for rank in wrong})
        what = f"the MPI world has {' and '.join(map(str, sizes))} ranks, not {ranks}"
    heard = any((rank.get("pmix") or {}).get("namespace") for rank in wrong)
    fix = (
        "the image's MPI cannot use the site's PMIx server: set launcher.plugin to another pmix "
        "word of: srun --mpi=list"
        if heard
        else "no PMIx server was seen: set launcher.plugin of the site record to a pmix word of: "
        "srun --mpi=list"
    )
    return _failed(what, where, fix, log)


def _crash(
    status: int, ranks: int, seen: Sequence[Mapping[str, Any]], log: str, where: str
) -> Outcome:
    first = find_crash(log)
    fault = loud_fault(diagnose(read_text(log)))
    if first is None:
        what = f"the run ended with exit status {status}"
        lines = log
    else:
        rank, how, host = first
        host = host or next((str(s["host"]) for s in seen if s.get("rank") == rank), "")
        what = f"rank {rank} of {ranks}{f' on {host}' if host else ''} ended: {how}"
        lines = rank_lines(log, rank) or log
    if fault is not None:
        known = fault.symptom
        detail = "\n".join([_tail(log), *fault.told()])
        return _failed(f"{what}: {known.cause}", where, known.fix, detail)
    return _failed(what, where, "read the whole log: its path stands above", lines)


def find_crash(log: str) -> tuple[int, str, str] | None:
    """The first rank that ended by itself: its number, how, and its host where the log says it.

    Ranks that the launcher killed because of the first one come in any order, so a rank that
    ended otherwise is taken before them.
    """
    found = [
        (int(m["rank"]), _said_plainly(m["how"]), m.groupdict().get("host") or "")
        for pattern in (_SRUN, _PMIX, _MPIRUN, _MPIRUN_NAME)
        for m in pattern.finditer(log)
    ]
    aborted = _ABORT.search(log)
    if aborted:
        rank = int(aborted["rank"])
        return next((hit for hit in found if hit[0] == rank), (rank, "it called MPI_Abort", ""))
    return min(found, key=lambda hit: _own_fault(hit[1]), default=None)


def _said_plainly(how: str) -> str:
    return "PMIx lost its connection" if how == "status = -61" else how.strip()


def _own_fault(how: str) -> int:
    """0 for a rank that failed by itself, 1 where Apptainer did (status 255), 2 if killed."""
    if _KILLED_AFTER.search(how):
        return 2
    return 1 if "exit code 255" in how else 0


def rank_lines(log: str, rank: int) -> str:
    """What one rank wrote: lines labelled by `srun --label` or `mpirun --tag-output`."""
    label = re.compile(rf"^(?:\s*{rank}: |\[\d+,{rank}\]<std(?:out|err)>:)(.*)$", re.MULTILINE)
    return "\n".join(match[1] for match in label.finditer(log))


def _ended(ending: Ending, what: str, where: str, fix: str, log: str) -> Outcome:
    error = ToolFailed(what, where=where, fix=fix, detail=_tail(log))
    return Outcome(ending.state, error)


def _failed(what: str, where: str, fix: str, log: str) -> Outcome:
    return Outcome(JobState.FAILED, ToolFailed(what, where=where, fix=fix, detail=_tail(log)))


def _said(ending: Ending) -> str:
    return f" ({ending.word})" if ending.word else ""


def _tail(log: str) -> str:
    return "\n".join(log.strip().splitlines()[-TAIL_LINES:])
