"""imagefactory setup."""

from __future__ import annotations

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.option("--browser", is_flag=True, help="A browser too, in which tests look at reports.")
@verb(dry_run=True)
def setup(session: Session, browser: bool) -> None:
    """Install what is missing to build images and to run the sandbox; says so first.

    \b
    Example: imagefactory setup --dry-run
    """
    from imagefactory.sandbox import plan_setup, set_up

    plan = plan_setup(session.report, browser=browser)
    if session.dry_run:
        session.show_plan(plan)
        return
    for line in plan.lines():
        session.report.note(line)
    set_up(plan, session.report)
    session.show(plan, "this machine is ready")
