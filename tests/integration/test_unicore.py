"""The UNICORE double over real TLS with PyUNICORE, and in front of real login nodes and Slurm."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pyunicore.client import Client, Job, Registry, Transport
from pyunicore.credentials import AuthenticationFailedException, OIDCToken

from imagefactory import sandbox as room
from imagefactory.base.report import Silent
from imagefactory.sandbox.ready import on_login
from imagefactory.sandbox.settings import sandbox_settings
from imagefactory.sandbox.unicore import (
    FakeLogin,
    FaultKind,
    Outcome,
    PlannedFault,
    Unicore,
    start_unicore,
)
from imagefactory.sandbox.unicore.background import count_requests

if TYPE_CHECKING:
    from imagefactory.sandbox import Sandbox, UnicoreAddress

SITES = ("bookworm", "trixie")
DEADLINE = 90.0


def transport(token: str, ca_file: Path) -> Transport:
    return Transport(
        OIDCToken(token), verify=ssl.create_default_context(cafile=str(ca_file)), timeout=20
    )


def finish(job: Job) -> dict[str, Any]:
    """Wait for the end; returns the job's properties."""
    job.cache_time = 0
    end = time.monotonic() + DEADLINE
    while job.is_running():
        assert time.monotonic() < end, job.log
        time.sleep(0.1)
    return dict(job.properties)


# ---------------------------------------------------------------- the wire, with a fake login node


@pytest.fixture
def unicore(tmp_path: Path) -> Iterator[Unicore]:
    def behave(_step: str, _command: str, folder: Path) -> Outcome:
        (folder / "result.dat").write_bytes(bytes(range(256)) * 400)
        return Outcome(looks=2)

    with start_unicore(tmp_path, {"bookworm": FakeLogin(tmp_path / "site", behave)}) as unicore:
        yield unicore


@pytest.fixture
def site(unicore: Unicore) -> Client:
    client = Registry(transport(unicore.token(), unicore.ca_file), unicore.registry_url)
    return client.site("bookworm")


def test_pyunicore_runs_a_job(site: Client, tmp_path: Path) -> None:
    source = tmp_path / "in.txt"
    source.write_text("input")
    job = site.new_job({"Executable": "date", "Tags": ["a"]}, inputs={"sub/in.txt": str(source)})
    assert finish(job)["status"] == "SUCCESSFUL"
    assert job.exit_code == 0
    folder = job.working_dir
    assert {"sub/", "result.dat", "stdout"} <= set(folder.listdir())
    assert folder.stat("sub/in.txt").read() == b"input"
    found = folder.stat("result.dat")
    assert found.size() == 102400  # sent in chunks
    assert found.read() == bytes(range(256)) * 400
    assert found.read(255, 3) == b"\xff\x00\x01"
    assert [other.job_id for other in site.get_jobs(tags=["a"])] == [job.job_id]
    job.delete()
    with pytest.raises(httpx.HTTPError, match="404"):
        Job(site.transport, job.resource_url).properties  # noqa: B018 - the access asks


def test_without_the_authority_there_is_no_connection(unicore: Unicore) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        Registry(Transport(OIDCToken(unicore.token()), verify=True), unicore.registry_url)


@pytest.mark.parametrize("kind", ["expired", "foreign", "garbage"])
def test_tokens_that_do_not_hold(unicore: Unicore, kind: str) -> None:
    token = {
        "expired": unicore.token(lifetime=-1),
        "foreign": unicore.foreign_token(),
        "garbage": "a.b.c",
    }[kind]
    with pytest.raises(httpx.HTTPError, match="403"):
        Registry(transport(token, unicore.ca_file), unicore.registry_url)


def test_a_token_of_the_server_s_own(unicore: Unicore, site: Client) -> None:
    own = transport(site.issue_auth_token(lifetime=600), unicore.ca_file)
    assert Client(own, unicore.site_url("bookworm")).access_info()["role"]["selected"] == "user"


def test_a_user_without_a_login_is_anonymous(unicore: Unicore) -> None:
    given = transport(unicore.token("stranger"), unicore.ca_file)
    with pytest.raises(AuthenticationFailedException):
        Client(given, unicore.site_url("bookworm"))


def test_an_ended_session_is_taken_up_again(unicore: Unicore, site: Client) -> None:
    assert site.get_jobs() == []
    unicore.service.sessions.end()
    assert site.get_jobs() == []
    before = unicore.requests["GET jobs"]
    assert before == 3  # one of them got the 432


