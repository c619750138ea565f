"""imagefactory doctor."""

from __future__ import annotations

import sys

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.argument("log")
@click.option(
    "--fabric/--no-fabric", default=None,
    help="Whether the nodes have a fast network (default: what is known of the run's site).",
)  # fmt: skip
@verb()
def doctor(session: Session, log: str, fabric: bool | None) -> None:
    """Say what LOG (a file, or the id of a run) tells of MPI, PMIx, UCX and Apptainer.

    Each finding has its row of the table of symptoms, the lines that show it, and one fix. The log
    may be of any program and any size. Exit status 3 where a finding says that the run is not what
    was asked for.

    \b
    Example: imagefactory doctor slurm-1234.out
    """
    from imagefactory.run import diagnose_any

    found = diagnose_any(log, fabric)
    session.show(found, "\n".join(found.lines()))
    sys.exit(3 if found.verdict == "FAIL" else 0)
