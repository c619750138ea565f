"""imagefactory model: backends, check."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from imagefactory.base.errors import UsageFault
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
