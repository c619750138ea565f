"""imagefactory controls."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imagefactory.cli.session import SIF, Session, verb

FILE = click.Path(path_type=Path)


@click.command()
@SIF
@click.option("--only", "words", multiple=True, help="Controls whose name or group has this word.")
@click.option("--neuron", type=FILE, help="A SIF with NEURON (recipes/pynn), for its controls.")
@click.option("--page", type=FILE, help="Write the table as a page of Markdown.")
@click.option("--margins", "margins_file", type=FILE, help="Margins of equivalence of your own.")
@verb(dry_run=True)
def controls(
    session: Session,
    sif: Path,
    words: tuple[str, ...],
    neuron: Path | None,
    page: Path | None,
    margins_file: Path | None,
) -> None:
    """How often does `compare` err? Tried on real runs of SIF of which the truth is known.

    Runs are made on this machine once (half an hour with two cores) and kept in the cache.
    Exit status 3 if an error rate is not as it should be.

    \b
    Example: imagefactory controls build/nest.sif --only pairs
    """
    from imagefactory import equivalence
    from imagefactory.base.files import write_text

    plan = equivalence.plan_controls(sif, words, margins_file, neuron)
    if session.dry_run:
        session.show_plan(plan)
        return
    with session.report.step("try the controls"):
        found = equivalence.try_controls(plan, session.report)
    if page is not None:
        write_text(page, found.page)
        session.report.note(f"page: {page}")
    session.show(found.document, found.text)
    sys.exit(3 if found.failings else 0)
