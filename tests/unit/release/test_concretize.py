"""Locks: known by what they were made from; solved once, kept, and never half-written."""

from __future__ import annotations

import base64
import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ConfigurationFault, LockDrift, ToolFailed
from imagefactory.base.process import Done
from imagefactory.base.report import Report, Silent
from imagefactory.base.values import Digest
from imagefactory.release import check_lock, concretize, lock_faults, lock_release, plan_lock
from imagefactory.release.concretize import canonical, derived_environment, key_of, read_environment
from imagefactory.release.releases import Release, read_release
from imagefactory.release.spack import Spack, candidates, conflict_of


def a_node(name: str, version: str) -> dict[str, Any]:
    """A node as Spack 1.1 writes it, with the hash that fits."""
    node: dict[str, Any] = {
        "version": version,
        "name": name,
        "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64_v3"},
    }
    digest = hashlib.sha1(json.dumps(node, separators=(",", ":")).encode()).digest()  # noqa: S324
    return {**node, "hash": base64.b32encode(digest).decode().lower()}


NEST, PYNN = a_node("nest", "3.8"), a_node("py-pynn", "0.12")
# In an order of its own, as Spack writes it.
LOCK: dict[str, Any] = {
    "_meta": {"file-type": "spack-lockfile", "lockfile-version": 6, "specfile-version": 5},
    "spack": {"version": "1.1.0", "type": "release"},
    "roots": [
        {"hash": PYNN["hash"], "spec": "py-pynn"},
        {"hash": NEST["hash"], "spec": "nest"},
    ],
    "concrete_specs": {node["hash"]: node for node in (PYNN, NEST)},
}


class Solver:
    """Stands for Spack: writes the lock, or fails with a message."""

    def __init__(self, fails: str = "") -> None:
        self.runs = 0
        self.fails = fails
        self.seen = ""

    def run(self, _report: Report, *words: str | Path, timeout: float = 0) -> Done:
        self.runs += 1
        folder = Path(words[1])
        self.seen = (folder / "spack.yaml").read_text()
        if self.fails:
            return Done((), 1, "", self.fails, 0.0)
        document = dict(LOCK)
        document["roots"] = random.sample(LOCK["roots"], len(LOCK["roots"]))
        (folder / "spack.lock").write_text(json.dumps(document))
        return Done((), 0, "", "", 0.0)


@pytest.fixture
def release(release_folder: Path) -> Release:
    return read_release(release_folder)


@pytest.fixture
def solver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Solver:
    found = Solver()
    monkeypatch.setenv("IMAGEFACTORY_CACHE", str(tmp_path / "cache"))

    def fake(_release: Release, _report: Report) -> Spack:
        spack = Spack(tmp_path / "tree", tmp_path / "builtin", tmp_path)
        monkeypatch.setattr(Spack, "run", lambda _self, *words, **more: found.run(*words, **more))
        return spack

    monkeypatch.setattr(concretize, "find_spack", fake)
    return found


def again(release: Release) -> Release:
    return read_release(release.folder)


def test_solved_once_then_kept_then_cached(release: Release, solver: Solver) -> None:
    first = lock_release(release, Silent())
    assert (first.origin, first.nodes, solver.runs) == ("solved", 2, 1)
    text = release.lock.read_text()
    assert lock_release(again(release), Silent()).origin == "kept"
    release.lock.unlink()
    found = lock_release(again(release), Silent())
    assert (found.origin, solver.runs) == ("cached", 1)
    assert release.lock.read_text() == text


class Shared(dict[Digest, str]):
    """Stands for a cache in a registry."""

    def put(self, key: Digest, text: str) -> None:
        self[key] = text


