"""imagefactory release list, show, diff."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from imagefactory.cli.session import Session, plain, verb

if TYPE_CHECKING:
    from imagefactory.base.errors import Fault


@click.group()
def release() -> None:
    """Spack environments pinned by a lock: look at them, compare them.

    \b
    Example: imagefactory release diff esd-24.10 esd-25.04
    """


@release.command("list")
@verb()
def list_all(session: Session) -> None:
    """List the releases under spack-envs/, and whether their lock is that of their sources.

    \b
    Example: imagefactory release list
    """
    from imagefactory.release import list_releases, lock_faults

    rows = [
        {
            "name": one.name,
            "state": "drifted" if lock_faults(one) else "locked",
            "spack": one.spack.version,
            "packages": one.packages.version,
            "target": one.target,
            "description": one.description,
        }
        for one in list_releases()
    ]
    lines = [
        f"{row['name']:<20} {row['state']:<8} Spack {row['spack']:<8} {row['packages']:<12} "
        f"{row['target']:<12} {row['description']}"
        for row in rows
    ]
    session.show(rows, "\n".join(lines) or "there is no release under spack-envs/")


@release.command()
@click.argument("name", metavar="RELEASE")
@verb()
def show(session: Session, name: str) -> None:
    """Say what is in RELEASE (a name under spack-envs/, or a spack.lock): roots first.

    \b
    Example: imagefactory release show esd-25.04
    """
    from imagefactory import release as room

    opened = room.open_lock(name)
    found = room.summarize(opened.lock)
    document = {**plain(found), "origins": opened.origins(), "drift": plain(opened.drift)}
    origins = [f"{word:<10}{text}" for word, text in opened.origins().items()]
    session.show(document, "\n".join([*origins, *found.lines()]))
    _end(session, opened.drift)


@release.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.option(
    "--format", "form", type=click.Choice(["text", "markdown"]), default="text", show_default=True,
    help="A text for the terminal, or a changelog to send around.",
)  # fmt: skip
@verb()
def diff(session: Session, old: str, new: str, form: str) -> None:
    """Say what changed from A to B (releases, or paths of spack.lock), and what is built again.

    Exit status: 5 where a release's lock is not that of its spack.yaml and sources.yaml.

    \b
    Example: imagefactory release diff esd-24.10 esd-25.04 --format markdown
    """
    from imagefactory import release as room

    before, after = room.open_lock(old), room.open_lock(new)
    found = room.diff_locks(
        before.lock, after.lock, (old, new), (before.origins(), after.origins())
    )
    drift = before.drift + after.drift
    session.show({**plain(found), "drift": plain(drift)}, room.changelog(found, form))
    _end(session, drift)


def _end(session: Session, drift: Sequence[Fault]) -> None:
    from imagefactory.base.errors import LockDrift

    for fault in drift:
        session.report.warn(str(fault))
    if drift:
        sys.exit(LockDrift.exit_code)
