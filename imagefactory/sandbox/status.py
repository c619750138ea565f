"""What there is of the sandbox now, asked and not remembered."""

from __future__ import annotations

from dataclasses import dataclass

from imagefactory.base.report import Report
from imagefactory.sandbox.daemon import find_engine
from imagefactory.sandbox.engine import Held
from imagefactory.sandbox.ready import ask_nodes, registry_answers
from imagefactory.sandbox.settings import SandboxSettings, sandbox_settings
from imagefactory.sandbox.sites import containers
from imagefactory.sandbox.state import Sandbox, SandboxSite, load_sandbox

UP, DOWN, HALF = "up", "down", "half up"


@dataclass(frozen=True)
class SiteStatus:
    """A site as it answers now; `nodes` maps compute nodes to Slurm's state words."""

    name: str
    answers: bool
    nodes: dict[str, str]
    slurm: str
    pmix: str
    apptainer: str
    ssh_port: int


@dataclass(frozen=True)
class SandboxStatus:
    """`state` is up, half up or down; `missing` names the containers that do not run."""

    state: str
    engine: str | None
    registry: str
    registry_answers: bool
    sites: tuple[SiteStatus, ...]
    images: tuple[str, ...]
    missing: tuple[str, ...]

    def lines(self) -> list[str]:
        """The status for people."""
        answer = "answers" if self.registry_answers else "does not answer"
        lines = [
            f"sandbox: {self.state}",
            f"engine: {self.engine or 'no Docker engine answers'}",
            f"registry: {self.registry}, {answer}",
        ]
        for site in self.sites:
            nodes = ", ".join(f"{name} {state}" for name, state in site.nodes.items())
            versions = f"Slurm {site.slurm}, PMIx {site.pmix}, Apptainer {site.apptainer}"
            lines.append(f"{site.name}: {nodes or 'does not answer'}; {versions}")
        lines += [f"image: {tag}" for tag in self.images]
        return lines + [f"not running: {name}" for name in self.missing]


def status(report: Report) -> SandboxStatus:
    """Ask engine, registry and sites; never raises because something is down."""
    settings = sandbox_settings()
    engine = find_engine(settings, report)
    held = engine.held(settings.prefix) if engine else []
    sandbox = load_sandbox()
    missing = missing_containers(settings, held)
    sites = (
        tuple(_ask(settings, site, report) for site in sandbox.sites) if sandbox and held else ()
    )
    answers = bool(held) and registry_answers(settings)
    return SandboxStatus(
        state=judge(sandbox, held, missing, sites, answers),
        engine=engine.address if engine else None,
        registry=settings.registry,
        registry_answers=answers,
        sites=sites,
        images=tuple(engine.images()) if engine else (),
        missing=missing if held else (),
    )


def missing_containers(settings: SandboxSettings, held: list[Held]) -> tuple[str, ...]:
    """The containers of a whole sandbox that do not run."""
    running = {item.name for item in held if item.running}
    return tuple(item.name for item in containers(settings, ()) if item.name not in running)


def judge(
    sandbox: Sandbox | None,
    held: list[Held],
    missing: tuple[str, ...],
    sites: tuple[SiteStatus, ...],
    registry: bool,
) -> str:
    """Up only if all of it answers; down only if nothing is left."""
    if sandbox is None and not held:
        return DOWN
    whole = sandbox is not None and not missing and registry
    return UP if whole and all(site.answers for site in sites) else HALF


def _ask(settings: SandboxSettings, site: SandboxSite, report: Report) -> SiteStatus:
    nodes, reason = ask_nodes(settings, site.name, site.port, report)
    return SiteStatus(
        name=site.name,
        answers=not reason,
        nodes=nodes,
        slurm=site.slurm,
        pmix=site.pmix,
        apptainer=site.apptainer,
        ssh_port=site.port,
    )
