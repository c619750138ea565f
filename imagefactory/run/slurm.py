"""A job in Slurm: submit, watch, cancel, through a site's shell."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from imagefactory.base.errors import ServiceAway, ToolFailed
from imagefactory.base.http import retrying
from imagefactory.base.process import Done
from imagefactory.base.report import Report, Silent
from imagefactory.run.outcome import Ending
from imagefactory.run.shell import SiteShell
from imagefactory.run.states import JobState, from_slurm

ASK_SECONDS = 120.0
AWAY_PAUSES = (5.0, 15.0, 30.0, 60.0)
PATIENCE = 20  # polls without an answer from Slurm
AFTER_END = 5  # polls for the exit status to be seen: file systems cache
SUBMIT = 'cd "$1" && mkdir -p output && sbatch --parsable job.sh </dev/null'
CANCEL = 'scancel "$1"'
POLL = """
words=$(squeue --noheader --states=all --jobs="$1" --format='%T|%r' 2>&1)
printf 'slurm %s %s\\n' "$?" "$(printf '%s' "$words" | tail -n 1)"
[ ! -e "$2/output/exit-status" ] || printf 'exit %s\\n' "$(cat "$2/output/exit-status")"
"""


@dataclass(frozen=True)
class Seen:
    """One look at a job. `state` is None when Slurm does not know it, or does not answer."""

    state: JobState | None
    word: str
    exit_status: int | None
    gone: bool = False


def submit(shell: SiteShell, folder: str) -> str:
    """Submit job.sh of the run's folder; returns Slurm's job id."""
    done = shell.run(SUBMIT, folder, timeout=ASK_SECONDS)
    found = re.search(r"^(\d+)(?:;\S+)?$", done.output.strip(), re.MULTILINE)
    if done.status or not found:
        raise ToolFailed(
            "Slurm did not take the job",
            where=f"{shell.where}: {folder}/job.sh",
            fix="check partition, account and time limit of the site record",
            detail=done.tail,
        )
    return found[1]


def cancel(shell: SiteShell, job: str) -> None:
    """Cancel a job; one that is over already is no error."""
    shell.run(CANCEL, job, timeout=ASK_SECONDS)


def watch(
    shell: SiteShell,
    job: str,
    folder: str,
    report: Report,
    sleep: Callable[[float], None] = time.sleep,
    on_state: Callable[[JobState], None] = lambda _state: None,
) -> Ending:
    """Wait until the job is over. Raises ServiceAway when the site stays away too long."""
    last: str | None = None
    silent = ended = 0
    for pause in poll_pauses():
        seen = look(shell, job, folder, report, last, sleep)
        if seen.exit_status == 0:
            return Ending(JobState.FINISHED, seen.word, 0)
        if seen.state is None and not seen.gone:
            silent += 1
            if silent >= PATIENCE:
                raise ServiceAway(
                    "Slurm does not answer", where=shell.where, detail=seen.word,
                    fix=f"look by hand: squeue --jobs={job}",
                )  # fmt: skip
        else:
            silent = 0
        if seen.gone or (seen.state is not None and seen.state.is_final):
            ended += 1
            final = _ending(seen)
            named = final.state in {JobState.CANCELLED, JobState.TIMEOUT}
            if named or seen.exit_status is not None or ended >= AFTER_END:
                return final
        elif seen.word != last and seen.state is not None:
            report.note(f"job {job}: {seen.word.removesuffix('|None').replace('|', ', ')}")
            on_state(seen.state)
        last = seen.word
        sleep(pause)
    raise AssertionError  # the pauses do not end


def look(
    shell: SiteShell,
    job: str,
    folder: str,
    report: Report,
    last: str | None,
    sleep: Callable[[float], None],
) -> Seen:
    """Ask Slurm once; an ssh that fails is tried again."""
    done = retrying(lambda: shell.run(POLL, job, folder, timeout=ASK_SECONDS), AWAY_PAUSES, sleep)
    return read_poll(done, report, last)


def read_poll(done: Done, report: Report, last: str | None = None) -> Seen:
    """What POLL printed; `last` is the word seen before: an odd word is warned of once."""
    answer = re.search(r"^slurm (\d+) (.*)$", done.output, re.MULTILINE)
    exit_ = re.search(r"^exit (\d+)$", done.output, re.MULTILINE)
    status = int(exit_[1]) if exit_ else None
    if answer is None:
        return Seen(None, done.tail, status)
    text = answer[2].strip()
    if answer[1] != "0" or not text:
        # After MinJobAge (300 s by default) Slurm forgets a job: slurm.conf(5).
        return Seen(None, text, status, gone=not text or "Invalid job id" in text)
    word = text.partition("|")[0]
    if text == last:
        return Seen(from_slurm(word, Silent()), text, status)
    return Seen(from_slurm(word, report), text, status)


def poll_pauses() -> Iterator[float]:
    """Seconds between looks: often at first, every 15 s in the long run."""
    yield from (0.5, 0.5, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 5, 5, 5, 5)
    while True:
        yield 15


def _ending(seen: Seen) -> Ending:
    if seen.state in {JobState.CANCELLED, JobState.TIMEOUT}:
        return Ending(seen.state, seen.word, seen.exit_status)
    word = "Slurm does not know the job any more" if seen.gone else seen.word
    return Ending(JobState.FAILED, word, seen.exit_status)
