"""The NMPI double over real TLS: the real client `nmpi` 0.11.2 through the whole life of a job, and
our own runner through the same."""

from __future__ import annotations

import importlib.metadata
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagefactory import run as room
from imagefactory.base.errors import ToolFailed
from imagefactory.base.files import settings_folder, write_json
from imagefactory.base.ordinary import (
    ordinary_cache,
    ordinary_folder,
    ordinary_runner,
    ordinary_user,
)
from imagefactory.base.process import Runner
from imagefactory.base.report import Silent
from imagefactory.model import load_spikes
from imagefactory.sandbox.nmpi import EMULATED, VIRTUAL, Nmpi, start_in_image, start_nmpi
from imagefactory.sandbox.nmpi.provider import SOURCE_BYTES
from imagefactory.sandbox.unicore.faults import FaultKind, PlannedFault

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SMALL = {"dt_ms": "1", "n_exc": "100", "n_inh": "25", "duration_ms": "300", "warmup_ms": "100"}
# One line is another than for NEST: the second.
LISTING = """import sys
import pyNN.spiNNaker as sim
sim.setup(timestep=1.0)
cells = sim.Population(100, sim.IF_curr_exp(tau_refrac=2.0))
drive = sim.Population(100, sim.SpikeSourceArray(spike_times=[[5.0]] * 100))
sim.Projection(drive, cells, sim.OneToOneConnector(), sim.StaticSynapse(weight=5.0, delay=1.0))
sim.Projection(cells, cells, sim.FixedProbabilityConnector(0.1), sim.StaticSynapse(weight=0.1))
cells.record("spikes")
sim.run(50)
found = cells.get_data("spikes").segments[0].spiketrains
open("spikes.txt", "w").write(f"{sum(map(len, found))} spikes")
print("mapped by", sim.__name__, sys.argv[1])
sim.end()
"""
SCRIPT = """import os, sys
print("hello from", sys.argv[1], os.environ["spynnaker_version"])
os.makedirs("results")
open("results/spikes.txt", "w").write("1 2 3")
"""


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nmpi]:
    """A double on the loopback, named to our runner, its authority known to requests and urllib."""
    for name in ("DATA", "SETTINGS"):
        monkeypatch.setenv(f"IMAGEFACTORY_{name}", str(tmp_path / name.lower()))
    with start_nmpi(tmp_path / "nmpi", pause=0.05) as found:
        record = {"url": found.url, "ca": str(found.ca_file), "double": True}
        write_json(settings_folder() / "nmpi" / "nmpi-double.yaml", record)
        monkeypatch.setenv("IMAGEFACTORY_TOKEN", found.token())
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(found.ca_file))
        monkeypatch.setenv("SSL_CERT_FILE", str(found.ca_file))
        yield found


@pytest.fixture
def in_image(queue: Nmpi, spynnaker_sif: Path, report: Silent) -> Nmpi:
    """The same, its jobs started as in the sandbox: in the image, as the ordinary user."""
    assert spynnaker_sif.is_file()
    queue.provider.runner = ordinary_runner(report)
    queue.provider.folder = ordinary_folder(ordinary_cache() / "tests" / "nmpi-jobs")
    queue.provider.start = start_in_image(report)
    return queue


