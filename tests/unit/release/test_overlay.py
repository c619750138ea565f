"""The overlay's recipes: no version without a checksum, no checksum without an origin."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).parents[3] / "spack-envs/repo/spack_repo/esd"
RECIPES = sorted(REPOSITORY.glob("packages/*/package.py"))
ORIGIN = re.compile(
    r"  # (PyPI: (sdist|wheel) \S+, downloaded and summed"
    r"|conda-forge/\S+-feedstock [0-9a-f]{8}\b.*"
    r"|easybuilders/JSC [0-9a-f]{8}, \S+\.eb"
    r"|spack-packages v\d{4}\.\d\d\.\d, builtin/packages/\w+)$"
)


def unfounded_versions(text: str) -> list[str]:
    """The version directives of a recipe that lack a checksum or the origin of it."""
    lines = text.splitlines()
    calls = [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "version"
    ]
    return [lines[call.lineno - 1] for call in calls if not _is_founded(call, lines)]


def _is_founded(call: ast.Call, lines: list[str]) -> bool:
    keywords = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    checksum = re.fullmatch(r"'[0-9a-f]{64}'", keywords.get("sha256", ""))
    return bool(checksum) and bool(ORIGIN.search(lines[(call.end_lineno or call.lineno) - 1]))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.parent.name)
def test_every_version_has_a_checksum_and_its_origin(recipe: Path) -> None:
    text = recipe.read_text(encoding="utf-8")
    assert "version(" in text
    assert unfounded_versions(text) == []


SUM = "0" * 64
FOUNDED = f'version("1", sha256="{SUM}")  # PyPI: sdist a-1.tar.gz, downloaded and summed'


@pytest.mark.parametrize(
    ("line", "founded"),
    [
        (FOUNDED, True),
        (f'version("1", sha256="{SUM}")', False),
        (f'version("1", sha256="{SUM}")  # from somewhere', False),
        ('version("1", branch="main")  # PyPI: sdist a-1.tar.gz, downloaded and summed', False),
        (FOUNDED.replace(SUM, SUM[1:]), False),
    ],
)
def test_an_unfounded_version_is_seen(line: str, founded: bool) -> None:
    assert (unfounded_versions(line) == []) is founded


def test_the_repository_is_one_that_spack_1_reads() -> None:
    document = yaml.safe_load((REPOSITORY / "repo.yaml").read_text(encoding="utf-8"))
    assert document == {"repo": {"namespace": "esd", "api": "v2.2"}}
    # From this version of the interface on, a recipe's folder is a Python package.
    assert all(recipe.parent.name.isidentifier() for recipe in RECIPES)


def test_nest_is_there_from_3_3_to_3_10() -> None:
    text = (REPOSITORY / "packages/nest/package.py").read_text(encoding="utf-8")
    found = re.findall(r'^    version\("([^"]+)"', text, re.MULTILINE)
    assert found == ["3.10.0", "3.9", "3.8", "3.7", "3.6", "3.5", "3.4", "3.3"]
