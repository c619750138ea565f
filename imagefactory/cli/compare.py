"""imagefactory compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from imagefactory.base.errors import UsageFault
from imagefactory.cli.run import overrides_of
from imagefactory.cli.session import Session, verb

if TYPE_CHECKING:
    from imagefactory.run import RunRecord

FILE = click.Path(path_type=Path)


def _read_side(text: str) -> list[RunRecord]:
    from imagefactory.run import read_record

    return [read_record(run) for run in text.split(",") if run]


def _read_sides(sides: tuple[str, ...]) -> list[list[RunRecord]]:
    if len(sides) < 2:
        raise UsageFault(
            "there is one side only", where=sides[0],
            fix="give two (imagefactory runs), or an image with --sites SITE SITE",
        )  # fmt: skip
    return [_read_side(side) for side in sides]


def _sides_of_sites(
    session: Session, sides: tuple[str, ...], sites: tuple[str, str], wanted: dict[str, Any]
) -> list[list[RunRecord]]:
    from imagefactory import equivalence

    if len(sides) != 1:
        raise UsageFault("--sites takes one image", where=" ".join(sides), fix="give its reference")
    overrides = overrides_of(None, wanted["pairs"])
    if wanted["frozen"]:
        overrides |= {"frozen": "true"}
    plan = equivalence.plan_sites(
        sides[0], sites, wanted["model"], seeds=wanted["seeds"], report=session.report,
        ranks=wanted["ranks"], threads=wanted["threads"], overrides=overrides,
    )  # fmt: skip
    if session.dry_run:
        session.show_plan(plan)
        return []
    for side in plan.sides:
        session.report.note(side.line())
    return equivalence.run_missing(plan, session.report)


@click.command()
@click.argument("sides", nargs=-1, required=True, metavar="SIDE SIDE...")
@click.option("--report", "page", type=FILE, help="Write an HTML report.")
@click.option("--figure", "drawing", type=FILE, help="Write a figure for a paper (SVG).")
@click.option("--verdict", "sheet", type=FILE, help="Write the verdict as a JSON document.")
@click.option("--margins", "margins_file", type=FILE, help="Margins of equivalence of your own.")
@click.option("--calibrate", is_flag=True, help="Resample the runs: how often would it err?")
@click.option(
    "--sites",
    nargs=2,
    metavar="SITE SITE",
    help="Compare two sites: SIDE is an image then; runs that are not there are run.",
)
@click.option("--seeds", type=click.IntRange(1), default=10, show_default=True, metavar="N",
              help="With --sites: runs of each site.")  # fmt: skip
@click.option("--model", default="balanced-random", show_default=True, help="With --sites.")
@click.option("--ranks", default=2, show_default=True, help="With --sites.")
@click.option("--threads", default=1, show_default=True, help="With --sites.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="With --sites.")
@click.option("--frozen", is_flag=True, help="With --sites: one network for all runs.")
@verb(dry_run=True)
def compare(
    session: Session,
    sides: tuple[str, ...],
    page: Path | None,
    drawing: Path | None,
    sheet: Path | None,
    margins_file: Path | None,
    calibrate: bool,
    sites: tuple[str, str] | None,
    **wanted: Any,
) -> None:
    """Say whether sides computed the same: a run each, or several that differ by their seed.

    A SIDE is a run (id or folder), or several joined by commas. More than two sides are compared
    with one another. With --sites it is an image, and each site is a side: the plan is told, what
    is missing is run, then it is compared.

    Exit status: 0 IDENTICAL or EQUIVALENT, 3 DIFFERENT, 9 INVALID or INCONCLUSIVE; of several
    comparisons the highest of these, 3 first.

    \b
    Example: imagefactory compare RUN,RUN,RUN RUN,RUN,RUN --report report.html
    Example: imagefactory compare oras://HOST/PROJECT/NAME:TAG --sites bookworm trixie --seeds 10
    """
    from imagefactory import equivalence
    from imagefactory.base.files import write_json

    margins = equivalence.load_margins(margins_file)
    found_sides = _sides_of_sites(session, sides, sites, wanted) if sites else _read_sides(sides)
    if session.dry_run:
        return
    comparisons = equivalence.compare_all(found_sides, margins)
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
