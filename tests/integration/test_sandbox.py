"""The sandbox on a real engine: what a user gets, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from imagefactory import sandbox as room
from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Done
from imagefactory.base.report import Silent
from imagefactory.sandbox import Sandbox
from imagefactory.sandbox.engine import DockerEngine
from imagefactory.sandbox.ready import on_login
from imagefactory.sandbox.settings import sandbox_settings
from imagefactory.site import load_site

SITES = ("bookworm", "trixie")
# Who can open a connection to the registry's address from where it runs?
KNOCK = "bash -c 'exec 3<>/dev/tcp/{host}/{port}'"


def on_site(sandbox: Sandbox, site: str, command: str) -> Done:
    """Run a shell command on a login node as the site's user, over ssh."""
    return on_login(sandbox_settings(), site, sandbox.site(site).port, command, Silent())


def test_status(sandbox: Sandbox, report: Silent) -> None:
    found = room.status(report)
    assert found.state == "up"
    assert found.registry_answers
    assert [site.name for site in found.sites] == list(SITES)
    slurm = {site.name: site.slurm for site in found.sites}
    assert slurm["bookworm"].startswith("22.05")
    assert slurm["trixie"].startswith("24.11")
    pmix = {site.name: site.pmix for site in found.sites}
    assert pmix["bookworm"].startswith("4.2")
    assert pmix["trixie"].startswith("5.0")


def test_up_again_changes_nothing(sandbox: Sandbox, report: Silent) -> None:
    assert room.up(report) == sandbox
    assert room.plan_up(report).complete


@pytest.mark.parametrize("site", SITES)
def test_a_job_runs_across_both_nodes(sandbox: Sandbox, site: str) -> None:
    done = on_site(sandbox, site, "srun -N2 -n4 hostname")
    assert done.status == 0, done.tail
    assert sorted(done.output.split()) == ["c1", "c1", "c2", "c2"]


@pytest.mark.parametrize(("site", "plugin"), [("bookworm", "pmix_v4"), ("trixie", "pmix_v5")])
def test_pmix_is_listed_and_starts(sandbox: Sandbox, site: str, plugin: str) -> None:
    listed = on_site(sandbox, site, "srun --mpi=list")
    assert plugin in listed.output + listed.errors
    started = on_site(sandbox, site, "srun -N2 -n2 --mpi=pmix env")
    assert started.status == 0, started.tail
    assert started.output.count("PMIX_RANK=") == 2


@pytest.mark.parametrize("site", SITES)
def test_work_is_done_as_an_ordinary_user(sandbox: Sandbox, site: str) -> None:
    assert on_site(sandbox, site, "srun -N1 id -un").output.split() == ["scientist"]
    assert on_site(sandbox, site, "sudo -n true").status != 0


@pytest.mark.parametrize("site", SITES)
def test_login_reaches_the_registry_and_compute_does_not(sandbox: Sandbox, site: str) -> None:
    port = sandbox.registry.rpartition(":")[2]
    login = on_site(sandbox, site, KNOCK.format(host="127.0.0.1", port=port))
    assert login.status == 0, login.tail
    # On the node itself, by name, and at the login node, whose listener is on its loopback only.
    for host, there in (("127.0.0.1", port), ("registry", "5000"), ("login", port)):
        knock = KNOCK.format(host=host, port=there)
        assert on_site(sandbox, site, f"srun -N1 {knock}").status != 0, f"{host} is reached"
    # The knock itself works on a compute node: Slurm's controller answers.
    assert on_site(sandbox, site, f"srun -N1 {KNOCK.format(host='login', port=6817)}").status == 0


@pytest.mark.parametrize("site", SITES)
def test_folder_is_shared(sandbox: Sandbox, site: str) -> None:
    command = "f=$HOME/shared.$$; srun -N1 -w c2 touch $f && srun -N1 -w c1 test -f $f && rm $f"
    done = on_site(sandbox, site, command)
    assert done.status == 0, done.tail


@pytest.mark.parametrize("site", SITES)
def test_site_record_is_known_to_the_other_verbs(sandbox: Sandbox, site: str) -> None:
    found = load_site(site)
    assert found.access.port == sandbox.site(site).port
    identity = sandbox.folder / "id_ed25519"
    assert identity.stat().st_mode & 0o777 == 0o600


@dataclass(frozen=True)
class Second:
    """A sandbox of its own beside the shared one, which may be broken."""

    engine: DockerEngine
    folder: Path
    environment: dict[str, str]

    def names(self) -> list[str]:
        return [item.name for item in self.engine.held("second-test")]


@pytest.fixture
def second(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, report: Silent
) -> Iterator[Second]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    changes = {
        "IMAGEFACTORY_SANDBOX": "second-test",
        "IMAGEFACTORY_REGISTRY_PORT": str(port),
        "IMAGEFACTORY_DATA": str(tmp_path / "data"),
        "DOCKER_HOST": sandbox.engine,
    }
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    yield Second(DockerEngine(sandbox.engine), tmp_path / "data", dict(os.environ))
    room.down(report)


def kill_during_up(second: Second) -> None:
    """Start `up` in a process of its own and kill it (-9) when some containers are there."""
    code = (
        "from imagefactory.sandbox import up; from imagefactory.base.report import Silent; "
        "up(Silent())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=second.environment)
    end = time.monotonic() + 120
    while not any(item.kind == "container" for item in second.engine.held("second-test")):
        assert process.poll() is None, "up ended before it could be killed"
        assert time.monotonic() < end, "no container came up"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_a_crash_half_way_is_cleaned_by_down(second: Second, report: Silent) -> None:
    kill_during_up(second)
    assert second.names()
    assert room.status(report).state == "half up"
    room.down(report)
    assert second.names() == []
    assert not (second.folder / "sandbox").exists()
    assert room.status(report).state == "down"


def test_a_crash_half_way_is_repaired_by_up(second: Second, report: Silent) -> None:
    kill_during_up(second)
    found = room.up(report)
    assert room.status(report).state == "up"
    assert on_site(found, "trixie", "srun -N2 -n2 hostname").status == 0
    room.down(report)
    assert second.names() == []


def test_a_port_in_use_is_one_clear_error(second: Second, report: Silent) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", int(os.environ["IMAGEFACTORY_REGISTRY_PORT"])))
        busy.listen()
        with pytest.raises(ToolFailed, match="port") as caught:
            room.up(report)
    assert "IMAGEFACTORY_REGISTRY_PORT" in caught.value.faults[0].fix
    assert second.names() == []


def test_results_can_be_json(sandbox: Sandbox, report: Silent) -> None:
    from imagefactory.cli.session import plain

    assert json.loads(json.dumps(plain(room.status(report))))["state"] == "up"
    assert json.loads(json.dumps(plain(sandbox)))["registry"] == sandbox.registry
