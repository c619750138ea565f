"""A recipe is checked once, with all its faults; what is loaded is what was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.base.settings import load_schema
from imagefactory.recipe import Distro, load_recipe
from tests.unit.recipe.conftest import LOCK, NEST_RECIPE, SDIST, WHEEL, WriteRecipe

Change = Callable[[dict[str, Any]], object]


def distro(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["stack"]["distro"]
    return found


def faults_of(path: Path) -> str:
    with pytest.raises(ConfigurationFault) as caught:
        load_recipe(path)
    return str(caught.value)


def test_what_is_written_is_loaded(write_recipe: WriteRecipe) -> None:
    recipe = load_recipe(write_recipe())
    assert (recipe.name, recipe.version, recipe.cpu_target) == ("small", "1.0", "x86-64")
    assert recipe.base.final_packages == ("openmpi-bin=4.1.4-3+b1", "python3")
    assert [item.digest.hex for item in recipe.requirements] == [WHEEL, SDIST]
    assert [item.is_sdist for item in recipe.requirements] == [False, True]
    assert isinstance(recipe.stack, Distro)
    assert recipe.stack.build_only == ("cython",)


def test_file_and_folder_name_the_same_recipe(write_recipe: WriteRecipe) -> None:
    folder = write_recipe()
    assert load_recipe(folder) == load_recipe(folder / "recipe.yaml")


def test_the_shipped_recipe_pins_what_matters() -> None:
    recipe = load_recipe(NEST_RECIPE)
    pinned = {item.split("=")[0] for item in recipe.base.final_packages if "=" in item}
    assert {"openmpi-bin", "libopenmpi3", "libpmix2", "python3-mpi4py"} <= pinned
    assert any(item.requirement == "nest-simulator==3.10.0" for item in recipe.requirements)
    models = (NEST_RECIPE / "modelset").read_text(encoding="utf-8").split()
    # facts/building-blocks.md 8: a reduced set must hold it.
    assert "weight_recorder" in models


def test_all_faults_of_the_document_come_at_once(write_recipe: WriteRecipe) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["nmae"] = document.pop("name")
        document["source_date_epoch"] = "yesterday"
        document["cpu_target"] = "x86_64"
        distro(document)["base"]["suite"] = "bookwurm"
        distro(document)["packages"]["final"] = ["openmpi-bin==4.1.4"]

    text = faults_of(write_recipe(spoil))
    assert "unknown key 'nmae'" in text
    assert "did you mean 'name'?" in text
    assert "the key 'name' is missing" in text
    assert "source_date_epoch: 'yesterday' is a text, not a whole number" in text
    assert "did you mean 'x86-64'?" in text
    assert "did you mean 'bookworm'?" in text
    assert "stack.distro.packages.final[0]" in text


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_format_is_refused_before_its_keys_are(
    write_recipe: WriteRecipe, version: object
) -> None:
    text = faults_of(write_recipe(lambda document: document.update(schema=version, new_key=1)))
    assert "new_key" not in text
    assert "schema" in text
    assert "fix:" in text


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(stack={}),
        lambda document: document.update(stack={"docker": {}}),
        lambda document: document["stack"].update(spack={}),
    ],
)
def test_a_stack_is_exactly_one_known_word(write_recipe: WriteRecipe, change: Change) -> None:
    assert "stack" in faults_of(write_recipe(change))


@pytest.mark.parametrize(
    ("lock", "part"),
    [
        ("cython==3.1.8\n", "pins no file"),
        (f"cython>=3 --hash=sha256:{WHEEL}\n", "pins no file"),
        ("cython==3.1.8 --hash=sha256:abc\n", "pins no file"),
        (LOCK.replace("cython", "other"), "'cython' is not in python.lock"),
        (None, "cannot read the lock"),
    ],
)
def test_a_lock_that_does_not_hold(write_recipe: WriteRecipe, lock: str | None, part: str) -> None:
    assert part in faults_of(write_recipe(lock=lock))


def test_faults_of_lock_and_files_come_together(write_recipe: WriteRecipe) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["tests"] = "missing.py"
        distro(document)["sources"][0]["files"] = {"gone": "models/../../passwd"}

    text = faults_of(write_recipe(spoil, lock="nonsense\n"))
    for part in ("pins no file", "'missing.py'", "'gone'", "leaves the source"):
        assert part in text


@pytest.mark.parametrize(
    "file", ["../elsewhere", "/etc/passwd", "a/b", "", ".hidden"], ids=lambda text: text or "empty"
)
def test_files_stand_beside_the_recipe(write_recipe: WriteRecipe, file: str) -> None:
    assert "tests" in faults_of(write_recipe(lambda document: document.update(tests=file)))


@pytest.mark.parametrize(
    "requirement",
    ["engine", "engine>=2.0", "engine==2.0; rm -rf /", "-r other.txt", "git+https://x"],
)
def test_a_source_is_one_exact_version(write_recipe: WriteRecipe, requirement: str) -> None:
    def spoil(document: dict[str, Any]) -> None:
        distro(document)["sources"][0]["requirement"] = requirement

    assert "requirement" in faults_of(write_recipe(spoil))


def test_a_missing_recipe_is_one_clear_error(tmp_path: Path) -> None:
    assert str(tmp_path) in faults_of(tmp_path)


def test_the_schema_is_a_schema() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(load_schema("imagefactory.recipe", "recipe.schema.json"))


def test_what_is_built_needs_a_stage_to_be_built_in(write_recipe: WriteRecipe) -> None:
    def spoil(document: dict[str, Any]) -> None:
        del distro(document)["packages"]["build"]

    assert "the build stage" in faults_of(write_recipe(spoil))