def test_connections_that_break(unicore: Unicore, site: Client) -> None:
    job = site.new_job({"Executable": "date"})
    finish(job)
    file = job.working_dir.stat("result.dat")
    unicore.faults.set([PlannedFault(FaultKind.CUT_BODY, on="GET .*/files/")])
    with pytest.raises(httpx.RemoteProtocolError):
        file.read()
    for kind, jobs in ((FaultKind.CUT, 1), (FaultKind.LOST_REPLY, 2)):
        unicore.faults.set([PlannedFault(kind, on="POST .*/jobs$")])
        with pytest.raises(httpx.TransportError):
            site.new_job({"Executable": "date"})
        assert len(site.get_jobs()) == jobs
    unicore.faults.set([PlannedFault(FaultKind.SLOW, on="GET .*/jobs", seconds=5)])
    site.transport.timeout = 0.2
    with pytest.raises(httpx.ReadTimeout):
        site.get_jobs()


def test_a_download_is_an_error_page(unicore: Unicore, site: Client, tmp_path: Path) -> None:
    """PyUNICORE's download raises for nothing: what stands in the file is not the result."""
    job = site.new_job({"Executable": "date"})
    finish(job)
    file = job.working_dir.stat("result.dat")
    for kind, start in (
        (FaultKind.ERROR_BODY, b"<ns1:XMLFault"),
        (FaultKind.ERROR_PAGE, b"<html>"),
    ):
        unicore.faults.set([PlannedFault(kind, on="GET .*/files/")])
        file.download(str(tmp_path / kind))
        assert (tmp_path / kind).read_bytes().startswith(start)


def test_many_clients_at_once(unicore: Unicore) -> None:
    def submit(_number: int) -> str:
        given = transport(unicore.token(), unicore.ca_file)
        job = Client(given, unicore.site_url("bookworm")).new_job({"Executable": "date"})
        return str(finish(job)["status"])

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(submit, range(40))) == ["SUCCESSFUL"] * 40


# ------------------------------------------------------------- real login nodes and real Slurm


@pytest.fixture(scope="module")
def double(sandbox: Sandbox, report: Silent) -> UnicoreAddress:
    """The double of the sandbox; `up` starts it where only the sites were up."""
    room.up(report)
    return room.require_unicore()


@dataclass(frozen=True)
class Box:
    """Both sites through the double of the sandbox."""

    address: UnicoreAddress

    def site(self, name: str) -> Client:
        token = room.issue_token(self.address).reveal()
        given = transport(token, self.address.ca_file)
        return Registry(given, self.address.registry).site(name)

    def start(self, name: str, tmp_path: Path, files: dict[str, str], **description: Any) -> Job:
        inputs = {}
        for number, (remote, text) in enumerate(files.items()):
            inputs[remote] = str(tmp_path / f"{name}-{number}")
            Path(inputs[remote]).write_text(text)
        return self.site(name).new_job(description, inputs=inputs)


@pytest.fixture
def box(double: UnicoreAddress) -> Box:
    return Box(double)


def read(job: Job, name: str) -> str:
    return str(job.working_dir.stat(name).read().decode())


STAGE_ONE = "hostname > where; echo staged\n"
STAGE_TWO = "srun hostname | sort | uniq -c; cat where; id -un; exit 7\n"


@pytest.mark.parametrize("name", SITES)
def test_two_stages(box: Box, tmp_path: Path, name: str) -> None:
    job = box.start(
        name, tmp_path, {"one.sh": STAGE_ONE, "two.sh": STAGE_TWO},
        **{"User precommand": "bash one.sh", "Executable": "bash", "Arguments": ["two.sh"],
           "Resources": {"Nodes": 2, "CPUsPerNode": 2, "Runtime": "2m"}},
    )  # fmt: skip
    found = finish(job)
    assert (found["status"], found["exitCode"]) == ("FAILED", "7"), found["log"]
    assert found["queue"] == "batch"
    assert read(job, "stdout").split() == ["2", "c1", "2", "c2", "login", "scientist"]
    assert read(job, ".UNICORE_PRE_0/stdout") == "staged\n"
    details = job.bss_details()
    assert (details["JobId"], details["NumNodes"]) == (found["batchSystemID"], "2")
    assert details["TimeLimit"] == "00:02:00"
    folder = found["log"][2].partition("<")[2].rstrip(">")
    listed = {path.lstrip("/") for path in job.working_dir.contents()["content"]}
    assert {"UNICORE_SCRIPT_EXIT_CODE", "two.sh", ".UNICORE_PRE_0/"} <= listed
    job.delete()
    assert on_site(name, f"ls -d {folder}").status != 0


def on_site(name: str, command: str) -> Any:
    sandbox = room.load_sandbox()
    assert sandbox is not None
    port = sandbox.site(name).port
    return on_login(sandbox_settings(), name, port, command, Silent())


def test_abort_cancels_in_slurm(box: Box, tmp_path: Path) -> None:
    job = box.start("bookworm", tmp_path, {}, Executable="sleep 600")
    job.cache_time = 0
    while job.properties["status"] != "RUNNING":
        time.sleep(0.1)
    number = job.properties["batchSystemID"]
    job.abort()
    found = finish(job)
    assert (found["status"], found["statusMessage"]) == ("FAILED", "Job aborted.")
    assert "CANCELLED" in on_site("bookworm", f"scontrol show job {number}").output
    job.delete()


