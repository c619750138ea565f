"""States of a job: foreign words through a table; an unlisted word is UNKNOWN and a warning."""

from __future__ import annotations

from enum import StrEnum

from imagefactory.base.report import Report


class JobState(StrEnum):
    """Where a run is. The first four are on the way; RunRecord.state has the others at the end."""

    PREPARED = "PREPARED"
    SUBMITTED = "SUBMITTED"
    RUNNING = "RUNNING"
    UNKNOWN = "UNKNOWN"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"

    @property
    def is_final(self) -> bool:
        """True when nothing more will come."""
        return self in {
            JobState.FINISHED,
            JobState.FAILED,
            JobState.CANCELLED,
            JobState.TIMEOUT,
        }


# squeue(1), "JOB STATE CODES", Slurm 22.05 to 26.05.
_WORDS = {
    JobState.SUBMITTED: "PENDING CONFIGURING REQUEUED REQUEUE_FED REQUEUE_HOLD RESV_DEL_HOLD "
    "SPECIAL_EXIT POWER_UP_NODE EXPEDITING",
    JobState.RUNNING: "RUNNING COMPLETING SUSPENDED STOPPED SIGNALING RESIZING STAGE_OUT UPDATE_DB",
    JobState.FINISHED: "COMPLETED",
    JobState.FAILED: "FAILED NODE_FAIL OUT_OF_MEMORY BOOT_FAIL LAUNCH_FAILED RECONFIG_FAIL",
    JobState.CANCELLED: "CANCELLED PREEMPTED REVOKED",
    JobState.TIMEOUT: "TIMEOUT DEADLINE",
}
SLURM_STATES = {word: state for state, words in _WORDS.items() for word in words.split()}


def from_slurm(word: str, report: Report) -> JobState:
    """Slurm's state word as ours; one that is not in the table is warned of and watched on."""
    state = SLURM_STATES.get(word.strip().rstrip("+").upper(), JobState.UNKNOWN)
    if state is JobState.UNKNOWN:
        report.warn(f"Slurm state {word!r} is not in our table; still watching")
    return state


# facts/unicore-nmpi.md 2.2. FAILED says nothing of the cause: see run.remote.
UNICORE_STATES = {
    "READY": JobState.SUBMITTED,
    "STAGINGIN": JobState.SUBMITTED,
    "QUEUED": JobState.SUBMITTED,
    "RUNNING": JobState.RUNNING,
    "STAGINGOUT": JobState.RUNNING,
    "SUCCESSFUL": JobState.FINISHED,
    "FAILED": JobState.FAILED,
}


def from_unicore(word: str, report: Report, last: str = "") -> JobState:
    """UNICORE's state word as ours; an unlisted one is warned of, unless it is `last`."""
    state = UNICORE_STATES.get(word, JobState.UNKNOWN)
    if state is JobState.UNKNOWN and word != last:
        report.warn(f"UNICORE's state {word!r} is not in our table; still watching")
    return state


# facts/unicore-nmpi.md 3.3; real providers use validated, the SpiNNaker one never uses mapped.
NMPI_STATES = {
    "submitted": JobState.SUBMITTED,
    "validated": JobState.SUBMITTED,
    "mapped": JobState.RUNNING,
    "running": JobState.RUNNING,
    "finished": JobState.FINISHED,
    "error": JobState.FAILED,
    "removed": JobState.CANCELLED,
}


def from_nmpi(word: str, report: Report, last: str = "") -> JobState:
    """The NMPI's status as ours; an unlisted one is warned of, unless it is `last`."""
    state = NMPI_STATES.get(word, JobState.UNKNOWN)
    if state is JobState.UNKNOWN and word != last:
        report.warn(f"the NMPI's status {word!r} is not in our table; still watching")
    return state
