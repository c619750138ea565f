"""imagefactory compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagefactory.base.errors import UsageFault
from imagefactory.cli.session import Session, verb

if TYPE_CHECKING:
    from imagefactory.run import RunRecord

FILE = click.Path(path_type=Path)


def _read_side(text: str) -> list[RunRecord]:
    from imagefactory.run import read_record

    return [read_record(run) for run in text.split(",") if run]


@click.command()
@click.argument("sides", nargs=-1, required=True, metavar="SIDE SIDE...")
@click.option("--report", "page", type=FILE, help="Write an HTML report.")
@click.option("--figure", "drawing", type=FILE, help="Write a figure for a paper (SVG).")
@click.option("--verdict", "sheet", type=FILE, help="Write the verdict as a JSON document.")
@click.option("--margins", "margins_file", type=FILE, help="Margins of equivalence of your own.")
@click.option("--calibrate", is_flag=True, help="Resample the runs: how often would it err?")
@verb()
def compare(
    session: Session,
    sides: tuple[str, ...],
    page: Path | None,
    drawing: Path | None,
    sheet: Path | None,
    margins_file: Path | None,
    calibrate: bool,
) -> None:
    """Say whether sides computed the same: a run each, or several that differ by their seed.

    A SIDE is a run (id or folder), or several joined by commas. More than two sides are compared
    with one another.

    Exit status: 0 IDENTICAL or EQUIVALENT, 3 DIFFERENT, 9 INVALID or INCONCLUSIVE; of several
    comparisons the highest of these, 3 first.

    \b
    Example: imagefactory compare RUN,RUN,RUN RUN,RUN,RUN --report report.html
    """
    from imagefactory import equivalence
    from imagefactory.base.files import write_json

    if len(sides) < 2:
        raise UsageFault(
            "there is one side only", where=sides[0], fix="give two: imagefactory runs"
        )
    margins = equivalence.load_margins(margins_file)
    comparisons = equivalence.compare_all([_read_side(side) for side in sides], margins)
    if calibrate:
        with session.report.step("resample the runs"):
            comparisons = [
                equivalence.with_calibration(each, session.report) for each in comparisons
            ]
    found = [equivalence.document(comparison) for comparison in comparisons]
    result = found[0] if len(found) == 1 else {"schema": 1, "comparisons": found}
    if page is not None:
        equivalence.write_report(comparisons, page)
        session.report.note(f"report: {page}")
    if drawing is not None:
        equivalence.write_figure(comparisons[0], drawing)
        session.report.note(f"figure: {drawing}")
    if sheet is not None:
        write_json(sheet, result)
        session.report.note(f"verdict: {sheet}")
    session.show(result, "\n\n".join(equivalence.explain(each) for each in comparisons))
    codes = {comparison.exit_code for comparison in comparisons}
    sys.exit(next(code for code in (3, 9, 0) if code in codes))
