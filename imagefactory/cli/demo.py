"""imagefactory demo."""

from __future__ import annotations

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.option("--keep-sandbox", is_flag=True, help="Leave the sandbox up afterwards.")
@verb(dry_run=True)
def demo(session: Session, keep_sandbox: bool) -> None:
    """Carry one image from recipe to cross-site verdict; run it in a checkout.

    \b
    Example: imagefactory demo
    """
    from imagefactory import sandbox

    if session.dry_run:
        lines = sandbox.plan_demo()
        session.show({"plan": lines}, "\n".join(lines))
        return
    found = sandbox.demo(session.report, keep=keep_sandbox)
    session.show(found, "\n".join(found.lines()))
