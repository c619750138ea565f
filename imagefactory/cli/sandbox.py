"""imagefactory sandbox up, status, down."""

from __future__ import annotations

import click

from imagefactory.cli.session import Session, verb


@click.group()
def sandbox() -> None:
    """Two real Slurm sites and a registry, in containers on this machine.

    \b
    Example: imagefactory sandbox up
    """


@sandbox.command()
@verb(dry_run=True)
def up(session: Session) -> None:
    """Bring both sites and the registry up (<= 60 s once their images are built).

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
    session.show(found, "\n".join(lines))


@sandbox.command()
@verb()
def status(session: Session) -> None:
    """Say what is up: nodes, versions, the registry.

    \b
    Example: imagefactory sandbox status --json
    """
    from imagefactory import sandbox as room

    found = room.status(session.report)
    session.show(found, "\n".join(found.lines()))


@sandbox.command()
@verb(dry_run=True)
def down(session: Session) -> None:
    """Remove containers, networks, volumes and site records; cached images stay.

    \b
    Example: imagefactory sandbox down
    """
    from imagefactory import sandbox as room

    if session.dry_run:
        session.show_plan(room.plan_down(session.report))
        return
    session.show(room.down(session.report), "the sandbox is down")