@pytest.fixture
def client(queue: Nmpi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The real client. It writes the token in clear into the home folder: into this one here."""
    from nmpi import nmpi_user

    assert importlib.metadata.version("hbp-neuromorphic-platform") == "0.11.2"
    monkeypatch.setattr(nmpi_user, "TOKENFILE", str(tmp_path / ".hbptoken"))
    found = nmpi_user.Client(
        token=queue.token(), job_service=queue.url, user_info_endpoint=queue.user_info_url
    )
    found.sleep_interval = 0.1
    return found


def script(folder: Path, text: str) -> str:
    path = folder / "balanced_random.py"
    path.write_text(text)
    return str(path)


def test_the_real_client_through_the_whole_life_of_a_job(client: Any, tmp_path: Path) -> None:
    """Listings 5 and 6 of the paper, as the real client has them (docs/nmpi.md)."""
    assert client.my_collabs() == ["demo", "looked-at"]
    assert client.get_server_info()["version"] == "3"
    config = {"spynnaker_version": "6.0.0", "system": EMULATED}
    job = client.submit_job(
        script(tmp_path, SCRIPT), "SpiNNaker", "demo", config=config, tags=["first"], wait=True
    )
    assert job["status"] == "finished"
    assert f"hello from {EMULATED} 6.0.0" in job["log"]
    assert "no SpiNNaker took part" in job["log"]
    assert job["provenance"]["system"] == EMULATED
    [path] = client.download_data(job, local_dir=str(tmp_path / "data"))
    assert Path(path).read_text() == "1 2 3"
    assert client.completed_jobs("demo") == [job["resource_uri"]]
    assert client.queued_jobs() == []
    assert client.add_tags(job["id"], ["second"]) == ["first", "second"]
    assert client.submit_comment(job["id"], "good")["content"] == "good"
    [found] = client.resource_requests("demo")
    assert 0 < found["quotas"][0]["usage"] < 1
    assert client.job_status(job["id"]) == "finished"


def test_listing_5_with_spynnaker_itself(in_image: Nmpi, client: Any, tmp_path: Path) -> None:
    """The virtual board gives no spike, and the log says so."""
    job = client.submit_job(script(tmp_path, LISTING), "SpiNNaker", "demo", wait=True)
    assert job["status"] == "finished", job["log"]
    assert "mapped by pyNN.spiNNaker spiNNaker" in job["log"]
    assert "nothing is simulated" in job["log"]
    assert job["provenance"]["board"] == "virtual"
    [path] = client.download_data(job, local_dir=str(tmp_path / "data"))
    assert Path(path).read_text() == "0 spikes"


def test_what_a_program_may_not_do(in_image: Nmpi, client: Any, tmp_path: Path) -> None:
    nosy = (
        "import os, socket\n"
        f"print('user', os.getuid(), os.path.exists({str(Path(__file__))!r}))\n"
        f"socket.create_connection(('127.0.0.1', {in_image.url.rpartition(':')[2]}), 2)\n"
    )
    job = client.submit_job(script(tmp_path, nosy), "SpiNNaker", "demo", wait=True)
    assert job["status"] == "error"
    assert f"user {ordinary_user().pw_uid} False" in job["log"]
    assert "ConnectionRefusedError" in job["log"] or "unreachable" in job["log"]


def test_the_real_client_where_it_goes_wrong(client: Any, tmp_path: Path) -> None:
    failed = client.submit_job(script(tmp_path, "import nothing\n"), "SpiNNaker", "demo", wait=True)
    assert failed["status"] == "error"
    assert "No module named 'nothing'" in failed["log"]
    with pytest.raises(Exception, match="404: You do not have access to this collab"):
        client.submit_job("import a", "SpiNNaker", "looked-at")
    with pytest.raises(Exception, match="403: You do not have sufficient"):
        client.submit_job("import a", "Nonesuch", "demo")
    archive = tmp_path / "source.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("run.py", "import a\n")
    with pytest.raises(Exception, match="422"):  # an existing file that is not .py
        client.submit_job(str(archive), "SpiNNaker", "demo")


def test_source_from_git_with_a_command(
    client: Any, queue: Nmpi, tmp_path: Path, report: Silent, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = tmp_path / "source"
    top.mkdir()
    (top / "main.py").write_text("import sys\nprint('cloned', sys.argv[1:])\n")
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (top / "spynnaker.cfg").symlink_to(victim)
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.test", "-C", top)
    Runner(report).run("git", "init", "--quiet", top, timeout=20)
    Runner(report).run(*git, "add", ".", timeout=20)
    Runner(report).run(*git, "commit", "--quiet", "-m", "one", timeout=20)
    # The provider takes https alone; git itself is told where that address is here.
    for name, value in {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{top}.insteadOf",
        "GIT_CONFIG_VALUE_0": "https://git.test/model",
    }.items():
        monkeypatch.setenv(name, value)
    queue.provider.runner = Runner(report)
    queue.provider.clone_protocols = "file"
    job = client.submit_job(
        "https://git.test/model", "SpiNNaker", "demo", command="main.py {system}", wait=True
    )
    assert f"cloned ['{VIRTUAL}']" in job["log"], job["log"]
    assert job["status"] == "finished"
    assert victim.read_text() == "mine"  # no settings were written through the link


def test_source_from_an_archive(client: Any, queue: Nmpi) -> None:
    """Fetched over TLS, from the double itself; a bad one is not started, and the next job runs."""
    members = {
        "good": {"main.py": b"import sys\nprint('unpacked', sys.argv[1:])\n"},
        "climbs": {"main.py": b"print('started')", "../climbed.py": b"import a\n"},
        "bomb": {"main.py": b"print('started')", "zeros": bytes(SOURCE_BYTES)},
    }
    logs = {}
    for name, contents in members.items():
        path = queue.service.output / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for member, content in contents.items():
                file.writestr(member, content)
        assert path.stat().st_size < 100_000
    for name in ("climbs", "bomb", "none", "good"):
        url = f"{queue.url}/services/rest/output/{name}.zip"
        job = client.submit_job(url, "SpiNNaker", "demo", command="main.py {system}", wait=True)
        assert job["status"] == ("finished" if name == "good" else "error")
        logs[name] = job["log"]
    assert "leaves its folder: '../climbed.py'" in logs["climbs"]
    assert "more than 50000000 bytes" in logs["bomb"]
    assert "no source archive there (404)" in logs["none"]
    assert f"unpacked ['{VIRTUAL}']" in logs["good"]
    assert "started" not in logs["climbs"] + logs["bomb"]
    assert list(queue.provider.folder.rglob("*")) == []


def start(detach: bool = False) -> room.RunRecord:
    plan = room.plan_nmpi("nmpi-double", "balanced-random", "demo", SMALL)
    return room.execute(plan, Silent(), detach=detach)


def test_our_runner_through_the_same_life(queue: Nmpi) -> None:
    first, second = start(), room.watch(start(detach=True).id, Silent())
    for record in (first, second):
        assert (record.state, record.backend) == ("FINISHED", EMULATED)
        assert record.network["emulated"].startswith("SpiNNaker's arithmetic")
        assert record.job["usage"]["units"] == "core-hours"
        assert len(load_spikes(record.folder / "spikes.npz")) > 100
    assert first.spikes is not None
    assert second.spikes is not None
    assert first.spikes["digest"] == second.spikes["digest"]
    assert second.job["quota_before"]["usage"] > 0
    assert json.loads((first.folder / "record.json").read_text())["site"] == "nmpi-double"


def test_our_program_under_spynnaker_itself(in_image: Nmpi) -> None:
    """What the real service would be sent: it goes through on the virtual board, and is no run."""
    record = {"url": in_image.url, "ca": str(in_image.ca_file)}  # not told to be a double
    write_json(settings_folder() / "nmpi" / "real.yaml", record)
    plan = room.plan_nmpi("real", "balanced-random", "demo", SMALL)
    with pytest.raises(ToolFailed, match="mapped on a virtual board"):
        room.execute(plan, Silent())
    [failed] = room.list_records()
    log = (failed.folder / "log.txt").read_text()
    assert (failed.state, failed.backend, failed.spikes) == ("FAILED", "spinnaker", None)
    assert failed.job["word"] == "finished"
    assert "system spiNNaker" in log
    assert "imagefactory: output " in log


def test_our_runner_where_it_goes_wrong(queue: Nmpi) -> None:
    queue.faults.set([PlannedFault(FaultKind.PROVIDER_FAILS)])
    with pytest.raises(ToolFailed, match="error at its provider") as caught:
        start()
    assert "the board did not boot" in caught.value.detail
    queue.faults.set([PlannedFault(FaultKind.LOST_REPLY, "POST /jobs/")])
    assert start().state == "FINISHED"
    assert len(queue.service.store.jobs) == 2
