"""Up and down against an engine that keeps state in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.errors import ServiceAway, ToolFailed, UsageFault
from imagefactory.base.files import write_text
from imagefactory.base.report import Silent
from imagefactory.base.values import Secret
from imagefactory.sandbox import daemon, lifecycle, status
from imagefactory.sandbox.engine import Container, Held, Network
from imagefactory.sandbox.keys import known_hosts_line
from imagefactory.sandbox.ready import node_states, read_versions, wait_until
from imagefactory.sandbox.settings import FOLDER_LABEL, LABEL, SandboxSettings, sandbox_settings
from imagefactory.sandbox.sites import SITES, containers, login_access, networks, volumes
from imagefactory.sandbox.state import Sandbox, SandboxSite, load_sandbox, write_state
from imagefactory.sandbox.status import DOWN, HALF, UP, SiteStatus, judge
from imagefactory.sandbox.unicore.background import UnicoreAddress

if TYPE_CHECKING:
    from tests.conftest import Golden


@dataclass
class FakeEngine:
    """Holds what it was asked to make; fails to start the container named `broken`."""

    tags: list[str] = field(default_factory=lambda: [site.tag for site in SITES])
    things: dict[tuple[str, str], tuple[Held, Mapping[str, str]]] = field(default_factory=dict)
    broken: str = ""
    unicore: list[UnicoreAddress] = field(default_factory=list)
    address: str = "unix:///fake"

    def images(self) -> list[str]:
        return self.tags

    def import_image(self, tar: Path, tag: str) -> None:
        self.tags.append(tag)

    def held(self, prefix: str) -> list[Held]:
        return [
            replace(item, folder=labels[FOLDER_LABEL])
            for item, labels in self.things.values()
            if labels[LABEL] == prefix
        ]

    def make_network(self, network: Network, labels: Mapping[str, str]) -> None:
        self.things["network", network.name] = Held("network", network.name), labels

    def make_volume(self, name: str, labels: Mapping[str, str]) -> None:
        self.things["volume", name] = Held("volume", name), labels

    def start(self, container: Container, labels: Mapping[str, str]) -> None:
        for name, _ in container.networks:
            assert ("network", name) in self.things, "a network must be there first"
        if container.name == self.broken:
            raise ToolFailed("refused", where=container.name)
        ports = {inside: 32768 for inside, _ in container.ports}
        held = Held("container", container.name, running=True, ports=ports)
        self.things["container", container.name] = held, labels

    def execute(self, container: str, argv: Sequence[str], user: str = "root") -> tuple[int, str]:
        return 0, ""

    def log_tail(self, container: str, lines: int = 15) -> str:
        return f"log of {container}"

    def remove(self, held: Held) -> None:
        if held.kind != "container":
            assert not any(kind == "container" for kind, _ in self.things), "still in use"
        self.things.pop((held.kind, held.name), None)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """All that leaves the process is replaced; the order of the work is real."""
    fake = FakeEngine()

    def connect(_settings: SandboxSettings, _report: object) -> FakeEngine:
        return fake

    def write_files(settings: SandboxSettings, _report: object) -> None:
        settings.folder.mkdir(parents=True, exist_ok=True)

    def settle(settings: SandboxSettings, *_: object) -> Sandbox:
        sites = tuple(
            SandboxSite(site.name, "login", 1, settings.record(site.name), "s", "p", "a")
            for site in SITES
        )
        for site in sites:
            write_text(site.record, f"name: {site.name}\n")
        return Sandbox(settings.prefix, fake.address, settings.registry, settings.folder, sites)

    monkeypatch.setattr(lifecycle, "connect", connect)
    monkeypatch.setattr(lifecycle, "find_engine", connect)
    monkeypatch.setattr(lifecycle, "write_files", write_files)
    monkeypatch.setattr(lifecycle, "_await", settle)
    monkeypatch.setattr(lifecycle, "find_apptainer", lambda _report: Path("/opt/a/bin/apptainer"))
    monkeypatch.setattr(lifecycle, "apptainer_paths", lambda _program, _report: (Path("/opt/a"),))
    monkeypatch.setattr(lifecycle, "require_free_port", lambda _port: None)
    monkeypatch.setattr(lifecycle, "registry_answers", lambda _settings: True)
    fake_unicore(fake.unicore, monkeypatch)
    return fake


def fake_unicore(running: list[UnicoreAddress], monkeypatch: pytest.MonkeyPatch) -> None:
    """A double that is there once it was started, until it is stopped."""
    address = UnicoreAddress(
        1, "https://127.0.0.1:1", "https://127.0.0.1:1/registry", {}, Path("/ca.pem"), "", "",
        Secret("control"),
    )  # fmt: skip

    def start(
        settings: SandboxSettings, ports: Mapping[str, int], _report: object
    ) -> UnicoreAddress:
        assert set(ports) == {site.name for site in SITES}
        running[:] = [address]
        return address

    def stop(_settings: SandboxSettings, _report: object) -> None:
        running.clear()

    monkeypatch.setattr(lifecycle, "start_background", start)
    monkeypatch.setattr(lifecycle, "stop_background", stop)
    monkeypatch.setattr(lifecycle, "own_process", lambda _settings: 1 if running else None)
    monkeypatch.setattr(lifecycle, "unicore_answers", lambda _address: True)
    monkeypatch.setattr(lifecycle, "load_unicore", lambda: running[0] if running else None)


def whole(settings: SandboxSettings) -> set[str]:
    names = {item.name for item in containers(settings, ())} | set(volumes(settings))
    return names | {item.name for item in networks(settings)}


def names(engine: FakeEngine) -> set[str]:
    return {name for _, name in engine.things}


def test_up_makes_all_of_it_and_remembers_it(engine: FakeEngine) -> None:
    found = lifecycle.up(Silent())
    assert names(engine) == whole(sandbox_settings())
    assert load_sandbox() == found


def test_a_double_that_died_is_started_alone(engine: FakeEngine) -> None:
    lifecycle.up(Silent())
    before = names(engine)
    engine.unicore.clear()
    record = sandbox_settings().record("trixie")
    record.write_text("name: trixie\nunicore: {registry: an old one}\n")
    assert lifecycle.plan_up(Silent()).lines() == [
        "start the UNICORE double (no UNICORE/X) in front of both sites"
    ]
    lifecycle.up(Silent())
    assert lifecycle.plan_up(Silent()).complete
    assert names(engine) == before
    assert "registry: https://127.0.0.1:1/registry\n" in record.read_text()


def test_down_stops_the_double(engine: FakeEngine) -> None:
    lifecycle.up(Silent())
    assert "stop the UNICORE double" in lifecycle.plan_down(Silent()).lines()
    lifecycle.down(Silent())
    assert not engine.unicore


def test_up_twice_does_nothing(engine: FakeEngine) -> None:
    first = lifecycle.up(Silent())
    before = dict(engine.things)
    assert lifecycle.plan_up(Silent()).lines() == ["nothing to do: the sandbox is up"]
    assert lifecycle.up(Silent()) == first
    assert engine.things == before


def test_half_up_is_not_remembered_and_is_repaired(engine: FakeEngine) -> None:
    engine.broken = "imagefactory-trixie-c2"
    with pytest.raises(ToolFailed):
        lifecycle.up(Silent())
    assert load_sandbox() is None
    assert names(engine)
    assert lifecycle.plan_up(Silent()).leftovers
    engine.broken = ""
    lifecycle.up(Silent())
    assert names(engine) == whole(sandbox_settings())


def test_a_stopped_container_makes_it_half_up(engine: FakeEngine) -> None:
    lifecycle.up(Silent())
    key = ("container", "imagefactory-bookworm-c1")
    held, labels = engine.things[key]
    engine.things[key] = replace(held, running=False), labels
    assert not lifecycle.plan_up(Silent()).complete


def test_down_leaves_nothing_but_images(engine: FakeEngine) -> None:
    lifecycle.up(Silent())
    plan = lifecycle.down(Silent())
    assert not engine.things
    assert engine.tags == [site.tag for site in SITES]
    assert not sandbox_settings().folder.exists()
    assert len(plan.held) == 13
    assert lifecycle.plan_down(Silent()).lines() == ["nothing to do: there is no sandbox"]


def test_down_after_a_crash(engine: FakeEngine) -> None:
    engine.broken = "imagefactory-bookworm-c1"
    with pytest.raises(ToolFailed):
        lifecycle.up(Silent())
    lifecycle.down(Silent())
    assert not engine.things


def test_two_sandboxes_leave_each_other_alone(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lifecycle.up(Silent())
    first = dict(engine.things)
    monkeypatch.setenv("IMAGEFACTORY_DATA", str(tmp_path / "other"))
    with pytest.raises(UsageFault, match="another sandbox"):
        lifecycle.up(Silent())
    with pytest.raises(UsageFault, match="another sandbox"):
        lifecycle.down(Silent())
    assert engine.things == first
    monkeypatch.setenv("IMAGEFACTORY_SANDBOX", "second")
    lifecycle.up(Silent())
    assert names(engine) == {name for _, name in first} | whole(sandbox_settings())


def test_plan_lines_of_a_first_start(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, golden: Golden
) -> None:
    engine.tags.clear()
    monkeypatch.setenv("IMAGEFACTORY_DATA", "/data")
    text = "\n".join(lifecycle.plan_up(Silent()).lines())
    for site in SITES:
        text = text.replace(site.key, "KEY")
    golden.check("sandbox/plan-up.txt", text + "\n")


def test_state_file_is_private(engine: FakeEngine) -> None:
    sandbox = lifecycle.up(Silent())
    write_state(sandbox)
    assert (sandbox.folder / "state.json").stat().st_mode & 0o777 == 0o600


def test_waiting_ends_with_what_is_missing() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with pytest.raises(ServiceAway, match="not ready after 5 s: c2"):
        wait_until(lambda: "c2", lambda: None, 5, sleep, lambda: now[0])


def test_waiting_ends_at_once_when_a_container_stopped() -> None:
    def alive() -> None:
        raise ServiceAway("stopped")

    with pytest.raises(ServiceAway, match="stopped"):
        wait_until(lambda: "c2", alive, sleep=lambda _: pytest.fail("waited"))


def test_words_of_slurm() -> None:
    assert node_states("c1 idle\nc2 down*\n\n") == {"c1": "idle", "c2": "down*"}


def test_versions_of_a_site() -> None:
    text = (
        "slurm-wlm 22.05.8\nMPI plugin types are...\n\tpmix\n"
        "specific pmix plugin versions available: pmix_v4\n"
        "libpmix2 4.2.2-1+deb12u1\napptainer version 1.5.3\n"
    )
    found = read_versions(text)
    assert (found.slurm, found.pmix, found.apptainer) == ("22.05.8", "4.2.2 (pmix_v4)", "1.5.3")
    assert read_versions("").pmix == "? (no plugin)"


def test_ssh_trusts_only_the_pinned_host_key(tmp_path: Path) -> None:
    access = login_access(SandboxSettings("x", 5000, tmp_path), "trixie", 2202)
    assert access.known_hosts == tmp_path / "trixie" / "known_hosts"
    assert access.where == "scientist@127.0.0.1:2202"
    assert known_hosts_line(2202, "ssh-ed25519 AAAA x y") == "[127.0.0.1]:2202 ssh-ed25519 AAAA\n"


SITE_UP = SiteStatus("bookworm", True, {"c1": "idle"}, "22", "4", "1.5.3", 1)


def test_status_is_up_only_if_all_answers(tmp_path: Path) -> None:
    sandbox = Sandbox("x", "e", "r", tmp_path, ())
    held = [Held("container", "x-registry", running=True)]
    assert judge(sandbox, held, (), (SITE_UP,), True) == UP
    assert judge(sandbox, held, (), (replace(SITE_UP, answers=False),), True) == HALF
    assert judge(sandbox, held, ("c1",), (SITE_UP,), True) == HALF
    assert judge(None, held, (), (), True) == HALF
    assert judge(None, [], (), (), False) == DOWN


def test_status_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    module = importlib.import_module("imagefactory.sandbox.status")
    monkeypatch.setattr(module, "find_engine", lambda _settings, _report: None)
    found = status(Silent())
    assert found.state == DOWN
    assert "no Docker engine answers" in "\n".join(found.lines())


def test_no_engine_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(daemon, "find_engine", lambda _settings, _report: None)
    monkeypatch.setattr(daemon, "find_dockerd", lambda: None)
    with pytest.raises(ToolFailed, match="not installed") as caught:
        daemon.connect(sandbox_settings(), Silent())
    assert caught.value.faults[0].fix == "imagefactory setup"
    monkeypatch.setattr(daemon, "find_dockerd", lambda: Path("/usr/sbin/dockerd"))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr(daemon, "STANDARD_SOCKET", Path("/nowhere/docker.sock"))
    monkeypatch.setattr(daemon, "may_be_root", lambda _report: False)
    with pytest.raises(ServiceAway, match="not running"):
        daemon.connect(sandbox_settings(), Silent())


def test_another_process_is_never_taken_for_our_engine(tmp_path: Path) -> None:
    import os

    settings = SandboxSettings("x", 5000, tmp_path)
    own = daemon.OwnEngine(tmp_path / "engine")
    own.folder.mkdir()
    assert daemon.own_engine(settings) is None
    own.pid_file.write_text(str(os.getpid()))
    assert daemon.own_engine(settings) is None
