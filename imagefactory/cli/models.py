"""imagefactory models."""

from __future__ import annotations

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.argument("name", required=False)
@verb()
def models(session: Session, name: str | None) -> None:
    """List the networks that can be run, or the parameters of one.

    \b
    Example: imagefactory models balanced-random
    """
    from imagefactory.model import find_model, list_models

    if name is None:
        found = list_models()
        session.show(found, "\n".join(f"{model.name:20} {model.description}" for model in found))
        return
    model = find_model(name)
    lines = [model.description, ""]
    lines += [f"{p.name:20} {p.default!s:12} {p.range:28} {p.meaning}" for p in model.parameters]
    session.show(model, "\n".join(lines))
