"""What comes from outside: named exactly, checked, kept once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ToolFailed, TrustRefused
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.process import Done
from imagefactory.base.report import Silent
from imagefactory.base.values import Digest
from imagefactory.image.inputs import fetch, root_key
from imagefactory.recipe import Distro, Recipe, Requirement
from tests.unit.image.conftest import MakeRecipe

CONTENT = b"a wheel"
DIGEST = Digest(f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")


class Index:
    """A package index: pip's download puts `content` into its --dest, or fails with `error`."""

    def __init__(self, content: bytes = CONTENT, error: str = "") -> None:
        self.content, self.error = content, error
        self.asked: list[list[str]] = []

    def run(self, *argv: str | Path, **_: Any) -> Done:
        words = [str(word) for word in argv]
        self.asked.append(words)
        if self.error:
            raise ToolFailed("pip ended with exit status 1", detail=self.error)
        folder = Path(words[words.index("--dest") + 1])
        folder.mkdir(parents=True)
        (folder / "thing-1.0.whl").write_bytes(self.content)
        return Done(tuple(words), 0, "", "", 0)


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Index:
    found = Index()
    monkeypatch.setattr("imagefactory.image.inputs.Runner", lambda _report: found)
    return found


@pytest.fixture
def recipe(make_recipe: MakeRecipe, machine: dict[str, str]) -> Recipe:
    assert machine
    wheel = Requirement("thing==1.0", DIGEST)
    return make_recipe(stack=Distro(wheels=(wheel,)))


def fetched(recipe: Recipe) -> dict[str, Path]:
    return fetch(recipe.requirements, "3.11", Silent())


def test_a_file_is_fetched_once_and_kept_by_its_digest(recipe: Recipe, index: Index) -> None:
    first = fetched(recipe)
    assert first == fetched(recipe)
    assert first[DIGEST.hex].read_bytes() == CONTENT
    assert first[DIGEST.hex].parent.name == DIGEST.hex
    assert len(index.asked) == 1


def test_pip_is_told_to_trust_nothing(recipe: Recipe, index: Index) -> None:
    fetched(recipe)
    words = index.asked[0]
    assert {"--no-deps", "--require-hashes", "--only-binary"} <= set(words)
    assert words[words.index("--python-version") + 1] == "3.11"


def test_another_file_than_the_recipe_pins_is_refused(recipe: Recipe, index: Index) -> None:
    index.content = b"something else"
    with pytest.raises(TrustRefused) as caught:
        fetched(recipe)
    assert "thing==1.0" in str(caught.value)


def test_a_spoilt_file_in_the_cache_is_fetched_again(recipe: Recipe, index: Index) -> None:
    fetched(recipe)[DIGEST.hex].write_bytes(b"spoilt")
    assert fetched(recipe)[DIGEST.hex].read_bytes() == CONTENT
    assert len(index.asked) == 2


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE", TrustRefused),
        ("ERROR: Could not find a version that satisfies the requirement", ToolFailed),
    ],
)
def test_what_pip_says_is_told_with_a_fix(
    recipe: Recipe, index: Index, error: str, kind: type[Exception]
) -> None:
    index.error = error
    with pytest.raises(kind) as caught:
        fetched(recipe)
    assert "fix:" in str(caught.value)
    assert error in str(caught.value)
    assert [path for path in (ordinary_cache() / "sources").rglob("*") if path.is_file()] == []


def test_the_key_of_a_root_names_all_it_is_made_from(recipe: Recipe) -> None:
    assert set(root_key(recipe, "1.3.5")) == {"base", "base date", "mmdebstrap"}
