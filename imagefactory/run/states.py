"""States of a job: Slurm's words through a table; an unlisted word is UNKNOWN and a warning."""

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
