"""imagefactory push, imagefactory pull."""

from __future__ import annotations

from pathlib import Path

import click

from imagefactory.base.report import size
from imagefactory.base.values import ImageRef
from imagefactory.cli.session import SIF, Session, verb


@click.command()
@SIF
@click.argument("reference")
@verb(dry_run=True)
def push(session: Session, sif: Path, reference: str) -> None:
    """Push SIF to REFERENCE (oras://HOST/PROJECT/NAME:TAG) and print its digest.

    \b
    Example: imagefactory push nest.sif oras://127.0.0.1:5000/demo/nest:3.10
    """
    from imagefactory import launch, registry

    ref = ImageRef.parse(reference)
    if session.dry_run:
        session.show_plan(registry.plan_push(sif, ref, session.report))
        return
    artifact = launch.push_with_facts(sif, ref, session.report)
    session.show(artifact, f"{artifact.reference}\n{size(artifact.size)}, SIF {artifact.layer}")


@click.command()
@click.argument("reference")
@click.argument("to", type=click.Path(path_type=Path))
@verb(dry_run=True)
def pull(session: Session, reference: str, to: Path) -> None:
    """Pull REFERENCE into the file TO; it is there whole and checked, or not at all.

    \b
    Example: imagefactory pull oras://127.0.0.1:5000/demo/nest:3.10 nest.sif
    """
    from imagefactory import registry

    ref = ImageRef.parse(reference)
    if session.dry_run:
        session.show_plan(registry.plan_pull(ref, to, session.report))
        return
    artifact = registry.pull(ref, to, session.report)
    session.show(artifact, f"{to}\n{size(artifact.size)}, SIF {artifact.layer}")
