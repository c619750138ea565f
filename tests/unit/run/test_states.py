"""Slurm's words through the table."""

from __future__ import annotations

import pytest

from imagefactory.base.process import Done
from imagefactory.base.report import Silent
from imagefactory.run.slurm import read_poll
from imagefactory.run.states import JobState, from_slurm


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("PENDING", JobState.SUBMITTED),
        ("RUNNING", JobState.RUNNING),
        ("COMPLETING", JobState.RUNNING),
        ("COMPLETED", JobState.FINISHED),
        ("CANCELLED+", JobState.CANCELLED),
        ("PREEMPTED", JobState.CANCELLED),
        ("TIMEOUT", JobState.TIMEOUT),
        ("DEADLINE", JobState.TIMEOUT),
        ("OUT_OF_MEMORY", JobState.FAILED),
        ("NODE_FAIL", JobState.FAILED),
    ],
)
def test_known_words(word: str, state: JobState) -> None:
    report = Silent()
    assert from_slurm(word, report) is state
    assert not report.warnings


def test_an_unknown_word_is_a_warning() -> None:
    report = Silent()
    assert from_slurm("LF", report) is JobState.UNKNOWN
    assert "'LF'" in report.warnings[0]
    assert not JobState.UNKNOWN.is_final


@pytest.mark.parametrize(
    ("output", "state", "status", "gone"),
    [
        ("slurm 0 RUNNING|None\n", JobState.RUNNING, None, False),
        ("banner\nslurm 0 COMPLETED|None\nexit 0\n", JobState.FINISHED, 0, False),
        ("slurm 1 slurm_load_jobs error: Invalid job id specified\nexit 3\n", None, 3, True),
        ("slurm 0 \n", None, None, True),
        ("slurm 1 Unable to contact slurm controller\n", None, None, False),
        ("", None, None, False),
    ],
)
def test_polls(output: str, state: JobState | None, status: int | None, gone: bool) -> None:
    seen = read_poll(Done(("sh",), 0, output, "", 0.1), Silent())
    assert (seen.state, seen.exit_status, seen.gone) == (state, status, gone)
