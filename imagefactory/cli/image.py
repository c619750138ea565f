"""imagefactory image define, plan, build, test, inspect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagefactory.base.files import write_text
from imagefactory.base.report import size
from imagefactory.cli.session import RECIPE, SIF, Session, plain, verb

if TYPE_CHECKING:
    from imagefactory.image import ImagePlan


@click.group()
def image() -> None:
    """Define, build, test and inspect images.

    \b
    Example: imagefactory image build recipes/nest --output nest.sif
    """


@image.command()
@RECIPE
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write it to this file.")
@verb(dry_run=True)
def define(session: Session, recipe: Path, output: Path | None) -> None:
    """Show the Apptainer definition that RECIPE makes, through HPCCM.

    \b
    Example: imagefactory image define recipes/nest
    """
    from imagefactory import recipe as room

    definition = room.define(room.load_recipe(recipe))
    if output is not None and not session.dry_run:
        write_text(output, definition.text)
        session.report.note(f"definition: {output}")
        return
    document = {"definition": definition.text, "digest": definition.digest}
    session.show(document, definition.text.rstrip())


@image.command()
@RECIPE
@click.option("--push", "reference", metavar="REF", help="Also what a push to REF would do.")
@verb()
def plan(session: Session, recipe: Path, reference: str | None) -> None:
    """Say what RECIPE needs: what is built and what is there already, with time and disk.

    Exit status: 5 if the lock of its release has drifted, 6 if the disk is too small.

    \b
    Example: imagefactory image plan recipes/nest --push oras://127.0.0.1:5000/demo/nest:3.10
    """
    from imagefactory import image as room
    from imagefactory.recipe import load_recipe

    found = room.plan_image(load_recipe(recipe), session.report)
    lines = [*found.lines(), *_push_lines(found, reference, session)]
    session.show(
        {"plan": lines, "seconds": found.seconds, "packages": plain(found.packages)},
        "\n".join(lines),
    )
    found.require_room()


def _push_lines(found: ImagePlan, reference: str | None, session: Session) -> list[str]:
    if reference is None:
        return []
    from imagefactory.base.values import ImageRef
    from imagefactory.registry import plan_push

    target = ImageRef.parse(reference)
    if found.build.current is None:
        return [f"then push it to {target}"]
    return plan_push(found.build.current.sif, target, session.report).lines()


@image.command()
@RECIPE
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Copy the SIF to this file.")
@click.option("--verify", is_flag=True, help="Build again from nothing; the bytes must be equal.")
@verb(dry_run=True)
def build(session: Session, recipe: Path, output: Path | None, verify: bool) -> None:
    """Build the image of RECIPE as one SIF, the same bytes every time.

    \b
    Example: imagefactory image build recipes/nest --output nest.sif
    """
    from imagefactory import image as room
    from imagefactory.recipe import load_recipe

    plan = room.plan_build(load_recipe(recipe), session.report)
    if session.dry_run:
        session.show_plan(plan)
        return
    if verify:
        room.rebuild(plan, session.report)
        session.report.note("built twice: the same bytes")
        plan = room.plan_build(load_recipe(recipe), session.report)
    record = room.build(plan, session.report, output)
    session.show(record, f"{record.sif}\n{size(record.size)}, {record.digest}")


@image.command()
@SIF
@RECIPE
@verb()
def test(session: Session, sif: Path, recipe: Path) -> None:
    """Run the tests of RECIPE inside SIF.

    \b
    Example: imagefactory image test nest.sif recipes/nest
    """
    from imagefactory import image as room
    from imagefactory.recipe import load_recipe

    loaded = load_recipe(recipe)
    apptainer = room.Apptainer.find(session.report)
    found = room.test_image(sif, loaded, apptainer, session.report)
    session.show(found, "\n".join(found.lines()))


@image.command()
@SIF
@click.option(
    "--files",
    "from_files",
    is_flag=True,
    help="Read its files only and run nothing: for foreign images and other processors, too.",
)
@verb()
def inspect(session: Session, sif: Path, from_files: bool) -> None:
    """Say which MPI, PMIx, glibc and CPU target SIF holds.

    \b
    Example: imagefactory image inspect nest.sif
    Example: imagefactory image inspect --files foreign.sif
    """
    from imagefactory import image as room

    if from_files:
        from imagefactory.launch import read_sif

        side = read_sif(sif, session.report)
        session.show(side, "\n".join(side.lines()))
        return
    found = room.inspect(sif, room.Apptainer.find(session.report))
    session.show(found, "\n".join(found.lines()))
