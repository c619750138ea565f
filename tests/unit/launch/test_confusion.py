"""The confusion table: counted right, and told whole."""

from __future__ import annotations

import json

import pytest

from imagefactory.launch.confusion import Outcome, Row, counts, read_outcome, table
from imagefactory.launch.rules import Verdict
from tests.conftest import Golden

GOOD, LOUD = Outcome(2, 0, (2, 2)), Outcome(2, 1, ())
SILENT = Outcome(2, 0, (1, 1), sentinel=("world-of-one",))
GOOD_LINES = "IMAGEFACTORY-HELLO 0 2 Open MPI v4.1.4\nIMAGEFACTORY-HELLO 1 2 Open MPI v4.1.4\n"


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


EXPECT = {"sharing": "sharens", "mpi": "4.1.4"}


def looked(**changes: object) -> str:
    """The line of one rank's guard."""
    same = {
        "host": "n1", "namespace": "job.1", "server": "5.0.0", "mpi": "Open MPI v4.1.4",
        "namespaces": dict.fromkeys(("user", "mnt", "pid", "ipc", "net"), "x:[1]"),
        "libraries": [], "foreign": [],
    }  # fmt: skip
    return f"0: IMAGEFACTORY-GUARD {json.dumps(same | changes)}\n"


def test_another_library_than_the_images_is_no_start() -> None:
    text = "IMAGEFACTORY-HELLO 0 2 Open MPI v5.0.8\nIMAGEFACTORY-HELLO 1 2 Open MPI v4.1.4\n"
    assert read_outcome(text, 2, 0, EXPECT).word == "SILENT: another MPI library"
    assert not read_outcome(text, 2, 0, EXPECT).started
    assert read_outcome(text, 2, 0).started


@pytest.mark.parametrize(
    ("text", "status", "named"),
    [
        (GOOD_LINES + looked() * 2, 0, ()),
        (
            "IMAGEFACTORY-HELLO 0 1\nIMAGEFACTORY-HELLO 0 1\n",
            0,
            ("each-rank-alone", "world-of-one"),
        ),
        ("IMAGEFACTORY-HELLO 0 3\nIMAGEFACTORY-HELLO 1 3\n", 0, ("wrong-world",)),
        (GOOD_LINES + looked() + looked(namespace="job.2"), 0, ("two-servers",)),
        (GOOD_LINES + looked(foreign=["/usr/lib/libmpi.so.40"]), 0, ("foreign-library",)),
        (GOOD_LINES + looked(foreign=["/wheels/a/lib/libmpi.so.40"]), 0, ()),
        ("IMAGEFACTORY-GUARD {cut\n", 1, ()),
        ("OPAL ERROR: Unreachable\n", 1, ("pmix-unreachable",)),
        ("a line\n", 1, ()),
    ],
)
def test_what_the_sentinel_names(text: str, status: int, named: tuple[str, ...]) -> None:
    assert read_outcome(text, 2, status, EXPECT, "/wheels/a/").sentinel == named


@pytest.mark.parametrize(
    ("status", "sizes", "named", "judgement"),
    [
        (0, (2, 2), (), "right"), (0, (2, 2), ("two-servers",), "WRONG"),
        (0, (1, 1), (), "WRONG"), (0, (1, 1), ("world-of-one",), "right"),
        (1, (), (), "unnamed"), (1, (), ("pmix-unreachable",), "right"),
    ],
)  # fmt: skip
def test_the_sentinel_is_judged(
    status: int, sizes: tuple[int, ...], named: tuple[str, ...], judgement: str
) -> None:
    assert row(Verdict.PASS, Outcome(2, status, sizes, sentinel=named)).watched == judgement
