"""Lives of jobs behind the wire: order, ends, abort, delete, and what a description comes to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ServiceAway
from imagefactory.base.report import Silent
from imagefactory.sandbox.unicore.description import Unfit, granted_resources, read_work
from imagefactory.sandbox.unicore.engine import Engine
from imagefactory.sandbox.unicore.fake_login import FakeLogin, Outcome
from imagefactory.sandbox.unicore.faults import FaultPlan
from imagefactory.sandbox.unicore.jobs import Job, Owner, Surroundings, inside
from imagefactory.sandbox.unicore.start import PARTITION

OWNER = Owner("UID=scientist@sandbox.test")


@dataclass
class House:
    """An engine with a login node that runs nothing; `ends` maps a step to its outcome."""

    folder: Path
    ends: dict[str, Outcome] = field(default_factory=dict)
    report: Silent = field(default_factory=Silent)

    def __post_init__(self) -> None:
        self.login = FakeLogin(self.folder, lambda step, *_: self.ends.get(step, Outcome()))
        self.engine = Engine(Surroundings(self.login, PARTITION, FaultPlan(), 2), self.report)

    def add(self, **document: Any) -> Job:
        return self.engine.add(document, OWNER)

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.engine.turn()

    def finish(self, **document: Any) -> Job:
        job = self.add(**document)
        self.turn(30)
        assert job.is_final, job.status
        return job

    def steps(self) -> list[str]:
        return [step for step, _ in self.login.started]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.engine.close()


BOTH = {"User precommand": "bash pre.sh", "User postcommand": "bash post.sh"}


def test_the_order_of_a_job(house: House) -> None:
    job = house.finish(Executable="date", **BOTH)
    assert (job.status, job.exit_code) == ("SUCCESSFUL", 0)
    assert [command for _, command in house.login.started] == [
        "bash pre.sh",
        "date",
        "bash post.sh",
    ]
    assert (Path(job.folder) / ".UNICORE_PRE_0" / "PRE_0_UNICORE_SCRIPT_EXIT_CODE").is_file()


def test_main_waits_for_the_precommand(house: House) -> None:
    house.ends["pre"] = Outcome(looks=5)
    job = house.add(Executable="date", **BOTH)
    house.turn(5)
    assert (job.status, house.steps()) == ("QUEUED", ["pre"])
    house.turn(20)
    assert house.steps() == ["pre", "main", "post"]


def test_a_failed_precommand_ends_it(house: House) -> None:
    house.ends["pre"] = Outcome(3)
    job = house.finish(Executable="date", **BOTH)
    assert job.status == "FAILED"
    assert job.message.startswith(
        "Pre-command(s) failed: [Command exited with non-zero exit code: <3>."
    )
    assert job.exit_code is None
    assert house.steps() == ["pre"]


def test_a_failed_precommand_may_be_ignored(house: House) -> None:
    house.ends["pre"] = Outcome(3)
    job = house.finish(Executable="date", UserPrecommandIgnoreNonZeroExitCode="true", **BOTH)
    assert job.status == "SUCCESSFUL"


def test_a_precommand_without_exit_code_fails_even_then(house: House) -> None:
    house.ends["pre"] = Outcome(None)
    job = house.finish(Executable="date", UserPrecommandIgnoreNonZeroExitCode=True, **BOTH)
    assert job.status == "FAILED"
    assert "no exit code file found" in job.message


@pytest.mark.parametrize("kind", ["BATCH", "ON_LOGIN_NODE"])
def test_the_exit_code_of_main(house: House, kind: str) -> None:
    house.ends["main"] = Outcome(7)
    job = house.finish(Executable="sh", **{"Job type": kind}, **BOTH)
    assert (job.status, job.exit_code) == ("FAILED", 7)
    assert "non-zero exit code: <7>" in job.message
    assert house.steps() == ["pre", "main"]
    ignored = house.finish(Executable="sh", IgnoreNonZeroExitCode="TRUE", **{"Job type": kind})
    assert (ignored.status, ignored.exit_code) == ("SUCCESSFUL", 7)


@pytest.mark.parametrize("kind", ["BATCH", "ON_LOGIN_NODE"])
def test_a_lost_exit_code(house: House, kind: str) -> None:
    house.ends["main"] = Outcome(None)
    job = house.finish(Executable="sh", **{"Job type": kind})
    assert (job.status, job.exit_code) == ("FAILED", None)


def test_a_failed_postcommand_leaves_the_exit_code(house: House) -> None:
    house.ends["post"] = Outcome(3)
    job = house.finish(Executable="date", **BOTH)
    assert (job.status, job.exit_code) == ("FAILED", 0)
    assert job.message.startswith("Post-command(s) failed")


def test_without_an_executable_nothing_runs_and_it_is_successful(house: House) -> None:
    for document in ({}, {"Name": "x"}, {"Arguments": ["date"], "Resources": {"Nodes": 1}}):
        job = house.finish(**document)
        assert (job.status, job.exit_code) == ("SUCCESSFUL", None)
    assert house.login.started == []


def test_uploads_are_waited_for(house: House) -> None:
    job = house.add(Executable="date", haveClientStageIn="true")
    house.turn(10)
    assert (job.status, house.steps()) == ("READY", [])
    house.engine.start(job)
    house.turn(10)
    assert job.status == "SUCCESSFUL"


def test_inline_imports_are_written(house: House) -> None:
    given = [{"To": "a/run.sh", "Data": ["echo 1", "echo 2"]}, {"To": "../../x", "Data": "y"}]
    job = house.finish(Executable="date", Imports=given)
    assert job.status == "SUCCESSFUL"
    assert (Path(job.folder) / "a" / "run.sh").read_text() == "echo 1\necho 2\n"
    assert (Path(job.folder) / "x").read_text() == "y"


def test_what_the_double_cannot_stage_fails_the_job(house: House) -> None:
    far = {"From": "https://elsewhere.test/x", "To": "x"}
    assert house.finish(Executable="date", Imports=[far]).message.startswith("Staging in failed")
    soft = {**far, "FailOnError": "false"}
    assert house.finish(Executable="date", Imports=[soft]).status == "SUCCESSFUL"
    away = house.finish(Executable="date", Exports=[{"From": "x", "To": "https://elsewhere.test/"}])
    assert away.message.startswith("Stage-out failed")


def test_abort_during_the_precommand_does_not_stop_it(house: House) -> None:
    house.ends["pre"] = Outcome(looks=9)
    job = house.add(Executable="date", **BOTH)
    house.turn(3)
    house.engine.ask_abort(job)
    house.turn(9)
    assert (job.status, job.message) == ("FAILED", "Job aborted.")
    assert house.login.cancelled == []
    assert house.steps() == ["pre"]
    assert any("Can't abort: no batch system ID." in line for line in job.log)


@pytest.mark.parametrize("kind", ["BATCH", "ON_LOGIN_NODE"])
def test_abort_of_main_stops_it(house: House, kind: str) -> None:
    house.ends["main"] = Outcome(looks=99)
    job = house.add(Executable="sleep", **{"Job type": kind})
    house.turn(4)
    house.engine.ask_abort(job)
    house.engine.ask_abort(job)
    house.turn()
    assert (job.status, job.exit_code) == ("FAILED", None)
    assert len(house.login.cancelled) == 1
    house.engine.ask_abort(job)
    house.turn()
    assert len(house.login.cancelled) == 1


def test_delete_stops_main_and_removes_the_folder(house: House) -> None:
    house.ends["main"] = Outcome(looks=99)
    job = house.add(Executable="sleep")
    house.turn(4)
    assert Path(job.folder).is_dir()
    house.engine.remove(job)
    assert house.login.cancelled == house.login.batch_jobs
    assert not Path(job.folder).exists()
    assert house.engine.find(job.id) is None
    house.turn()


def test_a_lifetime_ends(house: House) -> None:
    job = house.finish(Executable="date")
    job.termination = job.submitted
    house.turn()
    assert house.engine.find(job.id) is None
    assert not Path(job.folder).exists()


def test_restart_runs_it_again(house: House) -> None:
    house.ends["main"] = Outcome(7)
    job = house.finish(Executable="date")
    house.ends["main"] = Outcome(0)
    house.engine.restart(job)
    house.turn(10)
    assert (job.status, job.exit_code, job.message) == ("SUCCESSFUL", 0, "")
    assert len(house.login.batch_jobs) == 2


def test_a_site_that_is_away_for_a_while_costs_no_job(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = house.add(Executable="date")
    house.turn(2)

    def away(_watches: object) -> dict[str, object]:
        raise ServiceAway("the site cannot be reached")

    with monkeypatch.context() as patch:
        patch.setattr(house.login, "look", away)
        house.turn(30)
    assert not job.is_final
    assert "the site cannot be reached" in house.report.warnings[0]
    house.turn(10)
    assert job.status == "SUCCESSFUL"


def test_a_defect_in_one_job_stops_no_other(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = house.add(Executable="bad"), house.add(Executable="good")
    submit = house.login.submit

    def broken(message: str, folder: str) -> str:
        if folder == first.folder:
            raise ValueError("a defect")
        return submit(message, folder)

    monkeypatch.setattr(house.login, "submit", broken)
    house.turn(10)
    assert "a defect" in first.message
    assert "a defect" in house.report.warnings[0]
    assert second.status == "SUCCESSFUL"


def test_the_engine_turns_by_itself_until_it_is_closed(tmp_path: Path) -> None:
    house = House(tmp_path)
    ended = threading.Event()

    def behave(_step: str, _command: str, _folder: Path) -> Outcome:
        ended.set()
        return Outcome()

    house.login.behaviour = behave
    thread = threading.Thread(target=house.engine.run, args=(0.01,))
    thread.start()
    house.add(Executable="date")
    assert ended.wait(30)
    house.engine.close()
    thread.join(30)
    assert not thread.is_alive()


def test_what_slurm_refuses_fails_the_job(house: House) -> None:
    house.login.refuses = "sbatch: error: invalid partition"
    job = house.finish(Executable="date")
    assert job.message.startswith("Processing failed: Could not submit job: sbatch: error")


def test_jobs_go_on_side_by_side(house: House) -> None:
    jobs = [house.add(Executable="date", **BOTH) for _ in range(20)]
    for _ in range(30):
        house.engine.turn(parallel=True)
    assert {job.status for job in jobs} == {"SUCCESSFUL"}
    assert len(set(house.login.batch_jobs)) == 20


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"Job type": "bad"}, "No enum constant"),
        ({"Job type": "RAW"}, "requires 'BSS file'"),
        ({"ApplicationName": "Nosuch"}, "Application <Nosuch> could not be found"),
        ({"Arguments": ["a", 1]}, "not a String"),
        ({"Resources": {"Runtime": "1:00:00"}}, "Could not parse requested resource <Runtime>"),
        ({"Imports": "x"}, "'Imports' must be an array or a map"),
    ],
)
def test_descriptions_that_fail_at_once(
    house: House, document: dict[str, Any], message: str
) -> None:
    job = house.finish(Executable="date", **BOTH, **document)
    assert job.status == "FAILED"
    assert job.message.startswith("Processing failed: ")
    assert message in job.message
    assert house.login.started == []


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"Queue": "nosuch"}, "<Queue = nosuch> is out of range"),
        ({"CPUs": 4}, "Resource <CPUs> is not available for partition <batch>"),
        ({"Nodes": 3}, "<Nodes=3> is out of range"),
        ({"Runtime": "2h"}, "<Runtime=7200> is out of range"),
        ({"Nodes": "two"}, "<Nodes=two> is out of range"),
    ],
)
def test_resources_are_looked_at_after_the_precommand(
    house: House, resources: dict[str, Any], message: str
) -> None:
    job = house.finish(Executable="date", Resources=resources, **BOTH)
    assert message in job.message
    assert house.steps() == ["pre"]


def test_the_login_node_takes_no_resources(house: House) -> None:
    job = house.finish(Executable="date", Resources={"Nodes": 99}, **{"Job type": "interactive"})
    assert job.status == "SUCCESSFUL"
    assert house.login.batch_jobs == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(60, "60"), ("60", "60"), ("2m", "120"), ("2min", "120"), ("1h", "3600"), ("0.5h", "1800")],
)
def test_runtimes(value: object, seconds: str) -> None:
    work = read_work({"Executable": "x", "Resources": {"Runtime": value}})
    assert granted_resources(work, PARTITION)["Runtime"] == seconds


def test_defaults_fill_what_is_not_asked() -> None:
    plain = granted_resources(read_work({"Executable": "x"}), PARTITION)
    assert plain == {"Queue": "batch", "CPUsPerNode": "1", "Runtime": "600", "Nodes": "1"}
    nodes = granted_resources(read_work({"Resources": {"Nodes": 2}, "Project": "p"}), PARTITION)
    assert nodes == {"Queue": "batch", "Nodes": "2", "Project": "p", "Runtime": "600"}


def test_what_a_server_drops_or_changes_in_silence() -> None:
    work = read_work(
        {
            "Executable": "x",
            "Arguments": "one text",
            "User precommand": ["false"],
            "Environment": ["A=1", "B = 2"],
            "UserPrecommandIgnoreNonZeroExitcode": "true",
        }
    )
    assert work.arguments == ()
    assert work.before == "false\n"
    assert work.environment == {"A": "1", "B": "2"}
    assert work.before_may_fail is False


def test_illegal_letters_in_what_slurm_is_told(house: House) -> None:
    job = house.finish(Executable="x", Name="a$(b)")
    assert "Job name contains illegal characters: '$('" in job.message


def test_paths_stay_inside() -> None:
    assert inside("/jobs/a/", "x/y") == "/jobs/a/x/y"
    assert inside("/jobs/a/", "/../../etc/passwd") == "/jobs/a/etc/passwd"
    assert inside("/jobs/a/", "/") == "/jobs/a/"
    with pytest.raises(Unfit):
        read_work({"Job type": "RAW"})
