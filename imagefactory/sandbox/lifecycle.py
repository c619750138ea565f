"""Up and down: the one place that changes a sandbox."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.apptainer import find_apptainer
from imagefactory.base.errors import ToolFailed, UsageFault
from imagefactory.base.files import cache_folder, locked, write_text
from imagefactory.base.report import Report
from imagefactory.sandbox.apptainer import apptainer_paths
from imagefactory.sandbox.daemon import connect, find_engine, own_engine, revive_engine, stop_engine
from imagefactory.sandbox.engine import Engine, Held
from imagefactory.sandbox.keys import write_files, write_known_hosts
from imagefactory.sandbox.ready import measure, registry_answers, wait_for_registry, wait_for_site
from imagefactory.sandbox.root import as_root
from imagefactory.sandbox.roots import make_roots, missing_roots
from imagefactory.sandbox.settings import PREFIX_VARIABLE, SandboxSettings, sandbox_settings
from imagefactory.sandbox.sites import SITES, containers, networks, site_record, volumes
from imagefactory.sandbox.state import FILE, Sandbox, SandboxSite, load_sandbox, write_state
from imagefactory.sandbox.unicore.background import (
    UnicoreAddress,
    load_unicore,
    own_process,
    start_background,
    stop_background,
    unicore_answers,
)

# Nothing may depend on what is removed later.
_ORDER = {"container": 0, "network": 1, "volume": 2}
_START_UNICORE = "start the UNICORE double (no UNICORE/X) in front of both sites"


@dataclass(frozen=True)
class UpPlan:
    """What `up` would do. `complete`: it is up already, nothing is to be done; `sites_stand`:
    sites and registry are up, only the UNICORE double is missing."""

    complete: bool
    leftovers: tuple[str, ...]
    images: tuple[str, ...]
    start_engine: bool
    settings: SandboxSettings
    sites_stand: bool = False

    def lines(self) -> list[str]:
        """The plan for people."""
        if self.complete:
            return ["nothing to do: the sandbox is up"]
        if self.sites_stand:
            return [_START_UNICORE]
        lines = ["start the Docker engine"] if self.start_engine else []
        lines += [f"remove what is half up: {name}" for name in self.leftovers]
        lines += [f"make the image {tag} with mmdebstrap (once)" for tag in self.images]
        lines += [f"make the network {item.name}" for item in networks(self.settings)]
        lines += [f"make the volume {name}" for name in volumes(self.settings)]
        lines += [f"start the container {item.name}" for item in containers(self.settings, ())]
        lines.append(_START_UNICORE)
        return [*lines, f"write the site records in {self.settings.record('x').parent}"]


def plan_up(report: Report) -> UpPlan:
    """What `up` would do now; changes nothing."""
    settings = sandbox_settings()
    engine = find_engine(settings, report)
    if engine is None:
        return UpPlan(False, (), tuple(site.tag for site in SITES), True, settings)
    return _plan(settings, engine)


def _plan(settings: SandboxSettings, engine: Engine) -> UpPlan:
    held = own_things(settings, engine)
    if load_sandbox() and _stands(settings, held):
        unicore = load_unicore() is not None
        return UpPlan(unicore, (), (), False, settings, sites_stand=True)
    images = tuple(site.tag for site in missing_roots(engine.images()))
    return UpPlan(False, tuple(item.name for item in held), images, False, settings)


def own_things(settings: SandboxSettings, engine: Engine) -> list[Held]:
    """What the engine holds under our prefix; UsageFault if it belongs to another data folder."""
    held = engine.held(settings.prefix)
    for item in held:
        if item.folder not in {"", str(settings.folder)}:
            data = Path(item.folder).parent
            raise UsageFault(
                f"another sandbox has the name {settings.prefix!r}",
                where=item.folder,
                fix=f"IMAGEFACTORY_DATA={data} imagefactory sandbox down; "
                f"or give this one another name: {PREFIX_VARIABLE}=second",
            )
    return held


def _stands(settings: SandboxSettings, held: Sequence[Held]) -> bool:
    running = {item.name for item in held if item.running}
    return {item.name for item in containers(settings, ())} <= running


def up(report: Report) -> Sandbox:
    """Bring the sandbox up, or find it up; what is half up is removed first.

    Raises ToolFailed or ServiceAway with the log tails of what did not start.
    """
    settings = sandbox_settings()
    with locked(settings.folder / "lock"):
        engine = connect(settings, report)
        plan = _plan(settings, engine)
        if plan.sites_stand and (sandbox := load_sandbox()) and registry_answers(settings):
            unicore = load_unicore()
            if unicore is None or not unicore_answers(unicore):
                _start_unicore(settings, sandbox.sites, report)
            else:
                report.note("the sandbox is up already: nothing to do")
            return sandbox
        if plan.leftovers or (settings.folder / FILE).exists():
            report.note("the sandbox is half up: what there is of it is removed first")
            _clear(settings, engine, report)
        apptainer = find_apptainer(report)
        require_free_port(settings.registry_port)
        make_roots(missing_roots(engine.images()), engine, cache_folder(), report)
        with report.step("bring up two sites and a registry"):
            _start(settings, engine, apptainer_paths(apptainer, report), report)
            sandbox = _await(settings, engine, apptainer, report)
            _start_unicore(settings, sandbox.sites, report)
        write_state(sandbox)
        return sandbox


def _start_unicore(settings: SandboxSettings, sites: Sequence[SandboxSite], report: Report) -> None:
    address = start_background(settings, {site.name: site.port for site in sites}, report)
    for site in sites:
        name_unicore(site.record, site.name, address)


def name_unicore(record: Path, site: str, address: UnicoreAddress) -> None:
    """Say in a site record how UNICORE gets there; the address changes with every start."""
    import yaml

    document = yaml.safe_load(record.read_text(encoding="utf-8"))
    document["unicore"] = {
        "registry": address.registry,
        "site": site,
        "ca": str(address.ca_file),
        "issuer": address.issuer,
        "client_id": address.client_id,
    }
    write_text(record, yaml.safe_dump(document, sort_keys=False), mode=0o600)


def require_free_port(port: int) -> None:
    """Raise ToolFailed if something listens on the registry's port of our loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as err:
            raise ToolFailed(
                f"the registry's port {port} cannot be had: {err.strerror}",
                where=f"127.0.0.1:{port}",
                fix="choose another one: IMAGEFACTORY_REGISTRY_PORT=5001, then again",
            ) from None


