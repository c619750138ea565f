"""imagefactory sandbox up, status, token, approve, fault, down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imagefactory.base.errors import UsageFault, nearest
from imagefactory.cli.session import Session, verb

if TYPE_CHECKING:
    from imagefactory.sandbox import PlannedFault


@click.group()
def sandbox() -> None:
    """Two real Slurm sites, a registry and a UNICORE double on this machine.

    \b
    Example: imagefactory sandbox up
    """


@sandbox.command()
@verb(dry_run=True)
def up(session: Session) -> None:
    """Bring sites, registry and UNICORE double up (<= 60 s once the images are built).

    \b
    Example: imagefactory sandbox up --dry-run
    """
    from imagefactory import sandbox as room

    if session.dry_run:
        session.show_plan(room.plan_up(session.report))
        return
    found = room.up(session.report)
    lines = [f"registry oras://{found.registry}/"]
    lines += [f"site {site.name}: Slurm {site.slurm}, PMIx {site.pmix}" for site in found.sites]
    double = room.require_unicore()
    lines.append(f"UNICORE double (no UNICORE/X) {double.registry}")
    lines.append("NMPI double (no SpiNNaker): run --backend spinnaker --site nmpi-double")
    session.show(found, "\n".join(lines))


@sandbox.command()
@click.option("--user", default="scientist", show_default=True, help="Whose token it is.")
@click.option("--lifetime", type=int, metavar="SECONDS", help="How long it is valid.")
@verb()
def token(session: Session, user: str, lifetime: int | None) -> None:
    """Print a bearer token for the UNICORE double, from its loopback issuer.

    It opens nothing but the sandbox. A user other than scientist and colleague is one without a
    login; a lifetime below zero gives a token that has expired.

    \b
    Example: imagefactory sandbox token --lifetime 600
    """
    from imagefactory import sandbox as room

    issued = room.issue_token(room.require_unicore(), user, lifetime).reveal()
    session.show({"token": issued}, issued)


@sandbox.command()
@click.argument("code")
@click.option("--deny", is_flag=True, help="Say no instead.")
@verb()
def approve(session: Session, code: str, deny: bool) -> None:
    """Approve the CODE that a device flow with the loopback issuer shows.

    \b
    Example: imagefactory sandbox approve BCDF-GHJK
    """
    from imagefactory import sandbox as room

    room.decide_device(room.require_unicore(), code, deny)
    session.show({"code": code, "approved": not deny}, "denied" if deny else "approved")


@sandbox.command()
@click.argument("kind", required=False)
@click.option("--on", default="", help="Regular expression: METHOD PATH, or a job's name.")
@click.option("--skip", default=0, show_default=True, help="Let so many pass first.")
@click.option("--times", default=1, show_default=True, help="Hit so many; 0: all.")
@click.option("--chance", default=1.0, show_default=True, help="Probability of each hit.")
@click.option("--seed", default=0, show_default=True, help="What chances are drawn from.")
@click.option("--seconds", default=1.0, show_default=True, help="For slow: how long it waits.")
@click.option("--clear", is_flag=True, help="End all faults.")
@verb()
def fault(session: Session, kind: str | None, clear: bool, seed: int, **given: Any) -> None:
    """Make the UNICORE double fail in one way; without KIND say what is planned and was fired.

    It replaces the faults that were planned before.

    \b
    Example: imagefactory sandbox fault unavailable --on 'GET .*/jobs/' --times 3
    """
    from imagefactory import sandbox as room

    double = room.require_unicore()
    if kind is not None or clear:
        planned = [] if kind is None else [_planned(kind, given)]
        found = room.plan_faults(double, planned, seed)
    else:
        found = room.show_faults(double)
    lines = [f"planned: {item['kind']} on {item['on'] or 'all'}" for item in found["faults"]]
    lines += [f"fired: {name} {count}" for name, count in found["fired"].items()]
    session.show(found, "\n".join(lines) or "no faults")


def _planned(kind: str, given: dict[str, Any]) -> PlannedFault:
    from imagefactory import sandbox as room

    kinds = [known.value for known in room.FaultKind]
    if kind not in kinds:
        raise UsageFault(f"unknown fault {kind!r}", where="KIND", fix=nearest(kind, kinds))
    times = given.pop("times") or None
    return room.PlannedFault(room.FaultKind(kind), times=times, **given)


@sandbox.command()
@verb()
def status(session: Session) -> None:
    """Say what is up: nodes, versions, the registry, the UNICORE double.

    \b
    Example: imagefactory sandbox status --json
    """
    from imagefactory import sandbox as room

    found = room.status(session.report)
    session.show(found, "\n".join(found.lines()))


@sandbox.command()
@verb(dry_run=True)
def down(session: Session) -> None:
    """Remove containers, networks, volumes, double and site records; cached images stay.

    \b
    Example: imagefactory sandbox down
    """
    from imagefactory import sandbox as room

    if session.dry_run:
        session.show_plan(room.plan_down(session.report))
        return
    session.show(room.down(session.report), "the sandbox is down")
