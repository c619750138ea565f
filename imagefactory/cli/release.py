"""imagefactory release list, show, diff."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagefactory.cli.session import Session, plain, verb

if TYPE_CHECKING:
    from imagefactory.base.errors import Fault
    from imagefactory.release import Lock


@click.group()
def release() -> None:
    """Spack environments pinned by a lock: look at them, compare them.

    \b
    Example: imagefactory release diff esd-24.10 esd-25.04
    """


@release.command("list")
@verb()
def list_all(session: Session) -> None:
    """List the releases under spack-envs/.

    \b
    Example: imagefactory release list
    """
    from imagefactory.release import list_releases

    found = list_releases()
    width = max((len(one.name) for one in found), default=0)
    lines = [f"{one.name:<{width}}  {one.description}" for one in found]
    document = [{"name": one.name, "description": one.description} for one in found]
    session.show(document, "\n".join(lines) or "there is no release under spack-envs/")


@release.command()
@click.argument("name", metavar="RELEASE")
@verb()
def show(session: Session, name: str) -> None:
    """Say what is in RELEASE (a name under spack-envs/, or a spack.lock): roots first.

    \b
    Example: imagefactory release show esd-25.04
    """
    from imagefactory import release as room

    lock, drift = _open(name)
    found = room.summarize(lock)
    session.show({**plain(found), "drift": plain(drift)}, "\n".join(found.lines()))
    _end(session, drift)


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

    (before, drift), (after, more) = _open(old), _open(new)
    found = room.diff_locks(before, after, (old, new))
    drift += more
    text = room.changelog(found, room.Format(form))
    session.show({**plain(found), "drift": plain(drift)}, text)
    _end(session, drift)


def _open(name: str) -> tuple[Lock, list[Fault]]:
    """A lock by its path or its release, and how the latter drifted."""
    from imagefactory.release import load_release, lock_faults, read_lock

    if Path(name).is_file():
        return read_lock(Path(name)), []
    found = load_release(name)
    return read_lock(found.lock), lock_faults(found)


def _end(session: Session, drift: list[Fault]) -> None:
    from imagefactory.base.errors import LockDrift

    for fault in drift:
        session.report.warn(str(fault))
    if drift:
        sys.exit(LockDrift.exit_code)