def _start(
    settings: SandboxSettings, engine: Engine, apptainer: tuple[Path, ...], report: Report
) -> None:
    write_files(settings, report)
    for network in networks(settings):
        engine.make_network(network, settings.labels)
    for name in volumes(settings):
        engine.make_volume(name, settings.labels)
    with ThreadPoolExecutor(4) as pool:
        chosen = containers(settings, apptainer)
        for work in [pool.submit(engine.start, item, settings.labels) for item in chosen]:
            work.result()
    report.note(f"{len(chosen)} containers are started; waiting for Slurm, ssh and the registry")


def _await(settings: SandboxSettings, engine: Engine, apptainer: Path, report: Report) -> Sandbox:
    ports = {item.name: item.ports for item in engine.held(settings.prefix)}

    def settle(name: str) -> SandboxSite:
        login = settings.node(name, "login")
        port = ports.get(login, {}).get(22)
        if port is None:
            tail = engine.log_tail(login)
            raise ToolFailed(f"the login node of {name} did not start", where=login, detail=tail)
        write_known_hosts(name, port, settings)
        wait_for_site(settings, name, port, engine, report)
        found = measure(settings, name, port, apptainer, report)
        record = settings.record(name)
        return SandboxSite(name, login, port, record, found.slurm, found.pmix, found.apptainer)

    wait_for_registry(settings, engine)
    with ThreadPoolExecutor(len(SITES)) as pool:
        sites = tuple(pool.map(settle, (site.name for site in SITES)))
    _write_records(settings, sites, apptainer)
    return Sandbox(settings.prefix, engine.address, settings.registry, settings.folder, sites)


def _write_records(
    settings: SandboxSettings, sites: Sequence[SandboxSite], apptainer: Path
) -> None:
    import yaml

    for root, site in zip(SITES, sites, strict=True):
        document = site_record(root, settings, site.port, apptainer)
        write_text(site.record, yaml.safe_dump(document, sort_keys=False), mode=0o600)


@dataclass(frozen=True)
class DownPlan:
    """What `down` would remove; images are kept."""

    held: tuple[Held, ...]
    stop_engine: bool
    folder: Path | None
    stop_unicore: bool = False

    def lines(self) -> list[str]:
        """The plan for people."""
        lines = ["stop the UNICORE double"] if self.stop_unicore else []
        lines += [f"remove the {item.kind} {item.name}" for item in self.held]
        if self.folder is not None:
            lines.append(f"remove the folder {self.folder}")
        if self.stop_engine:
            lines.append("stop the Docker engine that imagefactory started")
        return lines or ["nothing to do: there is no sandbox"]


def plan_down(report: Report) -> DownPlan:
    """What `down` would do now; changes nothing."""
    settings = sandbox_settings()
    engine = find_engine(settings, report)
    held = tuple(_in_order(own_things(settings, engine))) if engine else ()
    folder = settings.folder if settings.folder.exists() else None
    unicore = own_process(settings) is not None
    return DownPlan(held, own_engine(settings) is not None, folder, unicore)


def down(report: Report) -> DownPlan:
    """Remove the sandbox, whole or half: returns what was removed. The images are kept."""
    settings = sandbox_settings()
    plan = plan_down(report)
    if plan == DownPlan((), False, None):
        report.note("there is no sandbox: nothing to do")
        return plan
    with report.step("take the sandbox down"), locked(settings.folder / "lock"):
        engine = find_engine(settings, report) or revive_engine(settings, report)
        stop_background(settings, report)
        if engine is not None:
            _clear(settings, engine, report)
        stop_engine(settings, report)
        _remove(settings.folder, report)
    return plan


def _remove(folder: Path, report: Report) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # an engine that sudo started left files of root
        as_root(report, "rm", "-rf", "--one-file-system", str(folder))


def _in_order(held: Sequence[Held]) -> list[Held]:
    return sorted(held, key=lambda item: (_ORDER[item.kind], item.name))


def _clear(settings: SandboxSettings, engine: Engine, report: Report) -> None:
    # The state goes first: whatever happens next, nobody takes this sandbox for one that is up.
    (settings.folder / FILE).unlink(missing_ok=True)
    held = own_things(settings, engine)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(engine.remove, [item for item in held if item.kind == "container"]))
    for item in _in_order([item for item in held if item.kind != "container"]):
        engine.remove(item)
    for site in SITES:
        settings.record(site.name).unlink(missing_ok=True)
    report.note(f"removed {len(held)} containers, networks and volumes")
