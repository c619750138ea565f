"""imagefactory setup."""

from __future__ import annotations

import click

from imagefactory.cli.session import Session, verb


@click.command()
@click.option("--tests", is_flag=True, help="What our tests need besides: a browser, curl.")
@verb(dry_run=True)
def setup(session: Session, tests: bool) -> None:
    """Install what is missing to build images and to run the sandbox; says so first.

    \b
    Example: imagefactory setup --dry-run
    """
    from imagefactory.sandbox import plan_setup, set_up

    plan = plan_setup(session.report, tests=tests)
    if session.dry_run:
        session.show_plan(plan)
        return
    for line in plan.lines():
        session.report.note(line)
    set_up(plan, session.report)
    session.show(plan, "this machine is ready")
