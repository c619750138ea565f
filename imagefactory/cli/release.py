"""imagefactory release list, show, diff, lock, import, drift, probe."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imagefactory.cli.session import Session, plain, verb

if TYPE_CHECKING:
    from imagefactory.base.errors import Fault
    from imagefactory.release import Sighting

PROBE_SECONDS = 120


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


@release.command()
@click.argument("name", metavar="RELEASE")
@click.option("--check", is_flag=True, help="Solve again from nothing; write nothing.")
@click.option(
    "--cache", metavar="oras://HOST/PROJECT/NAME", help="Also a cache of locks in a registry."
)
@verb(dry_run=True)
def lock(session: Session, name: str, check: bool, cache: str | None) -> None:
    """Make the lock of RELEASE with real Spack at its pinned commits.

    Spack is found by IMAGEFACTORY_SPACK or SPACK_ROOT (a git repository), else cloned; its package
    repository by IMAGEFACTORY_SPACK_PACKAGES, else cloned. Exit status of --check: 5 where the
    lock is another one.

    \b
    Example: imagefactory release lock esd-25.04
    """
    from imagefactory import release as room

    found = room.load_release(name)
    if session.dry_run:
        session.show_plan(room.plan_lock(found))
        return
    if check:
        done = room.check_lock(found, session.report)
    else:
        shared = None
        if cache is not None:
            from imagefactory.registry import RegistryLocks

            shared = RegistryLocks(cache, session.report)
        done = room.lock_release(found, session.report, shared)
    text = f"{found.lock}\n{done.nodes} packages, {done.lock}, {done.origin}: {done.why}"
    session.show(done, text)


@release.command("import")
@click.argument("source", metavar="PATH|GIT")
@click.option("--tag", metavar="T", required=True, help="A tag, or a whole commit; no branch.")
@click.option("--name", metavar="esd-YY.MM", help="The release's name; else from the tag.")
@click.option(
    "--site", metavar="SYSTEM", help="Also take in the settings under site-config/SYSTEM."
)
@verb(dry_run=True)
def import_checkout(
    session: Session, source: str, tag: str, name: str | None, site: str | None
) -> None:
    """Make a release of an ESD checkout (its git repository) at tag T.

    Its environment, lock and recipes come under spack-envs/, with the commit; what could not be
    converted is told. Nothing of the checkout is executed.

    \b
    Example: imagefactory release import ../ebrains-spack-builds --tag v25.04
    """
    from imagefactory import release as room

    planned = room.plan_import(source, tag, name, site, session.report)
    if session.dry_run:
        session.show_plan(planned)
        return
    done = room.import_release(planned)
    text = [f"{done.folder}: {planned.counted}", *planned.told()]
    document = {"release": done, "files": sorted(planned.files), "remarks": planned.remarks}
    session.show(document, "\n".join(text))


@release.command()
@click.option("--places", type=click.Path(path_type=Path), help="What was written down (YAML).")
@click.option(
    "--seen", "seen", multiple=True, metavar="PLACE=FILE", help="What the probe printed at PLACE."
)
@click.option("--site", "sites", multiple=True, metavar="NAME", help="Run the probe at this site.")
@click.option("--want", metavar="RELEASE", help="What all should have; else the newest one seen.")
@click.option(
    "--format", "form", type=click.Choice(["text", "markdown", "badge"]), default="text",
    show_default=True, help="A table, a table to send around, or a badge (SVG).",
)  # fmt: skip
@verb()
def drift(
    session: Session,
    places: Path | None,
    seen: tuple[str, ...],
    sites: tuple[str, ...],
    want: str | None,
    form: str,
) -> None:
    """Say which release is where. Exit status: 0 only where every place has the wanted one, else 5.

    \b
    Example: imagefactory release drift --places spack-envs/places.yaml
    """
    from imagefactory import release as room
    from imagefactory.base.errors import LockDrift

    found = room.read_places(places) if places is not None else []
    for text in seen:
        found += _read_seen(text)
    for name in sites:
        found += _probe(name, session)
    board = room.make_board(found, want)
    session.show(
        {**plain(board), "in_step": board.in_step, "verdict": board.verdict},
        room.show_board(board, room.BoardFormat(form)),
    )
    if not board.in_step:
        sys.exit(LockDrift.exit_code)


@release.command()
@verb()
def probe(session: Session) -> None:
    """Print the script that looks for releases at a place, to be run there.

    \b
    Example: imagefactory release probe > probe.sh; there: sh probe.sh > seen.txt
    """
    from imagefactory import release as room

    script = room.probe_script()
    session.show({"script": script}, script.rstrip())


def _read_seen(text: str) -> list[Sighting]:
    from imagefactory import release as room
    from imagefactory.base.errors import UsageFault

    place, _, name = text.partition("=")
    path = Path(name)
    if not name or not path.is_file():
        raise UsageFault(f"--seen {text}: there is no such file", fix="write PLACE=FILE")
    changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return room.read_probe(path.read_text("utf-8", "replace"), place, f"{changed:%Y-%m-%d}")


def _probe(name: str, session: Session) -> list[Sighting]:
    """Run the probe on a site's login node."""
    from imagefactory import release as room
    from imagefactory.run import open_shell
    from imagefactory.site import load_site

    site = load_site(name)
    script = f"APPTAINER={shlex.quote(site.apptainer)}\n{room.probe_script()}"
    with session.report.step(f"probe {name}"), open_shell(site.access, session.report) as shell:
        done = shell.run(script, site.store, timeout=PROBE_SECONDS)
    return room.read_probe(done.output, name, f"{datetime.now(UTC):%Y-%m-%d}")


def _end(session: Session, drift: Sequence[Fault]) -> None:
    from imagefactory.base.errors import LockDrift

    for fault in drift:
        session.report.warn(str(fault))
    if drift:
        sys.exit(LockDrift.exit_code)
