"""Environments that come from elsewhere: made independent, and read for their pins."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from imagefactory.release.environments import (
    Settings,
    adapt,
    asked_of,
    builtin_of,
    included,
    pins_of,
    target_of,
)
from imagefactory.release.lock import parse_lock
from tests.unit.release.locks import document, node

MATRICES = """\
spack:  # ours
  definitions:
  - simulators: [nest@=3.8, arbor]
  - simulators: [neuron@=9.0]
    when: os.environ.get("X")
  - unused: [zlib@=1.2]
  - mpis: [openmpi@=5.0.7]
  specs:
  - $simulators
  - py-pynn@0.12.3
  - matrix: [[hdf5@=1.14, zfp], [$^mpis], ['%gcc@=12.2']]
  - matrix: [[netcdf-c@=4.9]]
    exclude: [netcdf-c]
  packages:
    python: {require: ["@=3.11.9 +ssl"]}
    openmpi: {require: +pmix, version: [3.10]}
"""


def asked(text: str = MATRICES) -> dict[str, str | None]:
    return {one.package: one.exact for one in asked_of(yaml.safe_load(text)["spack"])}


def test_an_environment_without_places_stays_byte_for_byte() -> None:
    assert adapt(MATRICES, []).text == MATRICES
    assert adapt(MATRICES, []).remarks == ()


def test_places_are_left_out_and_told() -> None:
    text = MATRICES + "  repos: [/srv/x]\n  mirrors: {m: s3://y}\n  include: [a.yaml]\n"
    adapted = adapt(text, [])
    assert yaml.safe_load(adapted.text) == yaml.safe_load(MATRICES)
    assert "3.10" in adapted.text
    assert adapted.remarks == (
        'spack.yaml: repos: left out: ["/srv/x"]',
        'spack.yaml: mirrors: left out: {"m": "s3://y"}',
        "spack.yaml: written anew, its comments are lost",
    )


def merged(own: str, *further: str) -> Any:
    settings = [Settings(f"{index}.yaml", text) for index, text in enumerate(further)]
    return yaml.safe_load(adapt(f"spack: {own}", settings).text)["spack"]


def test_the_environment_wins_over_a_site_and_a_site_over_the_next() -> None:
    found = merged(
        "{packages: {all: {target: [a], providers: {mpi: [x]}}}}",
        "packages: {all: {target: ['a', b], compiler: [g]}, zlib: {version: [1.10]}}",
        "packages: {all: {compiler: [h], variants: +y}}",
    )
    assert found["packages"]["all"] == {
        **{"target": ["a", "b"], "providers": {"mpi": ["x"]}},
        **{"compiler": ["g", "h"], "variants": "+y"},
    }


def test_two_colons_take_nothing_from_below() -> None:
    found = merged("{packages: {'all:': {target: [a]}}}", "packages: {all: {target: [b]}}")
    assert found == {"packages": {"all:": {"target": ["a"]}}}


def test_an_anchor_is_not_changed_where_else_it_stands() -> None:
    found = merged(
        "{packages: {all: &x {target: [a]}, zlib: *x}}", "packages: {all: {target: [b]}}"
    )
    assert found["packages"] == {"all": {"target": ["a", "b"]}, "zlib": {"target": ["a"]}}


def test_settings_that_say_not_what_is_built_are_told() -> None:
    adapted = adapt(MATRICES, [Settings("m.yaml", "modules: {x: y}"), Settings("e.yaml", "# no")])
    assert adapted.text == MATRICES
    assert adapted.remarks == ('m.yaml: modules: left out: not what is built: {"x": "y"}',)


def test_definitions_and_matrices_are_followed() -> None:
    found = asked()
    assert found == {
        **{"nest": "3.8", "arbor": None, "neuron": None, "py-pynn": None, "hdf5": "1.14"},
        **{"zfp": None, "netcdf-c": None, "python": "3.11.9"},
    }


@pytest.mark.parametrize("spec", ["%gcc@=12", "+mpi", "^zlib@=1", "target=x86_64", "/abc", "@=3"])
def test_a_constraint_names_no_package(spec: str) -> None:
    assert asked(yaml.safe_dump({"spack": {"specs": [spec]}})) == {}


@pytest.mark.parametrize("spec", ["a@1", "a@1:", "a@=1,=2", "a@:=2", "a", "ns.a", "a+b@=1"])
def test_anything_but_one_exact_version_is_not_exact(spec: str) -> None:
    assert asked(yaml.safe_dump({"spack": {"specs": [spec]}})) == {"a": None}


def test_a_definition_within_itself_ends() -> None:
    assert asked("spack: {definitions: [{a: [$a, b]}], specs: [$a]}") == {"b": None}


def test_pins_without_a_lock() -> None:
    pins = {one.package: one for one in pins_of(asked_of(yaml.safe_load(MATRICES)["spack"]), None)}
    assert (pins["nest"].version, pins["nest"].evidence) == ("3.8", "verified")
    assert (pins["py-pynn"].version, pins["py-pynn"].evidence) == (None, "unknown")
    assert "py-pynn@0.12.3" in pins["py-pynn"].source


def test_pins_with_a_lock() -> None:
    text = json.dumps(document(node("nest@3.8", node("zlib@1.3")), node("arbor@0.9")))
    lock = parse_lock(text, "x")
    environment = {"specs": ["nest@3", "zlib@=1.3", "arbor@=0.10", "neuron"]}
    pins = {one.package: one for one in pins_of(asked_of(environment), lock)}
    assert {name: pin.version for name, pin in pins.items()} == {
        **{"nest": "3.8", "zlib": "1.3"},
        **{"arbor": None, "neuron": None},  # they disagree
    }
    assert "arbor@=0.10, its spack.lock has arbor@0.9" in pins["arbor"].source


@pytest.mark.parametrize(
    ("settings", "target"),
    [
        ({"target": ["x86_64_v3"]}, "x86_64_v3"),
        ({"require": ["%gcc", "target=zen2 os=debian12"]}, "zen2"),
        ({"require": "arch=linux-debian12-x86_64_v3"}, "x86_64_v3"),
        ({"target": ["x86_64_v3", "zen2"]}, None),
        ({}, None),
    ],
)
def test_the_target(settings: dict[str, Any], target: str | None) -> None:
    assert target_of({"packages": {"all": settings}}) == target


def test_what_an_environment_names() -> None:
    assert included({"include": ["a.yaml", {"path": "b", "when": "x"}]}) == ["a.yaml", "b"]
    upstream = {"git": "https://x/y.git", "commit": "1" * 40}
    assert builtin_of({"repos": {"builtin": upstream}}) == upstream
    assert builtin_of({"repos": {"builtin": {"git": "x", "branch": "develop"}}}) is None
    assert builtin_of({"repos": ["/srv/x"]}) is None
