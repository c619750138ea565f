"""Whole runs against a site that keeps state: how each ends, and what its record says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imagefactory.base.errors import FactoryError, NoVerdict, ServiceAway, ToolFailed, TrustRefused
from imagefactory.base.report import Silent
from imagefactory.run import RunRecord, read_record
from imagefactory.run.execute import Tools, execute_with
from imagefactory.run.record import list_records
from tests.unit.run.fake_site import (
    AWAY,
    MANIFEST,
    SIF,
    FakeSite,
    make_plan,
    rank_file,
    rank_output,
    slurm_site,
)

CRASH_LOG = """\
1: Traceback (most recent call last):
1: ValueError: a defect in the model
srun: error: c2: task 1: Exited with exit code 3
srun: error: c1: task 0: Killed
"""


def whole(ranks: int = 2, **changes: Any) -> list[dict[str, Any]]:
    return [rank_file(rank, ranks, **changes) for rank in range(ranks)]


def go(site: FakeSite, report: Silent | None = None) -> RunRecord:
    return execute_with(make_plan(slurm_site()), Tools(site, lambda _: None), report or Silent())


def fail(site: FakeSite, kind: type[FactoryError], report: Silent | None = None) -> FactoryError:
    with pytest.raises(kind) as caught:
        go(site, report)
    return caught.value


def test_a_finished_run_has_a_whole_record() -> None:
    record = go(FakeSite(output=rank_output(whole())))
    assert read_record("r1") == record
    assert record.state == "FINISHED"
    assert record.failure is None
    assert record.image["manifest"] == str(MANIFEST)
    assert record.image["verified"] == str(SIF)
    assert record.pmix["server"] == "4.2.2"
    assert record.versions["nest"] == "3.10.0"
    assert record.versions["mpi"] == "Open MPI v4.1.4"
    assert record.machine["nodes"] == ["c1", "c2"]
    assert record.machine["apptainer"] == "1.5.3"
    assert record.launcher["version"] == "slurm-wlm 22.05.8"
    assert record.network["connections"] == 21
    assert record.network["digest"] == f"{3:016x}{5:016x}"
    assert record.timings["simulate_s"] == 4.0
    assert record.job["id"] == "42"
    assert record.spikes is not None
    assert record.spikes["count"] == 2
    names = {path.name for path in record.folder.iterdir()}
    assert names == {
        "record.json", "spikes.npz", "log.txt", "job.sh", "parameters.json", "ranks",
    }  # fmt: skip


def test_the_job_id_is_kept_before_waiting() -> None:
    seen: list[tuple[str, str]] = []

    def look() -> None:
        record = read_record("r1")
        seen.append((record.state, record.job["id"]))

    go(FakeSite(output=rank_output(whole()), on_poll=look))
    assert seen[0] == ("SUBMITTED", "42")
    assert ("RUNNING", "42") in seen


def test_singletons_fail_although_the_exit_status_is_0() -> None:
    alone = [rank_file(0, 1, pid=pid, pmix={"namespace": None}) for pid in (7, 8)]
    error = fail(FakeSite(output=rank_output(alone, 1)), ToolFailed)
    assert "2 processes, each rank 0 of 1" in str(error)
    assert "no PMIx server was seen" in str(error)
    record = read_record("r1")
    assert record.state == "FAILED"
    assert record.spikes is None
    assert record.failure is not None
    assert "rank 0 of 1" in record.failure["what"]


def test_a_crashed_rank_is_named_with_its_host_and_its_own_lines() -> None:
    ranks = whole(state="started")
    site = FakeSite(final="FAILED", exit_status=3, log=CRASH_LOG, output=rank_output(ranks, 0))
    error = fail(site, ToolFailed)
    assert "rank 1 of 2 on c2 ended: Exited with exit code 3" in str(error)
    assert error.detail.endswith("ValueError: a defect in the model")
    assert "Killed" not in error.detail


@pytest.mark.parametrize(
    ("final", "state", "said"),
    [
        ("CANCELLED", "CANCELLED", "the job was cancelled"),
        ("TIMEOUT", "TIMEOUT", "time limit"),
        ("NODE_FAIL", "FAILED", "its node or Slurm stopped it"),
        ("COMPLETED", "FAILED", "without a result"),
        ("", "FAILED", "does not know the job any more"),
    ],
)
def test_ends_without_an_exit_status(final: str, state: str, said: str) -> None:
    site = FakeSite(final=final, exit_status=None, log="what was written so far\n")
    error = fail(site, ToolFailed)
    assert said in str(error)
    record = read_record("r1")
    assert record.state == state
    assert (record.folder / "log.txt").read_text("utf-8") == "what was written so far\n"


def test_a_cancelled_job_that_wrote_an_exit_status_is_cancelled() -> None:
    error = fail(FakeSite(final="CANCELLED", exit_status=143), ToolFailed)
    assert "cancelled" in str(error)


def test_a_job_that_slurm_forgot_but_that_finished_is_finished() -> None:
    assert go(FakeSite(final="", output=rank_output(whole()))).state == "FINISHED"


def test_an_unknown_state_is_warned_of_once_and_watched_on() -> None:
    report = Silent()
    site = FakeSite(words=["PENDING", "DREAMING", "DREAMING"], output=rank_output(whole()))
    assert go(site, report).state == "FINISHED"
    assert report.warnings == ["Slurm state 'DREAMING' is not in our table; still watching"]


def test_a_site_that_is_away_for_a_moment_is_asked_again() -> None:
    site = FakeSite(words=["PENDING", AWAY, AWAY, "RUNNING"], output=rank_output(whole()))
    assert go(site).state == "FINISHED"


def test_a_site_that_stays_away_leaves_a_run_that_can_be_resumed() -> None:
    fail(FakeSite(words=["RUNNING", *[AWAY] * 5]), ServiceAway)
    record = read_record("r1")
    assert (record.state, record.failure, record.job["id"]) == ("RUNNING", None, "42")


def test_missing_spikes_are_no_success() -> None:
    error = fail(FakeSite(output=rank_output(whole(), 1)), NoVerdict)
    assert "1" in str(error)
    assert read_record("r1").state == "FAILED"


def test_a_missing_rank_is_no_success() -> None:
    error = fail(FakeSite(output=rank_output(whole()[:1])), NoVerdict)
    assert "1 of 2 ranks finished, although the exit status is 0" in str(error)


def test_the_user_stops_it() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    site = FakeSite(on_poll=stop)
    with pytest.raises(KeyboardInterrupt):
        go(site)
    assert site.cancelled == ["42"]
    assert read_record("r1").state == "CANCELLED"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (11, ToolFailed, 6), (12, ToolFailed, 6), (13, ServiceAway, 7), (14, ToolFailed, 6),
        (15, TrustRefused, 8), (16, TrustRefused, 8), (17, ToolFailed, 6), (18, ToolFailed, 6),
    ],
)  # fmt: skip
def test_stage_one_failures(status: int, kind: type[FactoryError], code: int) -> None:
    site = FakeSite(stage=(status, "FATAL: from apptainer\nwhat went wrong"))
    error = fail(site, kind)
    assert error.exit_code == code
    assert "stage one: what went wrong" in str(error)
    assert error.detail == "FATAL: from apptainer"
    assert not site.folders, "nothing was sent"
    assert site.stagings == (4 if status == 13 else 1), "only what is temporary is tried again"
    assert read_record("r1").state == "FAILED"


def test_a_registry_that_comes_back() -> None:
    assert go(FakeSite(stage_away=2, output=rank_output(whole()))).state == "FINISHED"


def test_slurm_refuses_the_job() -> None:
    error = fail(FakeSite(submit=(1, "sbatch: error: invalid partition")), ToolFailed)
    assert "invalid partition" in str(error)
    assert "id" not in read_record("r1").job


def test_what_is_sent() -> None:
    site = FakeSite(output=rank_output(whole()))
    go(site)
    sent = site.folders["/shared/runs/r1"]
    assert "inside/start.py" in sent
    assert json.loads(sent["parameters.json"])["ranks"] == 2
    assert sent["job.sh"].startswith(b"#!/bin/sh\n#SBATCH --job-name=r1\n")


def test_records_are_listed_oldest_first() -> None:
    go(FakeSite(output=rank_output(whole())))
    assert [record.id for record in list_records()] == ["r1"]
