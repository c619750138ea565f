"""The committed releases: environment, sources and lock say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefactory.release.releases import FOLDER, Release, read_release

TOP = Path(__file__).parents[3]
RELEASES = [read_release(path.parent) for path in sorted((TOP / FOLDER).glob("esd-*/sources.yaml"))]
STACK = {
    *("nest", "py-pynn", "py-nestml", "py-mpi4py", "py-numpy", "py-scipy", "py-neo"),
    *("py-elephant", "py-pyunicore", "openmpi", "pmix", "ucx"),
}

each_release = pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)


def environment(release: Release) -> dict[str, Any]:
    document = yaml.safe_load(release.environment.read_text(encoding="utf-8"))
    found: dict[str, Any] = document["spack"]
    return found


def required_versions(spack: dict[str, Any]) -> dict[str, str]:
    """What `packages:` requires with an @: package to version."""
    return {
        name: text.removeprefix("@").split()[0]
        for name, settings in spack["packages"].items()
        for text in settings.get("require", [])
        if text.startswith("@")
    }


def test_the_releases_are_there() -> None:
    assert [release.name for release in RELEASES] == [
        *("esd-23.02", "esd-24.10", "esd-25.04", "esd-25.04-openmpi4", "esd-25.10")
    ]


@each_release
def test_an_environment_holds_no_place_of_a_machine(release: Release) -> None:
    spack = environment(release)
    assert set(spack) - {"config"} == {"specs", "concretizer", "view", "packages"}
    assert set(spack.get("config", {})) <= {"deprecated"}
    assert spack["concretizer"] == {"reuse": False, "unify": True, "static_analysis": True}
    assert spack["packages"]["all"]["require"] == [f"target={release.target}", "os=debian12"]
    assert set(spack["specs"]) >= STACK


@each_release
def test_every_required_version_is_a_pin_and_every_pin_is_required(release: Release) -> None:
    pinned = {pin.package: pin.version for pin in release.pins if pin.version}
    assert pinned == required_versions(environment(release))


@each_release
def test_a_lock_has_the_pinned_versions_for_the_one_target(release: Release) -> None:
    if not release.lock.is_file():
        pytest.skip("no lock yet")
    nodes = json.loads(release.lock.read_text(encoding="utf-8"))["concrete_specs"].values()
    versions: dict[str, set[str]] = {}
    for node in nodes:
        versions.setdefault(node["name"], set()).add(node["version"])
    for pin in release.pins:
        assert pin.version is None or versions[pin.package] == {pin.version}
    systems = {(node["arch"]["platform_os"], str(node["arch"]["target"])) for node in nodes}
    assert {system for system, _ in systems} == {"debian12"}
    assert all(release.target in target for _, target in systems)
