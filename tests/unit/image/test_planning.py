"""The plan of an image: what is there, what is built, how long, and is there room."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.report import Silent
from imagefactory.image import build, plan_build, plan_image
from imagefactory.image.planning import sort_packages
from imagefactory.release import read_lock

if TYPE_CHECKING:
    from tests.unit.image.conftest import MakeRecipe

LOCK = Path(__file__).parents[3] / "spack-envs" / "nest-debian" / "spack.lock"
Usage = namedtuple("Usage", "total used free")

pytestmark = pytest.mark.usefixtures("machine")


def test_time_is_unknown_until_it_was_built_once(make_recipe: MakeRecipe) -> None:
    found = plan_image(make_recipe(), Silent())
    assert found.seconds is None
    assert "time: unknown" in "\n".join(found.lines())
    build(plan_build(make_recipe(), Silent()), Silent())
    same = plan_image(make_recipe(), Silent())
    assert same.lines()[0].startswith("nothing to do")
    changed = plan_image(make_recipe(version="2"), Silent())
    assert changed.seconds is not None
    assert "as its last build here took" in "\n".join(changed.lines())


def test_a_full_disk_is_refused_before_the_build(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**9, 0, 10**9))
    found = plan_image(make_recipe(), Silent())
    assert "1.0 GB free" in "\n".join(found.lines())
    with pytest.raises(ToolFailed, match="too full"):
        found.require_room()


def test_what_becomes_of_each_package(tmp_path: Path) -> None:
    nodes = read_lock(LOCK).nodes.values()
    before = sort_packages(nodes, tmp_path)
    assert "openmpi@4.1.4" in before.external
    assert "nest@3.10.0" in before.to_build
    assert before.kept == ()
    nest = next(node for node in nodes if node.name == "nest")
    place = tmp_path / "v3" / "manifests" / "spec" / "nest"
    place.mkdir(parents=True)
    (place / f"nest-3.10.0-{nest.hash}.spec.manifest.json").touch()
    after = sort_packages(nodes, tmp_path)
    assert after.kept == ("nest@3.10.0",)
    assert set(before.to_build) - set(after.to_build) == {"nest@3.10.0"}
