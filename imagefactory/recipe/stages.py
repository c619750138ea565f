"""What every kind of stack has in common in the two stages of a definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagefactory.recipe.hpccm_door import LIKE_UBUNTU, make
from imagefactory.recipe.recipe import Recipe

BASE = "base"  # the folder of the base root in the build's context
SOURCES = "/opt/src"
LABEL = "org.ebrains.imagefactory"


@dataclass(frozen=True)
class Parts:
    """What one kind of stack puts into a definition.

    `build` are the layers of the build stage (empty: there is none), `copied` what the final
    stage takes from it, `final` the final stage's commands after its packages are installed,
    `prefixes` where software was installed, `files` what is copied in from beside the recipe.
    """

    build: tuple[Any, ...] = ()
    copied: Mapping[str, str] = field(default_factory=dict)
    final: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


def base_layer(recipe: Recipe, stage: str) -> Any:
    """The pinned Debian root that a stage begins with."""
    return make(
        "baseimage",
        image=BASE,
        _as=stage,
        _bootstrap="localimage",
        _distro=LIKE_UBUNTU[recipe.base.suite],
        _docker_env=False,
    )


def date_command(recipe: Recipe) -> str:
    """Sets the time that everything made in the build is dated to."""
    return f"export SOURCE_DATE_EPOCH={recipe.source_date_epoch}"


def compile_command(folder: str) -> str:
    """Byte code that holds no time of its source: fast imports from a read-only image."""
    return (
        f"python3 -m compileall -q --invalidation-mode unchecked-hash {folder} "
        "|| echo 'some files are not for this Python'"
    )
