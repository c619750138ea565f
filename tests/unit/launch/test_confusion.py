"""The confusion table: counted right, and told whole."""

from __future__ import annotations

import pytest

from imagefactory.launch.confusion import Outcome, Row, counts, read_outcome, table
from imagefactory.launch.rules import Verdict
from tests.conftest import Golden

GOOD, LOUD = Outcome(2, 0, (2, 2)), Outcome(2, 1, ())
SILENT = Outcome(2, 0, (1, 1))


def row(verdict: Verdict, outcome: Outcome, fault: str = "nothing") -> Row:
    rules = ("protocol",) if verdict is Verdict.FAIL else ()
    return Row("Slurm, PMIx 5.0", "Open MPI 4.1.4", fault, verdict, rules, outcome)


@pytest.mark.parametrize(
    ("verdict", "outcome", "judgement"),
    [
        (Verdict.PASS, GOOD, "right"), (Verdict.WARN, GOOD, "right"),
        (Verdict.FAIL, LOUD, "right"), (Verdict.FAIL, SILENT, "right"),
        (Verdict.PASS, LOUD, "WRONG"), (Verdict.WARN, SILENT, "WRONG"),
        (Verdict.FAIL, GOOD, "WRONG"), (Verdict.UNKNOWN, LOUD, "unknown"),
        (Verdict.UNKNOWN, GOOD, "unknown"),
    ],
)  # fmt: skip
def test_a_judgement(verdict: Verdict, outcome: Outcome, judgement: str) -> None:
    assert row(verdict, outcome).judgement == judgement


def test_the_table(golden: Golden) -> None:
    rows = [
        row(Verdict.PASS, GOOD), row(Verdict.FAIL, SILENT, "--cleanenv"),
        row(Verdict.FAIL, LOUD, "--net"), row(Verdict.WARN, Outcome(2, 124, (2,)), "split"),
        row(Verdict.UNKNOWN, LOUD, "--mpi=none"),
    ]  # fmt: skip
    assert counts(rows) == {"right": 3, "WRONG": 1, "unknown": 1}
    golden.check("launch/confusion.md", table(rows))


@pytest.mark.parametrize(
    ("text", "status", "started", "word"),
    [
        ("0: IMAGEFACTORY-HELLO 0 2\n1: IMAGEFACTORY-HELLO 1 2\n", 0, True, "starts"),
        ("IMAGEFACTORY-HELLO 0 1\nIMAGEFACTORY-HELLO 0 1\n", 0, False, "SILENT: singletons"),
        ("0: IMAGEFACTORY-HELLO 0 2\n", 0, False, "SILENT: wrong size"),
        ("PMIX ERROR: x\n", 1, False, "fails, 1"),
        ("IMAGEFACTORY-HELLO 0 2\nIMAGEFACTORY-HELLO 1 2\n", 143, False, "fails, 143"),
        ("", 124, False, "hangs"),
        ("IMAGEFACTORY-HELLO x\n\x00\xff", 0, False, "SILENT: wrong size"),
    ],
)
def test_what_ranks_printed(text: str, status: int, started: bool, word: str) -> None:
    outcome = read_outcome(text, 2, status)
    assert (outcome.started, outcome.word) == (started, word)


def test_the_line_that_tells_most() -> None:
    outcome = read_outcome("noise\nPMIX ERROR: UNREACHABLE\nPMIX ERROR: later\n", 2, 1)
    assert outcome.line == "PMIX ERROR: UNREACHABLE"


def test_another_library_than_the_images_is_no_start() -> None:
    text = "IMAGEFACTORY-HELLO 0 2 Open MPI v5.0.8\nIMAGEFACTORY-HELLO 1 2 Open MPI v4.1.4\n"
    assert read_outcome(text, 2, 0, "4.1.4").word == "SILENT: another MPI library"
    assert not read_outcome(text, 2, 0, "4.1.4").started
    assert read_outcome(text, 2, 0).started
