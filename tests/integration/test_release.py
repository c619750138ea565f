"""Releases on real parts: git, and (marked `spack`) real Spack at the pinned commits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.errors import LockDrift, ToolFailed
from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.equivalence import Verdict, compare
from imagefactory.image import build, plan_build
from imagefactory.image import test_image as run_image_tests
from imagefactory.recipe import load_recipe
from imagefactory.registry import push
from imagefactory.release import check_lock, list_releases, lock_release
from imagefactory.release.releases import GitPin, read_release
from imagefactory.release.spack import PACKAGES_VARIABLES, SPACK_VARIABLES, export, export_commit
from imagefactory.run import execute, plan_run

if TYPE_CHECKING:
    from imagefactory.image import Apptainer
    from imagefactory.sandbox import Sandbox

TOP = Path(__file__).parents[2]
GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")


def git(folder: Path, *words: str) -> str:
    argv = [*GIT, "-C", str(folder), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> tuple[Path, str]:
    """A git repository whose first commit is not its newest; and that commit."""
    folder = tmp_path / "repository"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "spack").write_text("first\n")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    commit = git(folder, "rev-parse", "HEAD")
    (folder / "bin" / "spack").write_text("second\n")
    git(folder, "commit", "--quiet", "-am", "second")
    (folder / "bin" / "spack").write_text("edited, not committed\n")
    git(folder, "config", "uploadpack.allowAnySHA1InWant", "true")
    return folder, commit


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_pinned_commit_is_exported_whatever_is_checked_out(
    repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    folder, commit = repository
    monkeypatch.setenv("SPACK_ROOT", f"{scheme}{folder}")
    monkeypatch.delenv("IMAGEFACTORY_SPACK", raising=False)
    pin = GitPin("v1", commit, "file:///nowhere")
    place = export(pin, SPACK_VARIABLES, tmp_path / "kept", Silent())
    assert (place / "bin" / "spack").read_text() == "first\n"
    monkeypatch.delenv("SPACK_ROOT")  # kept: nobody is asked again
    assert export(pin, SPACK_VARIABLES, tmp_path / "kept", Silent()) == place


def test_a_commit_that_nobody_has(
    repository: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMAGEFACTORY_SPACK", str(repository[0]))
    monkeypatch.delenv("SPACK_ROOT", raising=False)
    kept = tmp_path / "kept"
    with pytest.raises(ToolFailed) as caught:
        export(GitPin("v9", "9" * 40, "file:///nowhere"), SPACK_VARIABLES, kept, Silent())
    text = str(caught.value)
    for words in ("IMAGEFACTORY_SPACK", "SPACK_ROOT=", "file:///nowhere", "insteadOf"):
        assert words in text
    assert [path.name for path in kept.iterdir()] == ["lock"]


def test_a_commit_writes_nothing_through_its_links(tmp_path: Path) -> None:
    """A tree that no working copy could have: `a` is a link out of it, and a folder as well."""
    folder, outside = tmp_path / "repository", tmp_path / "outside"
    outside.mkdir()
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "target").write_text(str(outside))
    (folder / "file").write_text("through the link\n")
    link, file = (
        git(folder, "hash-object", "-w", str(folder / name)) for name in ("target", "file")
    )
    inner = make_tree(folder, f"100644 blob {file}\tx")
    tree = make_tree(folder, f"120000 blob {link}\ta", f"040000 tree {inner}\ta")
    commit = git(folder, "commit-tree", tree, "-m", "odd")
    # GNU tar makes a folder of it or ends with an error: that depends on the file system.
    with suppress(ToolFailed):
        export_commit(str(folder), commit, tmp_path / "place", Silent())
    assert not list(outside.iterdir())


def make_tree(folder: Path, *lines: str) -> str:
    argv = [*GIT, "-C", str(folder), "mktree"]
    text = "".join(f"{line}\n" for line in lines)
    done = subprocess.run(argv, input=text, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def needs_spack() -> None:
    if not any(os.environ.get(name) for name in SPACK_VARIABLES):
        pytest.skip("no Spack here: SPACK_ROOT or IMAGEFACTORY_SPACK is not set")
    if not os.environ.get(PACKAGES_VARIABLES[0]):
        pytest.skip(f"no package repository of Spack here: {PACKAGES_VARIABLES[0]} is not set")


@pytest.mark.spack
@pytest.mark.parametrize("name", [path.parent.name for path in TOP.glob("spack-envs/*/spack.lock")])
def test_the_committed_lock_is_what_real_spack_solves(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_spack()
    monkeypatch.chdir(TOP)
    found = {release.name: release for release in list_releases()}[name]
    assert check_lock(found, Silent()).origin == "solved"


@pytest.mark.spack
def test_a_release_is_locked_by_real_spack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_spack()
    top = tmp_path / "spack-envs"
    source = min(TOP.glob("spack-envs/*/spack.lock"), key=lambda path: path.stat().st_size).parent
    folder = Path(shutil.copytree(source, top / source.name))
    shutil.copytree(TOP / "spack-envs" / "repo", top / "repo")
    monkeypatch.setenv("IMAGEFACTORY_LOCKS", str(tmp_path / "locks"))
    expected = (folder / "spack.lock").read_text()
    (folder / "spack.lock").unlink()
    assert lock_release(read_release(folder), Silent()).origin == "solved"
    assert (folder / "spack.lock").read_text() == expected
    text = (folder / "spack.yaml").read_text()
    (folder / "spack.yaml").write_text(text.replace("specs:", "specs:\n  - nest@2.2", 1))
    with pytest.raises(LockDrift):
        check_lock(read_release(folder), Silent())
    with pytest.raises(ToolFailed, match="cannot solve"):
        lock_release(read_release(folder), Silent())
    assert (folder / "spack.lock").read_text() == expected


def test_the_probe_at_a_real_site(sandbox: Sandbox) -> None:
    """The sandbox's sites have no ESD: the board says unknown, and nothing is made up."""
    done = subprocess.run(
        [Path(sys.executable).with_name("imagefactory"), "release", "drift", "--json",
         "--site", sandbox.sites[0].name, "--want", "esd-25.04",
         "--places", str(TOP / "spack-envs" / "places.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    rows = {row["sighting"]["place"]: row for row in json.loads(done.stdout)["rows"]}
    row = rows[sandbox.sites[0].name]
    assert (row["state"], row["sighting"]["evidence"]) == ("unknown", "measured")


@pytest.mark.spack
def test_the_image_from_a_lock_gives_the_same_spikes(
    sandbox: Sandbox,
    pushed_ref: ImageRef,
    apptainer: Apptainer,
    report: Silent,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """From the lock to the verdict: recipes/nest-spack against recipes/nest, on both sites."""
    needs_spack()
    monkeypatch.chdir(TOP)
    monkeypatch.setenv("IMAGEFACTORY_DATA", str(tmp_path / "data"))
    recipe = load_recipe(TOP / "recipes" / "nest-spack")
    built = build(plan_build(recipe, report), report)
    assert run_image_tests(built.sif, recipe, apptainer, report).passed
    ref = ImageRef.parse(f"oras://{sandbox.registry}/tests/nest-spack:3.10")
    push(built.sif, ref, report)
    runs = [
        execute(plan_run(str(one), site.name, "balanced-random", report=report, ranks=4), report)
        for one in (pushed_ref, ref)
        for site in sandbox.sites
    ]
    assert [run.machine["nodes"] for run in runs] == [["c1", "c2"]] * 4
    assert len({run.image["sif"] for run in runs}) == 2
    verdicts = [compare(runs[:1], [other]).verdict for other in runs[1:]]
    assert verdicts == [Verdict.IDENTICAL] * 3
