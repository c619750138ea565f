"""Real Spack, at the commit that a release pins, and with nothing of the user's own settings."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory

from imagefactory.base.errors import Fault, ToolFailed
from imagefactory.base.files import cache_folder, locked, write_text
from imagefactory.base.process import Done, Runner
from imagefactory.base.report import Report
from imagefactory.release.releases import GitPin, Release

# Each names a git repository (a path or a URL) that is asked before the pinned address.
SPACK_VARIABLES = ("IMAGEFACTORY_SPACK", "SPACK_ROOT")
PACKAGES_VARIABLES = ("IMAGEFACTORY_SPACK_PACKAGES",)
BUILTIN = PurePath("spack_repo") / "builtin"  # in a folder of package repositories
GIT_SECONDS = 900.0
SOLVE_SECONDS = 3600.0


@dataclass(frozen=True)
class Spack:
    """Spack's tree and upstream's package repository, each at the commit of a release."""

    tree: Path
    builtin: Path
    caches: Path

    def environment(self) -> dict[str, str]:
        """The whole environment of a Spack process: no scope but the environment's own file."""
        return {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": str(self.caches),
            "LC_ALL": "C.UTF-8",
            "SPACK_PYTHON": sys.executable,
            "SPACK_DISABLE_LOCAL_CONFIG": "1",
            # The index of providers is here: it saves half a minute the next time.
            "SPACK_USER_CACHE_PATH": str(self.caches),
        }

    def run(self, report: Report, *words: str | Path, timeout: float = SOLVE_SECONDS) -> Done:
        """Run `spack WORDS...`; its exit status is not checked."""
        runner = Runner(report, self.environment())
        program = self.tree / "bin" / "spack"
        return runner.run(program, "--no-color", *words, timeout=timeout, check=False)


def find_spack(release: Release, report: Report) -> Spack:
    """Spack, ready to solve, in our own cache folder.

    Raises ToolFailed where no repository has the commits, with the ways to name one, and where
    the solver is missing.
    """
    if find_spec("clingo") is None:
        raise ToolFailed(
            "Spack's solver clingo is missing", fix="pip install 'imagefactory[spack]'"
        )
    return get_spack(release, cache_folder() / "spack", report)


def get_spack(release: Release, folder: Path, report: Report) -> Spack:
    """Spack and its packages at the release's commits, exported once into `folder`.

    Raises ToolFailed where no repository has the commits, with the ways to name one.
    """
    tree = export(release.spack, SPACK_VARIABLES, folder / "tree", report)
    packages = export(release.packages, PACKAGES_VARIABLES, folder / "packages", report)
    caches = folder / f"user-{release.spack.commit[:12]}-{release.packages.commit[:12]}"
    caches.mkdir(parents=True, exist_ok=True)
    return Spack(tree, packages / "repos" / BUILTIN, caches)


def export(pin: GitPin, variables: Sequence[str], folder: Path, report: Report) -> Path:
    """The files of a commit, without git, under `folder`; asked for once, then kept."""
    place = folder / pin.commit
    with locked(folder / "lock"):
        if place.is_dir():
            return place
        faults = []
        for source, named_by in candidates(pin, variables, os.environ):
            try:
                with report.step(f"get {pin.version} ({pin.commit[:12]}) from {source}"):
                    export_commit(source, pin.commit, place, report)
            except ToolFailed as err:
                faults.append(Fault(f"{named_by}: {_reason(err)}", source))
                continue
            return place
    raise _nowhere(pin, variables, faults)


def candidates(
    pin: GitPin, variables: Sequence[str], environ: Mapping[str, str]
) -> list[tuple[str, str]]:
    """The repositories to ask, in order, each with what names it."""
    named = [(environ[name], name) for name in variables if environ.get(name)]
    return [*named, (pin.git, "sources.yaml")]


def _nowhere(pin: GitPin, variables: Sequence[str], faults: Sequence[Fault]) -> ToolFailed:
    ways = "; ".join(f"{name}=PATH-OR-URL of a git repository" for name in variables)
    tried = "\n".join(f"{fault.where}: {fault.what}" for fault in faults)
    return ToolFailed(
        f"no repository gave the commit {pin.commit} ({pin.version})",
        where=pin.git,
        fix=f"{ways}; or let {pin.git} be reached (a mirror: git config url.MIRROR.insteadOf)",
        detail=tried,
    )


def _reason(err: ToolFailed) -> str:
    lines = [line for line in err.detail.splitlines() if line.strip()]
    return lines[-1] if lines else err.faults[0].what


def export_commit(source: str, commit: str, place: Path, report: Report) -> None:
    """Put the files of a commit of a git repository (a path or an address) at `place`.

    `place` is whole or not there. Raises ToolFailed with git's or tar's own words.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".export-", dir=place.parent) as name:
        scratch = Path(name)
        repository = Path(source).expanduser()
        if not repository.is_dir():
            repository = scratch / "repository"
            fetch_into(repository, source, commit, report)
        parcel = scratch / "tree.tar"
        # Asked for by its whole hash: git itself checks that the files are those.
        archive = ("archive", "--format=tar", f"--output={parcel}", f"{commit}^{{commit}}")
        run_git(report, "-C", repository, *archive)
        tree = scratch / "tree"
        tree.mkdir()
        # Not tarfile: Python 3.11.2 has no filter. GNU tar writes nothing through a link.
        words = ("--extract", "--no-same-owner", f"--file={parcel}", f"--directory={tree}")
        Runner(report).run("tar", *words, timeout=GIT_SECONDS)
        tree.replace(place)


def fetch_into(repository: Path, source: str, wanted: str, report: Report) -> None:
    """Make a bare repository that holds one commit or tag of `source`; no hook is in it."""
    run_git(report, "init", "--quiet", "--bare", "--template=", repository)
    # Files as they are in the commit: what .gitattributes says runs no filter and hides no file.
    attributes = "* -filter -text -ident -export-ignore -export-subst !working-tree-encoding !eol\n"
    write_text(repository / "info" / "attributes", attributes)
    run_git(report, "-C", repository, "fetch", "--quiet", "--depth", "1", "--", source, wanted)


def run_git(report: Report, *words: str | Path, check: bool = True) -> Done:
    """Run git, which asks nobody for a password; `check` as in `Runner.run`."""
    runner = Runner(report, {**os.environ, "GIT_TERMINAL_PROMPT": "0"})
    # The repository may be another user's; it is only read.
    return runner.run("git", "-c", "safe.directory=*", *words, timeout=GIT_SECONDS, check=check)


def conflict_of(text: str) -> str:
    """The line of Spack's message that says most: a conflicting requirement, else the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for pattern in (r"^\d+\. ", r"cannot |conflict|unsatisf", r"^(==> )?Error"):
        for line in lines:
            if re.search(pattern, line, re.IGNORECASE):
                return re.sub(r"^(\d+\.|==> Error:) *", "", line)
    return lines[-1] if lines else "it wrote nothing"
