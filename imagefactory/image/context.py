"""The folder that a build runs in: all that its definition copies in, and what is bound to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.files import digest_of, digest_of_text, write_text
from imagefactory.base.ordinary import ordinary_cache, ordinary_folder
from imagefactory.base.report import Report
from imagefactory.image.apptainer import Apptainer
from imagefactory.image.inputs import fetch, make_root, root_key
from imagefactory.image.sources import fetch_sources
from imagefactory.recipe import Definition, Recipe, SpackStack
from imagefactory.release import Layout, Release, collect


@dataclass(frozen=True)
class Contents:
    """What was put into a build's folder: the digest of the base root's tar, every source with
    its digest, and what the build sees besides, as Apptainer's --bind says it.
    """

    root: str
    sources: dict[str, str]
    binds: tuple[str, ...] = ()


@contextmanager
def open_context(recipe: Recipe) -> Iterator[Path]:
    """The folder that a build runs in; removed whatever happens."""
    folder = ordinary_cache() / "building" / f"{recipe.name}-{os.getpid()}"
    for left in folder.parent.glob("*-*"):
        if not Path(f"/proc/{left.name.rpartition('-')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)  # its build was killed
    try:
        yield ordinary_folder(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lay_out(
    definition: Definition,
    apptainer: Apptainer,
    mmdebstrap: str,
    folder: Path,
    report: Report,
    *,
    fresh: bool,
) -> Contents:
    """Put all that the build takes into its folder; with `fresh` nothing that was built is used."""
    recipe = definition.recipe
    root = _lay_out_root(recipe, apptainer, mmdebstrap, folder, report, fresh=fresh)
    write_text(folder / "image.def", definition.text)
    if isinstance(recipe.stack, SpackStack):
        return _lay_out_release(recipe, recipe.stack.release, root, folder, report, fresh=fresh)
    with report.step("fetch what comes from PyPI"):
        fetched = fetch(recipe.requirements, recipe.base.python, report)
    ordinary_folder(folder / "fetched")
    for digest, file in fetched.items():
        shutil.copyfile(file, ordinary_folder(folder / "fetched" / digest) / file.name)
    ordinary_folder(folder / "recipe")
    for path in definition.files:
        shutil.copyfile(path, folder / "recipe" / path.name)
    return Contents(root, {item.requirement: str(item.digest) for item in recipe.requirements})


def _lay_out_root(
    recipe: Recipe, apptainer: Apptainer, mmdebstrap: str, folder: Path, report: Report,
    *, fresh: bool,
) -> str:  # fmt: skip
    name = digest_of_text(repr(sorted(root_key(recipe, mmdebstrap).items()))).short
    root = ordinary_folder(ordinary_cache() / "roots") / f"{recipe.base.suite}-{name}.tar"
    if fresh:
        root = folder / "root.tar"
    if not root.is_file():
        make_root(recipe, root, report)
    base = ordinary_folder(folder / "base")
    # Device nodes cannot be made by an ordinary user; Apptainer brings its own /dev.
    apptainer.runner.run(
        "tar", "-xf", root, "-C", base, "--exclude=./dev/*", timeout=300, cwd=folder
    )
    return str(digest_of(root))


def _lay_out_release(
    recipe: Recipe, release: Release, root: str, folder: Path, report: Report, *, fresh: bool
) -> Contents:
    """Spack and its recipes are bound, not copied: they are large, and Spack's index of the recipes
    is made again (35 s) when their times change.
    """
    spack = ordinary_folder(ordinary_cache() / "spack")
    materials = collect(release, spack, report)
    with report.step(f"get the sources of {release.name}"):
        sources = fetch_sources(materials.sources, recipe.base.python, report)
    copies = {
        f"release/{path.name}": path
        for path in (release.environment, release.lock, release.sources)
    }
    copies |= {f"release/overlay/{name}": path for name, path in materials.overlay.items()}
    copies |= {f"mirror/{place}": path for place, path in sources.items()}
    for name, path in copies.items():
        target = folder / name
        shutil.copyfile(path, ordinary_folder(target.parent) / target.name)
    written = (Layout.KEPT, Layout.INDEX)
    given = {
        Layout.SPACK: materials.spack,
        Layout.REPOSITORIES: materials.repositories,
        Layout.MIRROR: ordinary_folder(folder / "mirror"),
        Layout.KEPT: (folder if fresh else spack) / "kept",
        Layout.INDEX: spack / "index" / materials.name,
    }
    for place in given:
        ordinary_folder(folder / "given" / place.relative_to(Layout.GIVEN))
    for place in written:
        ordinary_folder(given[place])
    return Contents(
        root,
        {source.package: str(source.digest) for source in materials.sources},
        (
            f"{folder / 'given'}:{Layout.GIVEN}",  # the places first, then what is in them
            *(
                f"{path}:{place}" if place in written else f"{path}:{place}:ro"
                for place, path in given.items()
            ),
        ),
    )
