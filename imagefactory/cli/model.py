"""imagefactory model: backends, check, map, build."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imagefactory.base.errors import UsageFault
from imagefactory.base.report import clock
from imagefactory.cli.run import overrides_of
from imagefactory.cli.session import Session, verb


@click.group()
def model() -> None:
    """What a model needs before it can run.

    \b
    Example: imagefactory model check balanced-random --backend spinnaker
    """


@model.command()
@verb()
def backends(session: Session) -> None:
    """Show what each backend computes with, and how: table 1 of the paper, with sources.

    \b
    Example: imagefactory model backends
    """
    from imagefactory.model import list_backends, tabulate_backends

    session.show(list_backends(), "\n".join(tabulate_backends()))


@model.command()
@click.argument("name", metavar="MODEL")
@click.option("--backend", required=True, help="A backend of `imagefactory model backends`.")
@click.option(
    "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Set a parameter of the model."
)
@click.option("--frozen", is_flag=True, help="Short for --set frozen=true.")
@verb()
def check(
    session: Session,
    name: str,
    backend: str,
    pairs: tuple[str, ...],
    frozen: bool,
) -> None:
    """Say before any job what of MODEL cannot run on a backend, or is approximated there.

    MODEL is one of `imagefactory models`, or a PyNN script, whose text is read and never run. Exit
    status 3 if it cannot run, 9 if nobody knows.

    \b
    Example: imagefactory model check balanced-random --backend spinnaker --set dt_ms=1
    """
    from imagefactory import model as room

    known = room.find_backend(backend)
    given = overrides_of(None, pairs, frozen=frozen)
    if name.endswith(".py") or "/" in name:
        if given:
            raise UsageFault("a script has no parameters of ours", fix="leave --set away")
        needs = room.read_script(Path(name))
    else:
        found = room.find_model(name)
        needs = room.needs_of(found, room.resolve_parameters(found, given))
    result = room.check_capability(name, needs, known)
    session.show({"answer": result.answer, **vars(result)}, "\n".join(result.lines()))
    sys.exit({room.Answer.CANNOT: 3, room.Answer.UNKNOWN: 9}.get(result.answer, 0))


@model.command("map")
@click.argument("name", metavar="MODEL")
@click.option(
    "--image", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A SIF with sPyNNaker: imagefactory image build recipes/spynnaker.",
)  # fmt: skip
@click.option(
    "--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Set a parameter of the model."
)
@click.option("--frozen", is_flag=True, help="Short for --set frozen=true.")
@verb()
def map_(session: Session, name: str, image: Path, pairs: tuple[str, ...], frozen: bool) -> None:
    """Map MODEL on sPyNNaker's virtual board: cores, memory, routing, whether one board will do.

    Nothing is simulated. Exit status 3 if it cannot be mapped.

    \b
    Example: imagefactory model map few-cells --image build/spynnaker.sif --set dt_ms=1
    """
    from imagefactory import model as room
    from imagefactory.image import require_sif

    found = room.find_model(name)
    parameters = room.resolve_parameters(found, overrides_of(None, pairs, frozen=frozen))
    mapping = room.map_model(found, parameters, require_sif(image), session.report)
    session.show({"fits_one_board": mapping.fits, **vars(mapping)}, "\n".join(mapping.lines()))


@model.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--target", type=click.Choice(["nest", "spinnaker"]), default="nest", show_default=True,
    help="What code is generated for.",
)  # fmt: skip
@click.option(
    "--image", required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The SIF whose NEST a module is compiled against; the tools stand on it.",
)  # fmt: skip
@click.option("--nestml", metavar="VERSION", help="Of NESTML (default: the pair that is shipped).")
@click.option("--odetoolbox", metavar="VERSION", help="Of ODE-toolbox (default: the same).")
@verb(dry_run=True)
def build(
    session: Session,
    file: Path,
    target: str,
    image: Path,
    nestml: str | None,
    odetoolbox: str | None,
) -> None:
    """Make a module for NEST, or code for SpiNNaker, from a neuron written in NESTML.

    The folder of the module is the first line of the output, for `imagefactory run --module`.

    \b
    Example: imagefactory model build examples/adaptive.nestml --image build/nest.sif
    """
    from imagefactory import nestml as room
    from imagefactory.base.files import digest_of
    from imagefactory.image import require_sif

    sif = require_sif(image)
    plan = room.plan_module(
        file, room.Target(target), digest_of(sif), session.report,
        nestml=nestml, odetoolbox=odetoolbox,
    )  # fmt: skip
    if session.dry_run:
        session.show_plan(plan)
        return
    made = room.build_module(plan, lambda: sif, session.report)
    session.show(made, "\n".join(_lines(made)))


def _lines(made: object) -> list[str]:
    from imagefactory.nestml import Module

    assert isinstance(made, Module)  # noqa: S101 - the room gives nothing else
    versions = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    what = (
        f"{made.file}: {made.sha256}"
        if made.compiled
        else f"{len(made.generated)} files of code; generated only, nothing was compiled or run"
    )
    return [
        str(made.folder),
        f"{', '.join(made.models)} for {made.target}, for the image {made.image}",
        what,
        versions,
        f"made in {clock(made.seconds)}",
    ]
