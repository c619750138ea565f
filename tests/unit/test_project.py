"""The files around the package: CI, the lock, package data."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

TOP = Path(__file__).parents[2]


def test_ci_calls_what_there_is() -> None:
    """Every command of .gitlab-ci.yml is a make target or a verb of ours."""
    document = yaml.safe_load((TOP / ".gitlab-ci.yml").read_text())
    assert document["stages"] == ["lint", "test", "build", "push"]
    jobs = {name: job for name, job in document.items() if isinstance(job, dict)}
    used = {job["stage"] for name, job in jobs.items() if not name.startswith(".")}
    assert used == set(document["stages"])
    targets = set(re.findall(r"^([a-z./]+):", (TOP / "Makefile").read_text(), re.MULTILINE))
    for job in jobs.values():
        for line in [*job.get("before_script", []), *job.get("script", [])]:
            words = line.split()
            if words[0] == "make":
                assert words[1] in targets, line
            else:
                assert words[0] in {"imagefactory", "pytest", "export"}, line


def test_ci_run_is_the_readme_command() -> None:
    assert (TOP / ".ci" / "run").read_text().rstrip().endswith("exec make test")


def test_every_locked_package_is_pinned_by_hash() -> None:
    text = (TOP / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[a-z])", text)[1:]
    assert len(entries) > 20
    assert not [entry for entry in entries if "--hash=sha256:" not in entry]


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = {re.split(r"[<>=\[]", entry)[0].lower() for entry in wanted} - {"imagefactory"}
    locked = set(re.findall(r"^([a-z0-9-]+)==", (TOP / "requirements.lock").read_text(), re.M))
    assert names <= locked


def test_a_scientist_needs_neither_hpccm_nor_docker() -> None:
    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert not [name for name in project["dependencies"] if name.startswith(("hpccm", "docker"))]
