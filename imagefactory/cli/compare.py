"""imagefactory compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from imagefactory.base.errors import Fault, UsageFault
from imagefactory.cli.run import frozen_option, model_options, overrides_of
from imagefactory.cli.session import Session, verb

if TYPE_CHECKING:
    from imagefactory.equivalence import Comparison
    from imagefactory.run import RunRecord

FILE = click.Path(path_type=Path)


# Which runs of a site are meant; without --sites they mean nothing.
OF_SITES = {
    "image", "seeds", "model", "backend", "ranks", "threads", "nodes", "seed", "pairs", "frozen",
}  # fmt: skip


@click.command()
@click.argument("sides", nargs=-1, required=True, metavar="SIDE SIDE...")
@click.option("--sites", "are_sites", is_flag=True, help="The sides are sites.")
@click.option("--image", metavar="REF", help="With --sites: the image that is compared.")
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="With --sites: runs a site, which differ by their seed.",
)
@model_options
@frozen_option
@click.option("--report", "page", type=FILE, help="Write an HTML report.")
@click.option("--figure", "drawing", type=FILE, help="Write a figure for a paper (SVG).")
@click.option("--verdict", "sheet", type=FILE, help="Write the verdict as a JSON document.")
@click.option("--margins", "margins_file", type=FILE, help="Margins of equivalence of your own.")
@click.option("--calibrate", is_flag=True, help="Resample the runs: how often would it err?")
@verb(dry_run=True)
def compare(
    session: Session,
    sides: tuple[str, ...],
    are_sites: bool,
    page: Path | None,
    drawing: Path | None,
    sheet: Path | None,
    margins_file: Path | None,
    calibrate: bool,
    **meant: Any,
) -> None:
    """Say whether sides computed the same: a run each, or several that differ by their seed.

    A SIDE is a run (id or folder), or several joined by commas; with --sites it is a site, whose
    runs of --image are taken where they are there and made where they are not (the plan is shown
    first; --dry-run shows it alone). More than two sides are compared with one another.

    Exit status: 0 IDENTICAL or EQUIVALENT, 3 DIFFERENT, 9 INVALID or INCONCLUSIVE; of several
    comparisons the highest of these, 3 first.

    \b
    Example: imagefactory compare RUN,RUN,RUN RUN,RUN,RUN --report report.html
    Example: imagefactory compare --sites bookworm trixie --image oras://... --seeds 10 --frozen
    """
    from imagefactory import equivalence

    if len(sides) < 2:
        raise UsageFault(
            "there is one side only", where=sides[0],
            fix="give two: imagefactory sites" if are_sites else "give two: imagefactory runs",
        )  # fmt: skip
    margins = equivalence.load_margins(margins_file) if margins_file else None
    runs = _at_sites(session, sides, **meant) if are_sites else _given(session, sides)
    if runs is None:
        return
    comparisons = equivalence.compare_all(runs, margins)
    if calibrate:
        with session.report.step("resample the runs"):
            comparisons = [
                equivalence.with_calibration(each, session.report) for each in comparisons
            ]
    _write(session, comparisons, page, drawing, sheet)
    codes = {comparison.exit_code for comparison in comparisons}
    sys.exit(next(code for code in (3, 9, 0) if code in codes))


def _given(session: Session, sides: tuple[str, ...]) -> list[list[RunRecord]] | None:
    """The runs of each side; None after --dry-run."""
    from imagefactory.run import read_record

    context = click.get_current_context()
    named = {option.name: option.opts[0] for option in context.command.params}
    useless = [
        Fault(f"{named[name]} says nothing about runs that are there already", fix="--sites")
        for name in sorted(OF_SITES)
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if useless:
        raise UsageFault.from_faults(useless)
    found = [[read_record(run) for run in side.split(",") if run] for side in sides]
    if session.dry_run:
        lines = [f"compare {len(side)} runs: {', '.join(r.id for r in side)}" for side in found]
        session.show({"plan": lines}, "\n".join(lines))
        return None
    return found


def _at_sites(
    session: Session, sides: tuple[str, ...], *, image: str | None, seeds: int, model: str,
    backend: str, ranks: int, threads: int, nodes: int | None, seed: int | None,
    pairs: tuple[str, ...], frozen: bool,
) -> list[list[RunRecord]] | None:  # fmt: skip
    """The runs of each site, made where they are missing; None after --dry-run."""
    from imagefactory import run as room

    if image is None:
        raise UsageFault("which image is to be compared?", fix="--image oras://...")
    plan = room.plan_at_sites(
        image, sides, model, seeds=seeds, report=session.report, ranks=ranks, threads=threads,
        nodes=nodes, overrides=overrides_of(seed, pairs, frozen=frozen), backend=backend,
    )  # fmt: skip
    if session.dry_run:
        session.show_plan(plan)
        return None
    for line in plan.lines():
        session.report.note(line)
    return room.execute_at_sites(plan, session.report)


def _write(
    session: Session,
    comparisons: list[Comparison],
    page: Path | None,
    drawing: Path | None,
    sheet: Path | None,
) -> None:
    from imagefactory import equivalence
    from imagefactory.base.files import write_json

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
