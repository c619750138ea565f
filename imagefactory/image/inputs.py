"""What a build takes from outside: Debian's base root, files of PyPI; cached and checked."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from imagefactory.base.errors import FactoryError, ToolFailed, TrustRefused
from imagefactory.base.files import digest_of, write_text
from imagefactory.base.ordinary import ordinary_cache, ordinary_folder, ordinary_runner
from imagefactory.base.process import Runner
from imagefactory.base.report import Report
from imagefactory.recipe import Recipe, Requirement

# What the glibc of every suite takes as wheels (PEP 600).
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
FETCH_SECONDS = 900
ROOT_SECONDS = 900


def fetch(requirements: Sequence[Requirement], python: str, report: Report) -> dict[str, Path]:
    """Fetch files of PyPI for a Python like 3.11; digest (hex) to file, all checked.

    pip does the download, with its own settings for mirrors and proxies; what is in the cache
    with the right digest is not asked for again. Raises TrustRefused for a wrong digest.
    """
    store = ordinary_folder(ordinary_cache() / "sources")
    missing = [item for item in requirements if _cached(store, item) is None]
    for count, item in enumerate(missing):
        report.progress(f"fetch {item.requirement}", count, len(missing), "files")
        _download(item, store, python, report)
    return {item.digest.hex: _require(store, item) for item in requirements}


def _cached(store: Path, item: Requirement) -> Path | None:
    folder = store / item.digest.hex
    found = list(folder.iterdir()) if folder.is_dir() else []
    return found[0] if len(found) == 1 and digest_of(found[0]) == item.digest else None


def _require(store: Path, item: Requirement) -> Path:
    found = _cached(store, item)
    if found is None:
        raise TrustRefused(
            f"{item.requirement} was fetched, but it is not the file of the recipe",
            where=str(store / item.digest.hex),
            fix="remove that folder and build again; if it stays, the recipe's sha256 is wrong",
        )
    return found


def _download(item: Requirement, store: Path, python: str, report: Report) -> None:
    with TemporaryDirectory(dir=store) as scratch:
        wanted = Path(scratch) / "requirements.txt"
        write_text(wanted, f"{item.requirement} --hash={item.digest}\n")
        folder = Path(scratch) / item.digest.hex
        words = _sdist_words(item) if item.is_sdist else _wheel_words(python, wanted)
        try:
            Runner(report).run(
                sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-input",
                *words, "--dest", folder, timeout=FETCH_SECONDS,
            )  # fmt: skip
        except ToolFailed as err:
            raise _why(item, err) from None
        final = store / item.digest.hex
        if final.exists():
            shutil.rmtree(final)
        folder.chmod(0o755)
        folder.rename(final)


def _sdist_words(item: Requirement) -> list[str]:
    # --require-hashes would want hashes of the build backend too, which pip asks for metadata;
    # the file's digest is checked after the download instead.
    return ["--no-binary", item.name, item.requirement]


def _wheel_words(python: str, wanted: Path) -> list[str]:
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return [
        "--require-hashes", "--only-binary", ":all:", "--implementation", "cp",
        "--python-version", python, *platforms, "-r", str(wanted),
    ]  # fmt: skip


def _why(item: Requirement, err: ToolFailed) -> FactoryError:
    if "hash" in err.detail.lower():
        return TrustRefused(
            f"{item.requirement}: no file there has the sha256 of the recipe",
            fix="compare the recipe's sha256 with the package index",
            detail=err.detail,
        )
    return ToolFailed(
        f"cannot fetch {item.requirement}",
        fix="check the network and pip's settings (pip config list), then again",
        detail=err.detail,
    )


def root_key(recipe: Recipe, mmdebstrap: str) -> dict[str, str]:
    """What names a base root: distribution, suite, date and the program that makes it."""
    return {
        "base": f"{recipe.base.distribution} {recipe.base.suite} minbase",
        "base date": str(recipe.source_date_epoch),
        "mmdebstrap": mmdebstrap,
    }


def mmdebstrap_version(report: Report) -> str:
    """Like 1.3.5; raises ToolFailed if mmdebstrap is not installed."""
    return Runner(report).run("mmdebstrap", "--version", timeout=30).output.split()[-1]


def make_root(recipe: Recipe, target: Path, report: Report) -> None:
    """Make the base root as a tar at `target`, whole or not at all: 20 to 50 s, 170 MB.

    mmdebstrap takes the suite from Debian's mirror, or from what apt is told on this machine.
    """
    suite = recipe.base.suite
    # Unshared where we are no root; its owner is then the ordinary user as well.
    mode = "root" if os.geteuid() == 0 else "unshare"
    runner = Runner(report) if os.geteuid() == 0 else ordinary_runner(report)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tar")
    try:
        with report.step(f"base root: Debian {suite}, minbase"):
            runner.run(
                "mmdebstrap", "--variant=minbase", f"--mode={mode}", "--quiet", suite, temporary,
                timeout=ROOT_SECONDS, extra={"SOURCE_DATE_EPOCH": str(recipe.source_date_epoch)},
            )  # fmt: skip
        temporary.rename(target)
    finally:
        temporary.unlink(missing_ok=True)
