"""What is ahead of an image: what is built and what is there already, with time and disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import ToolFailed
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Report, clock, size
from imagefactory.image.building import ROOM_NEEDED, BuildPlan, plan_build
from imagefactory.image.record import read_build_record
from imagefactory.recipe import Recipe, SpackStack
from imagefactory.release import Node

KEPT = "spack/kept"  # Spack's build cache, in the ordinary user's cache folder


@dataclass(frozen=True)
class Packages:
    """The packages of a release, as `name@version`: what becomes of each in a build."""

    external: tuple[str, ...]
    kept: tuple[str, ...]
    to_build: tuple[str, ...]


@dataclass(frozen=True)
class ImagePlan:
    """What an image needs before it is there.

    `packages` is None for a stack without a lock, or when nothing is to be built; `seconds` is
    what the last build of this recipe took here, None if there was none. Sizes are in bytes.
    """

    build: BuildPlan
    packages: Packages | None
    seconds: float | None
    place: Path
    needed: int
    free: int

    def lines(self) -> list[str]:
        """The plan for people."""
        lines = self.build.lines()
        if self.build.current:
            return lines
        if self.packages is not None:
            lines += list(_package_lines(self.packages))
        if self.seconds is None:
            lines.append("time: unknown, this recipe was never built here")
        else:
            lines.append(f"time: about {clock(self.seconds)}, as its last build here took")
        lines.append(f"disk: {size(self.needed)} needed, {size(self.free)} free in {self.place}")
        return lines

    def require_room(self) -> None:
        """Raise ToolFailed if the disk is too small for the build."""
        if self.build.current is None and self.free < self.needed:
            raise ToolFailed(
                f"the disk is too full: {size(self.needed)} are needed, {size(self.free)} free",
                where=str(self.place),
                fix="free some room, or name another cache folder: IMAGEFACTORY_CACHE",
            )


def plan_image(recipe: Recipe, report: Report) -> ImagePlan:
    """Decide what an image needs; changes nothing.

    Raises what reading a recipe raises; a lock that is not that of its release is such a fault.
    """
    plan = plan_build(recipe, report)
    place = ordinary_cache()
    there = next(path for path in (place, *place.parents) if path.exists())
    stack = recipe.stack
    packages = None
    if plan.current is None and isinstance(stack, SpackStack):
        packages = sort_packages(stack.lock.nodes.values(), place / KEPT)
    return ImagePlan(
        build=plan,
        packages=packages,
        seconds=_last_seconds(plan.sif.parent.parent),
        place=place,
        needed=ROOM_NEEDED,
        free=shutil.disk_usage(there).free,
    )


def sort_packages(nodes: Iterable[Node], kept: Path) -> Packages:
    """Which packages come from outside, which from Spack's build cache, and which are built.

    The cache names its entries NAME-VERSION-HASH.spec.manifest.json (Spack 1.1, layout v3).
    """
    suffix = ".spec.manifest.json"
    held = {path.name.removesuffix(suffix)[-32:] for path in kept.rglob(f"*{suffix}")}
    found: dict[str, list[str]] = {"external": [], "kept": [], "to_build": []}
    for node in nodes:
        place = "external" if node.external else "kept" if node.hash in held else "to_build"
        found[place].append(f"{node.name}@{node.version}")
    return Packages(**{place: tuple(sorted(names)) for place, names in found.items()})


def _package_lines(packages: Packages) -> Iterator[str]:
    yield f"packages from outside (externals of the lock): {len(packages.external)}"
    yield f"packages from the build cache: {len(packages.kept)}"
    names = ", ".join(packages.to_build) or "none"
    yield f"packages to build: {len(packages.to_build)} ({names})"


def _last_seconds(images: Path) -> float | None:
    """How long the newest build of this recipe took here."""
    paths = sorted(images.glob("*/*.record.json"), key=lambda path: path.stat().st_mtime)
    return read_build_record(paths[-1]).seconds if paths else None
