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
from imagefactory.sandbox.unicore.background import load_unicore, unicore_answers

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
    """`state` is up, half up or down; `missing` names the containers that do not run.

    `unicore` is the address of the registry of the UNICORE double, which is no UNICORE/X.
    """

    state: str
    engine: str | None
    registry: str
    registry_answers: bool
    unicore: str | None
    unicore_answers: bool
    sites: tuple[SiteStatus, ...]
    images: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def _unicore_line(self) -> str:
        if self.unicore is None:
            return "does not run"
        return f"{self.unicore}, {'answers' if self.unicore_answers else 'does not answer'}"

    def lines(self) -> list[str]:
        """The status for people."""
        answer = "answers" if self.registry_answers else "does not answer"
        lines = [
            f"sandbox: {self.state}",
            f"engine: {self.engine or 'no Docker engine answers'}",
            f"registry: {self.registry}, {answer}",
            f"UNICORE double (no UNICORE/X): {self._unicore_line}",
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
    unicore = load_unicore()
    double_answers = unicore is not None and unicore_answers(unicore)
    return SandboxStatus(
        state=judge(sandbox, held, missing, sites, answers and double_answers),
        engine=engine.address if engine else None,
        registry=settings.registry,
        registry_answers=answers,
        unicore=unicore.registry if unicore else None,
        unicore_answers=double_answers,
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
    services: bool,
) -> str:
    """Up only if all of it answers (`services`: registry and double); down if nothing is left."""
    if sandbox is None and not held:
        return DOWN
    whole = sandbox is not None and not missing and services
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
