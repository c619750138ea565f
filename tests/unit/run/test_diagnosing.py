"""The log of a run, or any log, judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.run import diagnose_any
from imagefactory.run.outcome import Ending, judge
from imagefactory.run.states import JobState

TCP = "0: [1.2] [c1:7:0] x.c:1 UCX INFO ctx_0 inter-node cfg#3 tag(tcp/eth0)\n"
FINISHED = [{"rank": rank, "size": 2, "state": "finished"} for rank in (0, 1)]


def test_a_file(tmp_path: Path) -> None:
    log = tmp_path / "slurm.out"
    log.write_text("FATAL:   While loading\n", encoding="utf-8")
    assert diagnose_any(str(log)).verdict == "FAIL"


def test_neither_file_nor_run() -> None:
    with pytest.raises(UsageFault, match="is no file, and there is no such run") as caught:
        diagnose_any("nosuch.out")
    assert "path of a log" in str(caught.value)


@pytest.mark.parametrize(
    ("fabric", "state"), [(True, JobState.FAILED), (None, "FINISHED"), (False, "FINISHED")]
)
def test_a_run_over_tcp_beside_a_fabric_failed(fabric: bool | None, state: str) -> None:
    outcome = judge(Ending(JobState.FINISHED, "", 0), 2, FINISHED, TCP, "x", fabric)
    assert outcome.state == state
    if outcome.error is not None:
        assert "row 27" in str(outcome.error)
        assert "line 1: " in str(outcome.error)


def test_noise_does_not_fail_a_run() -> None:
    log = "[c1:12] PMIX ERROR: NO-PERMISSIONS in file dstore_base.c at line 237\n"
    assert judge(Ending(JobState.FINISHED, "", 0), 2, FINISHED, log, "x").error is None
