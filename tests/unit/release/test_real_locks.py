"""Locks that real Spack made (tests/data/locks/README.md): read, shown, compared."""

from __future__ import annotations

import gzip
import json
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.release.changelog import Format, changelog
from imagefactory.release.diff import Kind, diff_locks
from imagefactory.release.lock import Lock, parse_lock, read_lock
from imagefactory.release.summary import summarize
from tests.conftest import Golden

TOP = Path(__file__).parents[3]
FOLDER = TOP / "tests" / "data" / "locks"
FILES = sorted([*FOLDER.glob("*.lock"), *FOLDER.glob("*.lock.gz")])
NAMES = [path.name.removesuffix(".gz").removesuffix(".lock") for path in FILES]

LARGE = ("large-openmpi-4", "large-openmpi-5")
SMALL = [name for name in NAMES if name not in LARGE]


def text_of(name: str) -> str:
    path = FILES[NAMES.index(name)]
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()


@cache
def load(name: str) -> Lock:
    return parse_lock(text_of(name), name)


@pytest.mark.parametrize("name", NAMES)
def test_every_node_fits_its_hash(name: str) -> None:
    found = load(name)
    assert len(found.nodes) == len(json.loads(text_of(name))["concrete_specs"])
    unneeded = {node.name for node in found.nodes.values() if node.hash not in found.needed()}
    assert bool(unneeded) == (name == "spliced")


@pytest.mark.parametrize("name", ["openmpi-4", "format-5", "format-5-in-6", "spliced"])
def test_an_edit_of_any_node_is_found(name: str) -> None:
    whole = json.loads(text_of(name))
    for key, node in whole["concrete_specs"].items():
        version, node["version"] = node["version"], node["version"] + "0"
        with pytest.raises(ConfigurationFault) as caught:
            parse_lock(json.dumps(whole), "spack.lock")
        node["version"] = version
        assert [fault.where for fault in caught.value.faults] == [
            f"spack.lock: {node['name']}/{key[:7]}"
        ]


def test_what_another_spack_took_over_has_the_same_compilers() -> None:
    before, after = load("format-5"), load("format-5-in-6")
    assert before.nodes.keys() == after.nodes.keys()
    assert all(node.compilers == after.nodes[key].compilers for key, node in before.nodes.items())


@pytest.mark.parametrize("name", NAMES)
def test_show(name: str, golden: Golden) -> None:
    golden.check(f"release/show-{name}.txt", "\n".join(summarize(load(name)).lines()) + "\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [("openmpi-4", "openmpi-5"), ("openmpi-5", "external-openmpi"), ("format-5", "openmpi-4")],
)
def test_changelogs(old: str, new: str, golden: Golden) -> None:
    diff = diff_locks(load(old), load(new), (old, new))
    golden.check(f"release/diff-{old}-{new}.txt", changelog(diff) + "\n")
    golden.check(f"release/diff-{old}-{new}.md", changelog(diff, Format.MARKDOWN) + "\n")


def test_the_changelog_of_two_releases(golden: Golden) -> None:
    names = ("esd-24.10", "esd-25.04")
    locks = [read_lock(TOP / "spack-envs" / name / "spack.lock") for name in names]
    text = changelog(diff_locks(locks[0], locks[1], names), Format.MARKDOWN)
    golden.check("release/diff-esd-24.10-esd-25.04.md", text + "\n")


@pytest.mark.parametrize(("old", "new"), [*product(SMALL, SMALL), LARGE])
def test_whatever_is_compared_adds_up(old: str, new: str) -> None:
    one, other = load(old), load(new)
    diff = diff_locks(one, other)
    assert all(change.differences or change.kind in {Kind.ADDED, Kind.REMOVED}
               for change in diff.changes)  # fmt: skip
    assert all(bool(rebuild.own) != bool(rebuild.because) for rebuild in diff.rebuilds)
    mine, theirs = one.needed(), other.needed()
    fresh = {key for key in theirs if key not in mine}
    built = {rebuild.hash for rebuild in diff.rebuilds}
    assert built == {key for key in fresh if theirs[key].external is None}
    arrived = sum(change.kind is Kind.ADDED for change in diff.changes)
    gone = sum(change.kind is Kind.REMOVED for change in diff.changes)
    assert len(mine) + arrived - gone == len(theirs)
    if old == new:
        assert not diff.changes
        assert not diff.rebuilds
        assert diff.kept == len(mine)
