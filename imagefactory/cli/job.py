"""imagefactory job show, imagefactory job write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from imagefactory.base.errors import UsageFault
from imagefactory.cli.run import overrides_of, run_options
from imagefactory.cli.session import Session, verb

_LISTINGS = ("1-batch", "1-login", "3")


@click.group()
def job() -> None:
    """A run as a UNICORE job description: to read, to keep, to submit by any client.

    \b
    Example: imagefactory job show oras://127.0.0.1:5000/demo/nest:3.10 --site bookworm
    """


def job_options(function: Callable[..., None]) -> Callable[..., None]:
    """What says how a run becomes a job."""
    for option in (
        click.option(
            "--as-in-paper", "listing", type=click.Choice(_LISTINGS),
            help="The shape of that listing of the paper, with warnings what it cannot know.",
        ),
        click.option(
            "--mode", type=click.Choice(["batch", "raw", "login"]),
            help="How UNICORE tracks it: as a batch job (default), with #SBATCH lines of ours, or "
            "as a login-node process that waits for Slurm.",
        ),
        click.option("--name", help="The job's name and tag (default: SITE-MODEL)."),
    ):  # fmt: skip
        function = option(function)
    return run_options(function)


@job.command()
@job_options
@verb()
def show(session: Session, **options: Any) -> None:
    """Print the exact JSON that is posted.

    \b
    Example: imagefactory job show oras://127.0.0.1:5000/demo/nest:3.10 --site bookworm
    """
    found = _job(session, **options)
    session.show({"description": dict(found.description), **found.about}, found.text.rstrip())


@job.command()
@job_options
@click.option(
    "--to", "folder", required=True, type=click.Path(path_type=Path), help="A folder to write into."
)
@verb()
def write(session: Session, folder: Path, **options: Any) -> None:
    """Write description.json, the files to upload, and about.json into a folder.

    \b
    Example: imagefactory job write oras://HOST/PROJECT/NAME:TAG --site bookworm --to build/job
    """
    from imagefactory import run as room

    written = room.write_job(_job(session, **options), folder)
    session.show([str(path) for path in written], "\n".join(map(str, written)))


def _job(
    session: Session, image: str, site: str, model: str, backend: str, ranks: int, threads: int,
    nodes: int | None, seed: int | None, pairs: tuple[str, ...],
    mode: str | None, listing: str | None, name: str | None,
) -> Any:  # fmt: skip
    from imagefactory import run as room

    if mode and listing:
        raise UsageFault("--mode and --as-in-paper exclude each other", fix="leave one away")
    chosen = room.Mode(f"listing-{listing}" if listing else mode or "batch")
    plan = room.plan_run(
        image, site, model, report=session.report, via=room.Via.UNICORE,
        ranks=ranks, threads=threads, nodes=nodes, overrides=overrides_of(seed, pairs),
        backend=backend,
    )  # fmt: skip
    plan = room.with_module(plan, session.report)
    found = room.describe(replace(plan, id=name or f"{site}-{model}"), chosen)
    for warning in found.warnings:
        session.report.warn(warning)
    return found
