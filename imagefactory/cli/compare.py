"""imagefactory compare."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--report", "page", type=click.Path(path_type=Path), help="Write an HTML report.")
@verb()
def compare(session: Session, first: str, second: str, page: Path | None) -> None:
    """Say whether the runs FIRST and SECOND (ids or folders) computed the same spikes.

    Exit status: 0 IDENTICAL, 3 DIFFERENT, 9 INVALID.

    \b
    Example: imagefactory compare RUN RUN --report report.html
    """
    from imagefactory import equivalence
    from imagefactory.run import read_record

    comparison = equivalence.compare(read_record(first), read_record(second))
    if page is not None:
        equivalence.write_report([comparison], page)
        session.report.note(f"report: {page}")
    session.show(comparison.document(), equivalence.explain(comparison))
    sys.exit(comparison.exit_code)