def test_a_shared_cache_saves_the_solving(
    release: Release, solver: Solver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = Shared()
    lock_release(release, Silent(), shared)
    assert len(shared) == 1
    text = release.lock.read_text()
    release.lock.unlink()
    monkeypatch.setenv("IMAGEFACTORY_LOCKS", str(tmp_path / "elsewhere"))
    found = lock_release(again(release), Silent(), shared)
    assert (found.origin, solver.runs, release.lock.read_text()) == ("shared", 1, text)
    release.lock.unlink()
    monkeypatch.setenv("IMAGEFACTORY_LOCKS", str(tmp_path / "third"))
    shared[key_of(release).digest] = text.replace('"3.8"', '"3.9"')
    with pytest.raises(ConfigurationFault, match="edited by hand"):
        lock_release(again(release), Silent(), shared)
    assert not release.lock.exists()


def test_the_plan_says_what_would_be_done(release: Release, solver: Solver) -> None:
    before = sorted(release.folder.rglob("*"))
    lines = plan_lock(release).lines()
    assert lines[0] == "because: there is no lock"
    assert "solve with Spack 1.1.0" in lines[1]
    assert sorted(release.folder.rglob("*")) == before
    lock_release(release, Silent())
    assert plan_lock(again(release)).lines()[0].startswith("nothing to do")


def test_a_miss_names_what_changed(release: Release, solver: Solver) -> None:
    assert "holds no lock yet" in lock_release(release, Silent()).why
    release.environment.write_text("spack: {specs: [nest@3.9]}\n")
    assert "environment changed" in lock_release(again(release), Silent()).why
    assert solver.runs == 2


def test_comments_and_layout_do_not_count(release: Release, solver: Solver) -> None:
    lock_release(release, Silent())
    text = release.environment.read_text().replace("# a comment", "# another")
    release.environment.write_text(text)
    assert lock_faults(again(release)) == []


def test_drift_is_named(release: Release, solver: Solver) -> None:
    assert "there is no lock" in str(lock_faults(release)[0])
    lock_release(release, Silent())
    assert lock_faults(again(release)) == []
    package = release.overlay / "spack_repo" / "esd" / "packages" / "nest" / "package.py"
    package.write_text("class Nest: edited\n")
    release.lock.write_text(release.lock.read_text().replace("3.8", "3.9"))
    text = "\n".join(map(str, lock_faults(again(release))))
    assert "overlay has changed" in text
    assert "changed by hand" in text
    assert "overlay.digest" in text
    with pytest.raises(LockDrift) as caught:
        check_lock(again(release), Silent())
    assert (caught.value.exit_code, len(caught.value.faults)) == (5, 3)
    (release.folder / "lock.json").unlink()
    assert "nothing says" in str(lock_faults(again(release))[0])


def test_the_overlay_digest_is_stamped_and_comments_stay(release: Release, solver: Solver) -> None:
    (release.overlay / "more.py").write_text("")
    lock_release(again(release), Silent())
    assert release.sources.read_text().startswith("# by hand\n")
    assert str(again(release).overlay_digest) == key_of(release).overlay


def test_check_solves_again(
    release: Release, solver: Solver, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_release(release, Silent())
    assert check_lock(again(release), Silent()).origin == "solved"
    assert solver.runs == 2
    monkeypatch.setitem(LOCK, "roots", [{"hash": NEST["hash"], "spec": "nest@3"}])
    with pytest.raises(LockDrift, match="differently"):
        check_lock(again(release), Silent())


def test_a_failed_solve_writes_nothing(release: Release, solver: Solver) -> None:
    lock_release(release, Silent())
    before = release.lock.read_bytes()
    release.environment.write_text("spack: {specs: [nest@9]}\n")
    solver.fails = (
        "==> Error: failed to concretize `nest@9` for the following reasons:\n"
        "     1. cannot satisfy a requirement for package 'nest'\n"
    )
    with pytest.raises(ToolFailed, match="cannot satisfy a requirement for package 'nest'"):
        lock_release(again(release), Silent())
    assert release.lock.read_bytes() == before
    assert lock_faults(again(release))


def test_what_spack_gets(release: Release, tmp_path: Path) -> None:
    spack = Spack(Path("/s"), Path("/b/builtin"), Path("/c"))
    found = derived_environment(read_environment(release), release, spack, tmp_path)
    assert found["specs"] == ["nest@3.8"]
    assert list(found["repos:"]) == ["esd", "builtin"]
    assert Path(found["repos:"]["esd"]).is_absolute()
    assert found["bootstrap"] == {"enable": False}
    assert found["concretizer"]["targets"]["host_compatible"] is False
    assert "SPACK_ROOT" not in spack.environment()


def test_canonical_keeps_the_keys_of_a_node(release: Release) -> None:
    text = canonical(json.dumps(LOCK), release)
    found = json.loads(text)
    assert [root["spec"] for root in found["roots"]] == ["nest", "py-pynn"]
    assert list(found["concrete_specs"][NEST["hash"]]) == ["version", "name", "arch", "hash"]
    assert found["spack"]["commit"] == "2" * 40


def test_no_environment(release: Release) -> None:
    for text in ("spack: [", "[]", "nest: {}"):
        release.environment.write_text(text)
        with pytest.raises(ConfigurationFault):
            read_environment(release)


def test_where_spack_is_looked_for(release: Release) -> None:
    names = ("IMAGEFACTORY_SPACK", "SPACK_ROOT")
    found = candidates(release.spack, names, {"SPACK_ROOT": "/opt/spack", "IMAGEFACTORY_SPACK": ""})
    assert found == [
        ("/opt/spack", "SPACK_ROOT"),
        ("https://example.org/spack", "sources.yaml"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("==> Error: it broke", "it broke"),
        ("==> Warning: x\n==> Error: y\n  2. conflict of a and b", "conflict of a and b"),
        ("", "it wrote nothing"),
    ],
)
def test_the_line_that_says_most(text: str, expected: str) -> None:
    assert conflict_of(text) == expected
