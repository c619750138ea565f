"""Reading a lock: two formats, and everything that can be wrong with one, told at once."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.release.lock import Lock, parse_lock, read_lock
from tests.conftest import Golden
from tests.unit.release.locks import Made, Use, by, document, external, node, spack_hash

GCC = external("gcc@12.2.0")
ZLIB = node("zlib@1.3.1", by(GCC, "c"))
NEST = node("nest@3.8", by(GCC), ZLIB, variants={"mpi": True, "modelset": "full"})


def parse(whole: dict[str, Any]) -> Lock:
    return parse_lock(json.dumps(whole), "spack.lock")


def refusal(text: str) -> str:
    with pytest.raises(ConfigurationFault) as caught:
        parse_lock(text, "spack.lock")
    return str(caught.value)


def test_a_lock_of_format_6() -> None:
    found = parse(document(NEST))
    assert (found.format, found.spack_version, found.spack_commit) == (6, "1.1.0", "2" * 40)
    assert [root.spec for root in found.roots] == ["nest"]
    nest = found.nodes[found.roots[0].hash]
    assert nest.label == f"nest@3.8/{NEST.hash[:7]}"
    assert (nest.platform, nest.system, nest.target) == ("linux", "debian12", "x86_64_v3")
    assert nest.parameters["mpi"] is True
    assert nest.compilers == {"c": "gcc@12.2.0", "cxx": "gcc@12.2.0"}
    assert [one.name for one in nest.dependencies] == ["gcc", "zlib"]
    assert nest.dependencies[1].kinds == ("build", "link")
    gcc = found.nodes[GCC.hash]
    assert gcc.external is not None
    assert (gcc.external.path, gcc.external.modules) == ("/usr", ())
    assert nest.external is None


def test_a_lock_of_format_5_has_one_compiler_per_node() -> None:
    content = {
        "name": "zlib",
        "version": "1.3.1",
        "arch": {
            "platform": "linux",
            "platform_os": "debian12",
            "target": {"name": "zen2", "features": ["avx2"]},
        },
        "compiler": {"name": "gcc", "version": "12.2.0"},
        "namespace": "builtin",
        "parameters": {"pic": True},
    }
    zlib = Made(content, spack_hash(content))
    found = parse(document(zlib, number=5))
    assert found.format == 5
    assert found.nodes[zlib.hash].compilers == dict.fromkeys(("c", "cxx", "fortran"), "gcc@12.2.0")
    assert found.nodes[zlib.hash].target == "zen2"


def test_order_does_not_count() -> None:
    whole = document(NEST, ZLIB)
    turned = {**whole, "roots": whole["roots"][::-1]}
    turned["concrete_specs"] = dict(reversed(whole["concrete_specs"].items()))
    assert parse(whole) == parse(turned)


def test_what_is_included_is_part_of_the_lock() -> None:
    inner = {key: document(ZLIB)[key] for key in ("roots", "concrete_specs")}
    whole = document(NEST) | {"include_concrete": {"/some/where": inner}}
    found = parse(whole)
    assert [root.spec for root in found.roots] == ["nest", "zlib"]
    assert parse(document(NEST) | {"include_concrete": {"/elsewhere": inner}}) == found


def test_what_only_tells_how_a_spliced_node_was_built_is_not_needed() -> None:
    built = node("hdf5@1.14", ZLIB, variants={"with": "openmpi"})
    spliced = node("hdf5@1.14", ZLIB, build_spec={"name": "hdf5", "hash": built.hash})
    found = parse(document(spliced, nodes=[built]))
    assert found.nodes[spliced.hash].build_spec == built.hash
    assert set(found.nodes) - set(found.needed()) == {built.hash}


def test_what_is_needed_to_run() -> None:
    python = node("python@3.11.7")
    cmake = node("cmake@3.30", python)
    root = node("nest@3.8", Use(cmake, ("build",)), Use(ZLIB, ("link",)))
    found = parse(document(root))
    running = found.needed(frozenset({"link", "run"}))
    assert sorted(one.name for one in running.values()) == ["nest", "zlib"]


@pytest.mark.parametrize(
    ("number", "part"),
    [
        (1, "format 1 (Spack 0.12) is older"),
        (4, "format 4 (Spack 0.18 to 0.20) is older"),
        (7, "format 7 (Spack 1.2) is newer"),
        (99, "format 99 is newer"),
        ("6", "'6' is no format"),
        (True, "True is no format"),
    ],
)
def test_other_formats_are_refused_before_their_keys(number: object, part: str) -> None:
    whole = document(NEST)
    whole["_meta"]["lockfile-version"] = number
    del whole["roots"]
    text = refusal(json.dumps(whole))
    assert part in text
    assert "fix: " in text
    assert "roots" not in text


@pytest.mark.parametrize("cut", [0.2, 0.7, 0.999])
def test_a_lock_that_was_cut_off(cut: float) -> None:
    text = json.dumps(document(NEST), indent=1)
    said = refusal(text[: int(len(text) * cut)])
    assert "cut off" in said or "Unterminated string" in said
    assert "spack.lock:" in said


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "cut off"),
        ("[]", "this is a list, not a lock"),
        ("{}", "this is no spack.lock"),
        ('{"_meta": 1}', "this is no spack.lock"),
        ("<<<<<<< HEAD\n{}", "this is no JSON"),
        ("[" * 100_000, "nested too deep"),
    ],
)
def test_what_is_no_lock(text: str, part: str) -> None:
    assert part in refusal(text)


def test_all_faults_at_once(golden: Golden) -> None:
    whole = document(NEST)
    nodes = whole["concrete_specs"]
    nodes[GCC.hash]["version"] = "13.2.0"  # by hand
    nodes[ZLIB.hash]["arch"] = "linux"
    nodes[NEST.hash]["dependencies"][0]["hash"] = "a" * 32
    nodes["b" * 32] = {"name": "half"}
    nodes["c" * 32] = node("pmix@5.0.8").all().popitem()[1]
    nodes["d" * 32] = 7
    whole["roots"] += [{"spec": "elephant", "hash": "e" * 32}, {"spec": 7}]
    golden.check("release/lock-faults.txt", refusal(json.dumps(whole)) + "\n")


@pytest.mark.parametrize("key", ["roots", "concrete_specs"])
def test_a_missing_section(key: str) -> None:
    whole = document(NEST)
    del whole[key]
    assert f"the key {key!r} is missing" in refusal(json.dumps(whole))


def test_a_lock_of_nothing() -> None:
    assert "the lock has no roots" in refusal(json.dumps(document()))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("version", "3.9"),
        ("namespace", "esd"),
        ("package_hash", "other===="),
        ("parameters", {"build_system": "generic", "mpi": False, "modelset": "full"}),
        ("external", {"path": "/opt", "module": None}),
    ],
)
def test_every_edit_by_hand_is_found(key: str, value: object) -> None:
    whole = document(NEST)
    whole["concrete_specs"][NEST.hash][key] = value
    said = refusal(json.dumps(whole))
    assert "nest/" + NEST.hash[:7] + ": the hash does not fit: this node was edited by hand" in said
    assert said.count("the hash does not fit") == 1


def test_a_spliced_node_ends_otherwise() -> None:
    built = node("hdf5@1.14", ZLIB)
    spliced = node("hdf5@1.14", build_spec={"name": "hdf5", "hash": built.hash})
    assert spack_hash(spliced.content) != spliced.hash
    parse(document(spliced, nodes=[built]))
    whole = document(spliced, nodes=[built])
    whole["concrete_specs"][spliced.hash]["version"] = "1.12"
    assert "edited by hand" in refusal(json.dumps(whole))
    without = document(spliced)
    assert "it needs hdf5/" in refusal(json.dumps(without))


def test_an_external_that_spack_hashed_before_it_had_a_namespace() -> None:
    glibc = external("glibc@2.36")
    bare = {key: value for key, value in glibc.content.items() if key != "namespace"}
    early = Made(glibc.content, spack_hash(bare))
    assert parse(document(early)).nodes[early.hash].name == "glibc"


def test_spack_sorts_the_flags_of_what_it_reuses() -> None:
    """Seen in public locks: the hash is that of the order in spack.yaml, the node is sorted."""
    asked = node("petsc@3.24", variants={"cflags": ["-g", "-O3"]})
    written = {**asked.content, "parameters": {"build_system": "generic", "cflags": ["-O3", "-g"]}}
    parse(document(Made(written, asked.hash)))


def test_a_lock_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "spack.lock"
    path.write_text(json.dumps(document(NEST)))
    assert read_lock(path) == parse(document(NEST))
    with pytest.raises(ConfigurationFault, match="No such file"):
        read_lock(tmp_path / "nowhere.lock")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationFault, match="not UTF-8"):
        read_lock(path)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to everything in a document."""
    found = [path]
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, one in inner:
        found += places(one, (*path, key))
    return found


@pytest.mark.parametrize("wrong", [None, 7, "text", [], {}, [7], {"key": 7}, True])
def test_whatever_stands_anywhere_is_a_fault_or_no_harm(wrong: object) -> None:
    """Never a traceback: each part of a lock is replaced in turn."""
    whole = document(NEST) | {"include_concrete": {"/some/where": document(ZLIB)}}
    refused = 0
    ways = places(whole)[1:]
    for way in ways:
        changed = deepcopy(whole)
        inside = changed
        for key in way[:-1]:
            inside = inside[key]
        inside[way[-1]] = wrong
        try:
            parse_lock(json.dumps(changed), "spack.lock")
        except ConfigurationFault:
            refused += 1
    assert refused > len(ways) / 2
