"""`release import` with real git: a repository of the ESD's shape, made here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from imagefactory.base.errors import ToolFailed, TrustRefused, UsageFault
from imagefactory.base.report import Silent
from imagefactory.release import import_release, plan_import
from imagefactory.release.releases import Origin

GIT = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
FIRST = "spack:\n  specs: [nest@=3.8]  # the first\n  packages: {all: {target: [x86_64_v3]}}\n"
OURS = f"""\
schema: 1
release: esd-20.01
description: the Spack to take
spack: {{version: 1.1.0, commit: "{"1" * 40}", git: "https://example.org/spack"}}
packages: {{version: v1, commit: "{"1" * 40}", git: "https://example.org/packages"}}
overlay: {{folder: ../repo, digest: "sha256:{"0" * 64}"}}
target: x86_64_v3
pins: []
"""


def git(folder: Path, *words: str) -> str:
    argv = [*GIT, "-C", str(folder), *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str]:
    """A repository tagged v25.04 (annotated), its branch further on, edits on top; the commit."""
    folder = tmp_path / "esd"
    for name, text in {
        "spack.yaml": FIRST,
        "repo.yaml": "repo: {namespace: ebrains-spack-builds}\n",
        "packages/py-pynn/package.py": "from spack.package import *\nclass PyPynn(Package): ...\n",
        "packages/py-pynn/a.patch": "$Id$\r\n+x\n",
        "site-config/jusuf/packages.yaml": "packages: {slurm: {buildable: false}}\n",
        ".gitattributes": "a.patch filter=evil ident text\npackages/** export-ignore\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    git(folder, "init", "--quiet", "--initial-branch=main")
    # Git adds the file as it is: the attributes come after it.
    git(folder, "-c", "core.attributesFile=/dev/null", "add", "packages", "site-config")
    git(folder, "add", "spack.yaml", "repo.yaml", ".gitattributes")
    git(folder, "commit", "--quiet", "-m", "first")
    git(folder, "tag", "-a", "v25.04", "-m", "the release")
    commit = git(folder, "rev-parse", "HEAD")
    (folder / "spack.yaml").write_text(FIRST.replace("3.8", "3.9"))
    git(folder, "commit", "--quiet", "-m", "second", "spack.yaml")
    (folder / "spack.yaml").write_text("edited, not committed\n")
    own = tmp_path / "work" / "spack-envs" / "esd-20.01"
    own.mkdir(parents=True)
    (own.parent / "repo").mkdir()
    (own / "spack.yaml").write_text("spack: {specs: []}\n")
    (own / "sources.yaml").write_text(OURS)
    monkeypatch.chdir(own.parents[1])
    return folder, commit


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_tag_is_imported_whatever_is_checked_out(checkout: tuple[Path, str], scheme: str) -> None:
    folder, commit = checkout
    planned = plan_import(f"{scheme}{folder}", "v25.04", None, None, Silent())
    release = import_release(planned)
    assert release.origin == Origin(f"{scheme}{folder}", commit, "v25.04")
    assert release.environment.read_text() == FIRST
    assert [(pin.package, pin.version, pin.evidence) for pin in release.pins] == [
        ("nest", "3.8", "verified")
    ]
    packages = release.overlay / "spack_repo" / "ebrains_spack_builds" / "packages"
    assert "_package_api_v1" in (packages / "py_pynn" / "package.py").read_text()


def test_nothing_of_the_checkout_is_executed(checkout: tuple[Path, str], tmp_path: Path) -> None:
    """Neither a filter nor a hook of the repository's own settings runs; files are as committed."""
    folder, _ = checkout
    trace = tmp_path / "trace"
    git(folder, "config", "filter.evil.smudge", f"touch {trace}; cat")
    git(folder, "config", "core.fsmonitor", f"touch {trace}")
    for name in ("post-checkout", "reference-transaction", "pre-auto-gc"):
        hook = folder / ".git" / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\ntouch {trace}\n")
        hook.chmod(0o755)
    planned = plan_import(str(folder), "v25.04", None, "jusuf", Silent())
    name = "overlay/spack_repo/ebrains_spack_builds/packages/py_pynn/a.patch"
    blob = git(folder, "rev-parse", "v25.04:packages/py-pynn/a.patch")
    raw = subprocess.run(
        [*GIT, "-C", str(folder), "cat-file", "blob", blob], check=True, capture_output=True
    ).stdout
    assert planned.files[name] == raw
    assert not trace.exists()
    assert b"slurm" in planned.files["spack.yaml"]


def test_a_branch_is_refused_and_its_commit_taken(checkout: tuple[Path, str]) -> None:
    folder, _ = checkout
    head = git(folder, "rev-parse", "HEAD")
    with pytest.raises(UsageFault, match=f"branch.*{head}"):
        plan_import(str(folder), "main", "esd-25.04", None, Silent())
    planned = plan_import(str(folder), head, "esd-25.04", None, Silent())
    assert planned.origin == Origin(str(folder), head)
    assert b"nest@=3.9" in planned.files["spack.yaml"]


def test_the_address_of_a_clone_is_that_of_its_origin(checkout: tuple[Path, str]) -> None:
    folder, _ = checkout
    git(folder, "remote", "add", "origin", "https://me:secret@gitlab.example.org/esd.git")
    planned = plan_import(str(folder), "v25.04", None, None, Silent())
    assert planned.origin.git == "https://gitlab.example.org/esd.git"
    assert not any(b"secret" in content for content in planned.files.values())


def test_a_link_out_of_the_checkout(checkout: tuple[Path, str]) -> None:
    folder, _ = checkout
    (folder / "packages" / "evil").symlink_to("/etc")
    git(folder, "add", "packages")
    git(folder, "commit", "--quiet", "-m", "third", "packages")
    git(folder, "tag", "v25.05")
    with pytest.raises(TrustRefused, match="leaves the checkout") as caught:
        plan_import(str(folder), "v25.05", None, None, Silent())
    assert caught.value.faults[0].where == "packages/evil"


def test_what_is_no_repository(tmp_path: Path, checkout: tuple[Path, str]) -> None:
    with pytest.raises(ToolFailed, match="nowhere"):
        plan_import(str(tmp_path / "nowhere"), "v25.04", None, None, Silent())


def test_the_verb(checkout: tuple[Path, str]) -> None:
    program = Path(sys.executable).with_name("imagefactory")
    argv = [str(program), "release", "import", str(checkout[0]), "--tag", "v25.04", "--json"]
    preview = subprocess.run([*argv, "--dry-run"], check=True, capture_output=True, text=True)
    assert not Path("spack-envs/esd-25.04").exists()
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    files = json.loads(done.stdout)["files"]
    lines = json.loads(preview.stdout)["plan"]
    start = "write spack-envs/esd-25.04/"
    written = [line.removeprefix(start) for line in lines if line.startswith(start)]
    assert written == files
    folder = Path("spack-envs/esd-25.04")
    assert files == sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    assert subprocess.run(argv, check=False, capture_output=True).returncode == 2