def test_abort_leaves_the_precommand(box: Box, tmp_path: Path) -> None:
    job = box.start(
        "trixie", tmp_path, {"one.sh": "touch begun; sleep 3; touch ended\n"},
        **{"User precommand": "bash one.sh", "Executable": "touch main"},
    )  # fmt: skip
    while "begun" not in job.working_dir.listdir():
        time.sleep(0.1)
    job.abort()
    assert finish(job)["statusMessage"] == "Job aborted."
    end = time.monotonic() + DEADLINE
    while "ended" not in job.working_dir.listdir():
        assert time.monotonic() < end, "the precommand was stopped"
        time.sleep(0.2)
    assert "main" not in job.working_dir.listdir()
    job.delete()


# facts/unicore-nmpi.md 2.9, column TSI: what a login-node precommand comes to.
PRECOMMANDS = [
    ("exit 3", "FAILED", "no exit code file found"),
    (["false"], "SUCCESSFUL", ""),
    ("false\n", "SUCCESSFUL", ""),
    ("(exit 3)", "FAILED", "non-zero exit code: <3>"),
    ("bash pre.sh", "FAILED", "non-zero exit code: <3>"),
    ("echo 'x", "FAILED", "Could not read PID file"),
    ("cat <<X\nhello\nX", "FAILED", "Could not read PID file"),
]


def test_traps_of_the_precommand(box: Box, tmp_path: Path) -> None:
    jobs = [
        box.start(
            "bookworm", tmp_path, {"pre.sh": "exit 3\n"},
            **{"User precommand": command, "Executable": "date", "Job type": "ON_LOGIN_NODE"},
        )
        for command, _, _ in PRECOMMANDS
    ]  # fmt: skip
    for job, (command, status, message) in zip(jobs, PRECOMMANDS, strict=True):
        found = finish(job)
        assert found["status"] == status, (command, found["log"])
        assert message in found["statusMessage"]
        job.delete()


def test_the_paper_s_listing_3_knows_nothing_of_its_job(box: Box, tmp_path: Path) -> None:
    job = box.start(
        "bookworm", tmp_path, {"job.sh": "#!/bin/bash\nexit 3\n"},
        Executable="sbatch", Arguments=["job.sh"], **{"Job type": "ON_LOGIN_NODE"},
    )  # fmt: skip
    found = finish(job)
    assert (found["status"], found["exitCode"]) == ("SUCCESSFUL", "0")
    assert read(job, "stdout").startswith("Submitted batch job ")
    waiting = box.start(
        "bookworm", tmp_path, {"job.sh": "#!/bin/bash\nexit 3\n"},
        Executable="sbatch --wait", Arguments=["job.sh"], **{"Job type": "ON_LOGIN_NODE"},
    )  # fmt: skip
    assert finish(waiting)["exitCode"] == "3"
    job.delete()
    waiting.delete()


def test_a_raw_job(box: Box, tmp_path: Path) -> None:
    directives = "#!/bin/bash\n#SBATCH --nodes=2 --ntasks=2 --partition=batch --time=1\n"
    job = box.start(
        "trixie", tmp_path, {"job.bss": directives, "run.sh": "srun hostname | sort > out\n"},
        Executable="bash", Arguments=["run.sh"], **{"Job type": "RAW", "BSS file": "job.bss"},
    )  # fmt: skip
    assert finish(job)["status"] == "SUCCESSFUL"
    assert read(job, "out").split() == ["c1", "c2"]
    job.delete()


def test_the_running_double_is_told_to_fail(box: Box) -> None:
    site = box.site("bookworm")
    before = count_requests(box.address).get("GET jobs", 0)
    room.plan_faults(box.address, [PlannedFault(FaultKind.UNAVAILABLE, on="GET .*/jobs")])
    with pytest.raises(httpx.HTTPError, match="503"):
        site.get_jobs()
    assert isinstance(site.get_jobs(), list)
    assert room.show_faults(box.address)["fired"] == {"unavailable": 1}
    assert count_requests(box.address)["GET jobs"] == before + 2
    assert room.plan_faults(box.address, [])["faults"] == []


def test_a_double_that_was_killed_is_started_by_up(double: UnicoreAddress, report: Silent) -> None:
    import os
    import signal

    sandbox = room.load_sandbox()
    os.kill(double.pid, signal.SIGKILL)
    end = time.monotonic() + DEADLINE
    while room.load_unicore() is not None and time.monotonic() < end:
        time.sleep(0.05)
    found = room.status(report)
    assert (found.state, found.unicore) == ("half up", None)
    assert room.up(report) == sandbox
    assert room.require_unicore().pid != double.pid
    assert room.status(report).state == "up"
