"""Is it up? Found out by asking: ssh and sinfo for a site, HTTP for the registry."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import FactoryError, ServiceAway
from imagefactory.base.http import open_client
from imagefactory.base.process import Done
from imagefactory.base.report import Report
from imagefactory.run import open_shell
from imagefactory.sandbox.engine import Engine
from imagefactory.sandbox.settings import SandboxSettings
from imagefactory.sandbox.sites import COMPUTE_NODES, NODES, login_access

DEADLINE_SECONDS = 60.0
PAUSE_SECONDS = 0.3
SSH_SECONDS = 30


@dataclass(frozen=True)
class Versions:
    """What a site says about itself."""

    slurm: str
    pmix: str
    apptainer: str


def on_login(settings: SandboxSettings, site: str, port: int, command: str, report: Report) -> Done:
    """Run a shell command on a site's login node over ssh; the status is not checked.

    Raises ServiceAway or TrustRefused where ssh does not get there.
    """
    with open_shell(login_access(settings, site, port), report) as shell:
        return shell.run(command, timeout=SSH_SECONDS)


def ask_nodes(
    settings: SandboxSettings, site: str, port: int, report: Report
) -> tuple[dict[str, str], str]:
    """The site's node states; without an answer an empty table and the reason."""
    try:
        done = on_login(settings, site, port, "sinfo -h -N -o '%N %T'", report)
    except FactoryError as err:
        return {}, err.detail or err.faults[0].what
    return ({}, done.tail) if done.status else (node_states(done.output), "")


def node_states(sinfo: str) -> dict[str, str]:
    """Node name to state word, from `sinfo -h -N -o '%N %T'`; a trailing * means no answer."""
    pairs = (line.split() for line in sinfo.splitlines())
    return {pair[0]: pair[1] for pair in pairs if len(pair) == 2}


def wait_until(
    ready: Callable[[], str],
    alive: Callable[[], None],
    deadline: float = DEADLINE_SECONDS,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Ask `ready` until it answers an empty text; else it says what is missing.

    `alive` raises at once when there is no use in waiting. ServiceAway after the deadline.
    """
    end = clock() + deadline
    while missing := ready():
        alive()
        if clock() > end:
            raise ServiceAway(
                f"not ready after {deadline:.0f} s: {missing}",
                fix="imagefactory sandbox down, then imagefactory sandbox up",
            )
        sleep(PAUSE_SECONDS)


def wait_for_site(
    settings: SandboxSettings, site: str, port: int, engine: Engine, report: Report
) -> None:
    """Wait until ssh answers and Slurm has all nodes idle; the error carries the nodes' logs."""

    def ready() -> str:
        states, reason = ask_nodes(settings, site, port, report)
        if all(states.get(node) == "idle" for node in COMPUTE_NODES):
            return ""
        return f"the site {site} ({states or reason or 'no answer'})"

    names = [settings.node(site, node) for node in NODES]
    _wait(ready, names, settings, engine)


def wait_for_registry(settings: SandboxSettings, engine: Engine) -> None:
    """Wait until the registry answers."""

    def ready() -> str:
        return "" if registry_answers(settings) else f"the registry at {settings.registry}"

    _wait(ready, [settings.registry_name], settings, engine)


def registry_answers(settings: SandboxSettings) -> bool:
    """True if the registry says that it speaks OCI."""
    import httpx

    try:
        with open_client() as client:
            return client.get(f"http://{settings.registry}/v2/", timeout=3).status_code == 200
    except httpx.HTTPError:
        return False


def _wait(
    ready: Callable[[], str], names: list[str], settings: SandboxSettings, engine: Engine
) -> None:
    def alive() -> None:
        held = {item.name: item for item in engine.held(settings.prefix)}
        stopped = [name for name in names if name not in held or not held[name].running]
        if stopped:
            raise ServiceAway(
                f"stopped during the start: {', '.join(stopped)}",
                fix="imagefactory sandbox down, then imagefactory sandbox up",
            )

    try:
        wait_until(ready, alive)
    except FactoryError as err:
        err.detail = "\n".join(_tail(engine, name) for name in names)
        raise


def _tail(engine: Engine, name: str) -> str:
    try:
        return f"--- log of {name}\n{engine.log_tail(name)}"
    except FactoryError as err:
        return f"--- no log of {name}: {err.faults[0].what}"


_MEASURE = (
    "sinfo --version; srun --mpi=list 2>&1; "
    "dpkg-query -W -f '${Package} ${Version}\\n' 'libpmix2*'; "
)


def measure(
    settings: SandboxSettings, site: str, port: int, apptainer: Path, report: Report
) -> Versions:
    """Ask a site for its versions; raises ServiceAway where Apptainer does not run there."""
    done = on_login(settings, site, port, f"{_MEASURE}{apptainer} --version", report)
    if done.status:
        raise ServiceAway(
            f"Apptainer does not run on the login node of {site}",
            where=str(apptainer),
            fix="let imagefactory build its own: unset IMAGEFACTORY_APPTAINER; imagefactory setup",
            detail=done.tail,
        )
    return read_versions(done.output)


def read_versions(text: str) -> Versions:
    """Slurm, PMIx (library and plugin) and Apptainer, from what `measure` asked."""
    slurm = re.search(r"^slurm(?:-wlm)? (\S+)", text, re.MULTILINE)
    plugin = re.search(r"\bpmix_v\d+\b", text)
    library = re.search(r"^libpmix2\S* ([0-9.]+[0-9])", text, re.MULTILINE)
    apptainer = re.search(r"^apptainer version (\S+)", text, re.MULTILINE)
    pmix = f"{library[1] if library else '?'} ({plugin[0] if plugin else 'no plugin'})"
    return Versions(slurm[1] if slurm else "?", pmix, apptainer[1] if apptainer else "?")
