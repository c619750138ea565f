"""The real things that integration tests share: made once, left as they were found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef

if TYPE_CHECKING:
    from imagefactory.image import Apptainer
    from imagefactory.sandbox import Sandbox

RECIPE = Path(__file__).parents[2] / "recipes" / "nest"


@pytest.fixture(scope="session")
def report() -> Silent:
    return Silent()


@pytest.fixture(scope="session")
def apptainer(report: Silent) -> Apptainer:
    from imagefactory.image import find_apptainer

    return find_apptainer(report)


@pytest.fixture(scope="session")
def nest_sif(report: Silent) -> Path:
    """The image of recipes/nest, built once and then taken from the cache."""
    from imagefactory.image import build, plan_build
    from imagefactory.recipe import load_recipe

    return build(plan_build(load_recipe(RECIPE), report=report), report).sif


@pytest.fixture(scope="session")
def pynn_sif(report: Silent) -> Path:
    """The image of recipes/pynn, likewise."""
    from imagefactory.image import build, plan_build
    from imagefactory.recipe import load_recipe

    return build(plan_build(load_recipe(RECIPE.with_name("pynn")), report=report), report).sif


@pytest.fixture(scope="session")
def spynnaker_sif(report: Silent) -> Path:
    """The image of recipes/spynnaker, likewise."""
    from imagefactory.image import build, plan_build
    from imagefactory.recipe import load_recipe

    return build(plan_build(load_recipe(RECIPE.with_name("spynnaker")), report=report), report).sif


@pytest.fixture(scope="session")
def sandbox(report: Silent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """Both sites and the registry, up; taken down again if these tests took them up."""
    from imagefactory import sandbox as room

    found = room.load_sandbox()
    yield found or room.up(report)
    if found is None:
        room.down(report)


@pytest.fixture(scope="session")
def pushed_ref(nest_sif: Path, sandbox: Sandbox, report: Silent) -> ImageRef:
    """The nest image in the sandbox's registry, by tag."""
    from imagefactory.registry import push

    ref = ImageRef.parse(f"oras://{sandbox.registry}/tests/nest:3.10")
    push(nest_sif, ref, report)
    return ref
