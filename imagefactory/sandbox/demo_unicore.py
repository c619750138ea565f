"""The demo's leg through UNICORE: what one process starts, another one cancels, or goes on with."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from imagefactory.base.errors import VerdictAgainst
from imagefactory.base.process import Runner
from imagefactory.base.report import Report
from imagefactory.base.tokens import VARIABLE
from imagefactory.run import RunRecord, read_record
from imagefactory.sandbox.unicore.background import issue_token, require_unicore

SITE = "bookworm"
OURSELVES = "import sys; from imagefactory.cli import main; sys.exit(main())"
TOKEN_SECONDS = 3600
VERB_SECONDS = 600.0


def run_through_unicore(
    reference: str, overrides: Mapping[str, float], report: Report
) -> RunRecord:
    """Two runs are started and left; other processes, each with a newer token, cancel the long one
    and wait for the other. Returns the record of that; raises VerdictAgainst if the first was not
    cancelled."""
    start = ["run", reference, "--site", SITE, "--via", "unicore", "--detach"]
    short = [word for name, value in overrides.items() for word in ("--set", f"{name}={value}")]
    with report.step("one process starts two runs, and ends"):
        long = _verb(report, *start, "--set", "duration_ms=600000")
        other = _verb(report, *start, *short)
    with report.step("another one cancels the first"):
        _verb(report, "runs", "cancel", long)
    with report.step("a third one goes on with the second"):
        _verb(report, "runs", "resume", other)
    state = read_record(long).state
    if state != "CANCELLED":
        raise VerdictAgainst(f"the run is {state}, it must be CANCELLED", where=long)
    return read_record(other)


def _verb(report: Report, *words: str) -> str:
    """Run a verb of ours in a process of its own; returns the first word that it prints."""
    token = issue_token(require_unicore(), "scientist", TOKEN_SECONDS)
    done = Runner(report).run(
        sys.executable, "-c", OURSELVES, *words,
        timeout=VERB_SECONDS, extra={VARIABLE: token.reveal()}, on_line=report.note,
    )  # fmt: skip
    return done.output.split(maxsplit=1)[0]
