"""A checkout of somebody's Spack environment: got at a tag, read as files, never executed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from imagefactory.base.errors import ConfigurationFault, Fault, TrustRefused, UsageFault, nearest
from imagefactory.base.report import Report
from imagefactory.release.releases import Origin
from imagefactory.release.spack import export_commit, fetch_into, run_git

_COMMIT = re.compile(r"[0-9a-f]{40}")
_USER = re.compile(r"(?<=://)[^/@]*@")
HEADS, TAGS = "refs/heads/", "refs/tags/"


@dataclass(frozen=True)
class Checkout:
    """The files of a commit under `root`."""

    root: Path
    origin: Origin

    def has(self, name: str) -> bool:
        return (self.root / name).exists() or (self.root / name).is_symlink()

    def folder(self, name: str) -> bool:
        return (self.root / name).is_dir() and not (self.root / name).is_symlink()

    def files(self, under: str) -> list[str]:
        """The files below a folder, as sorted paths from the root; a link counts as a file."""
        top = self.root / under
        if top.is_symlink():
            return [under]
        return sorted(
            path.relative_to(self.root).as_posix()
            for path in top.rglob("*")
            if path.is_symlink() or not path.is_dir()
        )

    def read(self, name: str) -> bytes:
        """The bytes of a file. Raises TrustRefused for one that is not within the checkout."""
        real = self._inside(name)
        if not real.is_file():
            raise ConfigurationFault("this is no file", where=name, fix="put the file itself there")
        return real.read_bytes()

    def text(self, name: str) -> str:
        """A file as text; raises as `read` does, and ConfigurationFault for what is no UTF-8."""
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigurationFault("this is no UTF-8 text", where=name) from None

    def require_inside(self, names: Iterable[str]) -> None:
        """Raise TrustRefused with every link among these files and folders that leaves us."""
        faults: list[Fault] = []
        for name in names:
            whole = [name, *self.files(name)] if self.folder(name) else [name]
            for one in whole:
                try:
                    self._inside(one)
                except TrustRefused as err:
                    faults += err.faults
        if faults:
            raise TrustRefused.from_faults(faults)

    def _inside(self, name: str) -> Path:
        real = (self.root / name).resolve()
        if not real.is_relative_to(self.root.resolve()):
            raise TrustRefused(
                "a link leaves the checkout", where=name, fix="put the file itself there"
            )
        return real


@contextmanager
def checked_out(source: str, tag: str, report: Report) -> Iterator[Checkout]:
    """The files of `source` (a path or an address) at a tag or a whole commit, for a while.

    Raises UsageFault for a branch, with the commit it means now, and for an unknown tag.
    """
    here = Path(source).expanduser()
    address = str(here.absolute()) if here.is_dir() else source
    with TemporaryDirectory(prefix="imagefactory-import-") as name:
        if _COMMIT.fullmatch(tag):
            origin = Origin(_home(address, report), tag)
            wanted = tag
        else:
            listing = run_git(report, "ls-remote", "--", address).output
            origin = Origin(_home(address, report), commit_of(listing, tag, source), tag)
            wanted = f"{TAGS}{tag}"
        repository, tree = Path(name) / "repository", Path(name) / "tree"
        with report.step(f"get {tag} ({origin.commit[:12]}) from {without_user(address)}"):
            fetch_into(repository, address, wanted, report)
            export_commit(str(repository), origin.commit, tree, report)
        yield Checkout(tree, origin)


def commit_of(listing: str, tag: str, source: str) -> str:
    """The commit of a tag in what `git ls-remote` printed; raises UsageFault."""
    lines = [line.partition("\t") for line in listing.splitlines()]
    found = {name: commit for commit, _, name in lines}
    # An annotated tag is an object of its own; the line with ^{} has its commit.
    commit = found.get(f"{TAGS}{tag}^{{}}", found.get(f"{TAGS}{tag}"))
    if commit is not None:
        return commit
    head = found.get(tag if tag == "HEAD" else f"{HEADS}{tag}")
    if head is not None:
        raise UsageFault(
            f"{tag} is a branch, and moves; now it means the commit {head}",
            where=source,
            fix=f"give a tag, or that commit: --tag {head}",
        )
    tags = {name.removeprefix(TAGS).removesuffix("^{}") for name in found if name.startswith(TAGS)}
    raise UsageFault(f"there is no tag {tag!r}", where=source, fix=nearest(tag, tags))


def _home(address: str, report: Report) -> str:
    """Where the repository comes from: for a clone on this machine, its `origin`."""
    if not Path(address).is_dir():
        return without_user(address)
    runner = ("-C", address, "config", "--get", "remote.origin.url")
    found = run_git(report, *runner, check=False).output.strip()
    return without_user(found or address)


def without_user(address: str) -> str:
    """An address without a user's name or token."""
    return _USER.sub("", address)
