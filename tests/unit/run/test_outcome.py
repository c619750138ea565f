"""Which rank crashed, from what launchers really wrote."""

from __future__ import annotations

import pytest

from imagefactory.run.outcome import Ending, find_crash, judge, rank_lines
from imagefactory.run.states import JobState

LOST_CONNECTION = """\
2: slurmstepd-c2: error:  mpi/pmix_v5: _errhandler: c2 [1]: pmixp_client_v2.c:211: Error handler \
invoked: status = -61, source = [slurm.pmix.33.0:3]
srun: error: c2: tasks 2-3: Killed
srun: error: c1: tasks 0-1: Killed
"""
MPIRUN_SIGNAL = """\
mpirun noticed that process rank 1 with PID 0 on node vm exited on signal 11 (Segmentation fault).
"""
MPIRUN_EXIT = """\
mpirun detected that one or more processes exited with non-zero status, thus causing
the job to be terminated. The first process to do so was:

  Process name: [[5001,1],1]
  Exit code:    3
"""


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            "srun: error: c1: task 0: Killed\nsrun: error: c2: task 1: Segmentation fault\n",
            (1, "Segmentation fault", "c2"),
        ),
        (
            "srun: error: c2: task 2: Exited with exit code 255\n"
            "srun: error: c2: task 3: Exited with exit code 5\n",
            (3, "Exited with exit code 5", "c2"),
        ),
        (
            "srun: error: c2: tasks 2-3: Exited with exit code 1\n",
            (2, "Exited with exit code 1", "c2"),
        ),
        ("srun: error: c1: task 0: Killed\n", (0, "Killed", "c1")),
        (LOST_CONNECTION, (3, "PMIx lost its connection", "c2")),
        (MPIRUN_SIGNAL, (1, "exited on signal 11 (Segmentation fault).", "vm")),
        (MPIRUN_EXIT, (1, "Exit code:    3", "")),
        ("MPI_ABORT was invoked on rank 3 in communicator", (3, "it called MPI_Abort", "")),
        ("no word of it\n", None),
    ],
)
def test_first_crash(log: str, expected: tuple[int, str, str] | None) -> None:
    assert find_crash(log) == expected


def test_lines_of_one_rank() -> None:
    log = " 1: one\n11: eleven\n[1,1]<stderr>:tagged\n[1,11]<stdout>:other\n1: again\n"
    assert rank_lines(log, 1) == "one\ntagged\nagain"


def test_another_world_is_not_called_singletons() -> None:
    seen = [{"rank": rank, "size": 2, "state": "finished"} for rank in (0, 1)]
    outcome = judge(Ending(JobState.FINISHED, "", 0), 4, seen, "", "x")
    assert outcome.state is JobState.FAILED
    assert "the MPI world has 2 ranks, not 4" in str(outcome.error)


def test_two_files_of_one_rank_are_not_all_ranks() -> None:
    seen = [{"rank": 0, "size": 2, "state": "finished"} for _ in (0, 1)]
    assert judge(Ending(JobState.FINISHED, "", 0), 2, seen, "", "x").state is JobState.FAILED


def test_a_known_symptom_gives_its_cause() -> None:
    log = "0: OMPI was not built with SLURM's PMI\n0: support\nsrun: error: c1: task 0: Killed\n"
    log = log.replace("PMI\n0: support", "PMI support")
    outcome = judge(Ending(JobState.FAILED, "FAILED", 1), 2, [], log, "x")
    assert "found no PMIx server" in str(outcome.error)
