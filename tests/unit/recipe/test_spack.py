"""A spack stack: the lock is the input, and nothing but what it says gets into the image."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefactory.base.errors import ConfigurationFault, LockDrift, UsageFault
from imagefactory.recipe import Recipe, SpackStack, define, load_recipe
from tests.conftest import Golden
from tests.unit.recipe.conftest import NEST_RECIPE

TOP = Path(__file__).parents[3]
RECIPE = TOP / "recipes" / "nest-spack"
RELEASE = Path("spack-envs") / "nest-debian"

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of one's own: the recipe, its release and the overlay."""
    for name in ("recipes/nest-spack", "spack-envs/nest-debian", "spack-envs/repo"):
        shutil.copytree(TOP / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spoilt(checkout: Path, change: Change) -> Path:
    path = checkout / "recipes" / "nest-spack" / "recipe.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def spack(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["stack"]["spack"]
    return found


def stack_of(recipe: Recipe) -> SpackStack:
    assert isinstance(recipe.stack, SpackStack)
    return recipe.stack


def lines_of(recipe: Recipe) -> list[str]:
    return define(recipe).text.splitlines()


def line(lines: list[str], *parts: str) -> int:
    return next(n for n, text in enumerate(lines) if all(part in text for part in parts))


def test_the_definition_of_nest_by_its_lock(golden: Golden) -> None:
    golden.check("recipe/nest-spack.def", define(load_recipe(RECIPE)).text)


def test_the_lock_is_checked_before_it_is_used_and_never_solved_again() -> None:
    recipe = load_recipe(RECIPE)
    lines = lines_of(recipe)
    digest = stack_of(recipe).digest.hex
    assert line(lines, digest, "sha256sum --check") < line(lines, "cp ", "environment/spack.lock")
    assert line(lines, "check_lock.py", '"openmpi"') < line(lines, "install --only-concrete")
    text = "\n".join(lines)
    assert not re.search(r"spack (concretize|add|develop|bootstrap)\b", text)
    assert "checksum: true" in text
    assert "no-checksum" not in text


def test_the_image_says_from_which_lock_and_commits_it_is() -> None:
    recipe = load_recipe(RECIPE)
    release = stack_of(recipe).release
    labels = define(recipe).text.partition("%labels")[2]
    for name, value in {
        "release": release.name,
        "lock": str(stack_of(recipe).digest),
        "spack": release.spack.commit,
        "spack-packages": release.packages.commit,
        "overlay": str(release.overlay_digest),
    }.items():
        assert f"org.ebrains.imagefactory.{name} {value}\n" in labels


def test_the_final_stage_has_no_compiler_and_no_spack() -> None:
    recipe = load_recipe(RECIPE)
    final = define(recipe).text.partition("Stage: final")[2]
    assert not {"gcc", "g++", "cmake", "make"} & set(recipe.base.final_packages)
    assert not [name for name in recipe.base.final_packages if "-dev" in name]
    assert "/mnt" not in final
    copied = re.findall(r"^    (/\S+) /\S+$", final, re.MULTILINE)
    assert copied == ["/opt/release"]


def test_both_nest_images_start_under_the_same_servers() -> None:
    """The settings of the PMIx client are those of the distro recipe, by the same code."""
    ours, theirs = load_recipe(RECIPE), load_recipe(NEST_RECIPE)
    assert ours.parameter_files == theirs.parameter_files
    written = [
        [text for text in lines_of(recipe) if "mca-params.conf" in text]
        for recipe in (ours, theirs)
    ]
    assert written[0] == written[1]
    pinned = {
        name
        for name in theirs.base.final_packages
        if re.match("openmpi|libopenmpi|lib.*pmix", name)
    }
    assert pinned <= set(ours.base.final_packages)


def test_both_nest_images_know_the_same_models() -> None:
    models = (NEST_RECIPE / "modelset").read_text(encoding="utf-8").split()
    (nest,) = (
        node for node in stack_of(load_recipe(RECIPE)).lock.nodes.values() if node.name == "nest"
    )
    assert sorted(nest.parameters["models"]) == sorted(models)


def test_an_environment_that_is_not_the_locks_is_drift(checkout: Path) -> None:
    path = checkout / RELEASE / "spack.yaml"
    path.write_text(path.read_text().replace("py-mpi4py@4.1.1", "py-mpi4py@4.1.0"))
    with pytest.raises(LockDrift, match="environment has changed") as caught:
        load_recipe(checkout / "recipes" / "nest-spack")
    assert caught.value.exit_code == 5


def test_an_overlay_that_is_not_the_locks_is_drift(checkout: Path) -> None:
    path = checkout / "spack-envs/repo/spack_repo/esd/packages/nest/package.py"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(LockDrift, match="overlay has changed"):
        load_recipe(checkout / "recipes" / "nest-spack")


def test_an_unknown_release_shows_the_nearest(checkout: Path) -> None:
    path = spoilt(checkout, lambda document: spack(document).update(release="nest-debain"))
    with pytest.raises(UsageFault, match="nest-debain") as caught:
        load_recipe(path)
    assert "'nest-debian'" in str(caught.value)


def test_all_that_does_not_fit_the_lock_comes_at_once(checkout: Path) -> None:
    def spoil(document: dict[str, Any]) -> None:
        document["cpu_target"] = "x86-64-v3"
        spack(document)["base"]["suite"] = "trixie"
        spack(document)["externals"]["perl"] = spack(document)["externals"].pop("openmpi")
        spack(document)["packages"]["build"] = []

    with pytest.raises(ConfigurationFault) as caught:
        load_recipe(spoilt(checkout, spoil))
    text = str(caught.value)
    assert "the recipe is for x86-64-v3, its release for x86-64" in text
    assert "the lock was made for debian12, and the base is debian13" in text
    assert "takes openmpi@4.1.4 from outside, and no Debian package is named" in text
    assert "takes no 'perl' from outside" in text
    assert "Spack needs packages to build with" in text


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda document: spack(document).pop("release"), "the key 'release' is missing"),
        (lambda document: spack(document).update(relaese="x"), "did you mean 'release'?"),
        (lambda document: spack(document).update(release="../x"), "a folder of spack-envs"),
    ],
)
def test_a_stack_that_is_written_wrong(checkout: Path, change: Change, part: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        load_recipe(spoilt(checkout, change))
    assert part in str(caught.value)


def test_what_is_compiled_for_more_than_debian_is_no_distro_stack(tmp_path: Path) -> None:
    shutil.copytree(NEST_RECIPE, tmp_path / "nest")
    path = tmp_path / "nest" / "recipe.yaml"
    path.write_text(path.read_text().replace("cpu_target: x86-64 ", "cpu_target: x86-64-v3 "))
    with pytest.raises(ConfigurationFault, match="compiled for x86-64"):
        load_recipe(path)
