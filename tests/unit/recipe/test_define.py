"""A definition: read as a whole text, the same every time, with HPCCM's traps shut."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.recipe import define, load_recipe
from imagefactory.recipe.hpccm_door import KEYWORDS, hpccm_module, hpccm_settings, make, stage_text
from tests.conftest import Golden
from tests.unit.recipe.conftest import NEST_RECIPE, SDIST, WHEEL, WriteRecipe


def hpccm_globals() -> dict[str, Any]:
    config = hpccm_module("hpccm.config")
    return {name: value for name, value in vars(config).items() if name.startswith("g_")}


def trixie(document: dict[str, Any]) -> None:
    document["stack"]["distro"]["base"]["suite"] = "trixie"
    document["name"] = "other"


def test_the_definition_of_nest(golden: Golden) -> None:
    golden.check("recipe/nest.def", define(load_recipe(NEST_RECIPE)).text)


def test_the_definition_of_the_small_recipe(golden: Golden, write_recipe: WriteRecipe) -> None:
    golden.check("recipe/small.def", define(load_recipe(write_recipe())).text)


def test_two_definitions_in_one_process_in_both_orders(write_recipe: WriteRecipe) -> None:
    first = load_recipe(write_recipe())
    second = load_recipe(write_recipe(trixie, folder="second"))
    forwards = [define(first).text, define(second).text]
    backwards = [define(second).text, define(first).text][::-1]
    assert forwards == backwards
    assert forwards[0] != forwards[1]


def test_what_hpccm_was_set_to_does_not_matter_and_is_left_alone(
    write_recipe: WriteRecipe,
) -> None:
    config = hpccm_module("hpccm.config")
    recipe = load_recipe(write_recipe())
    clean = define(recipe).text
    before = hpccm_globals()
    try:
        config.set_container_format("docker")
        config.set_singularity_version("2.6")
        config.set_linux_distro("centos8")
        config.set_working_directory("/elsewhere")
        config.set_cpu_target("skylake_avx512")
        spoiled = hpccm_globals()
        assert define(recipe).text == clean
        assert hpccm_globals() == spoiled
    finally:
        vars(config).update(before)


def test_the_globals_are_put_back_after_an_error() -> None:
    before = hpccm_globals()
    with pytest.raises(ZeroDivisionError), hpccm_settings("bookworm"):
        _ = 1 // 0
    assert hpccm_globals() == before


def test_the_same_recipe_elsewhere_gives_the_same_text(write_recipe: WriteRecipe) -> None:
    here, there = write_recipe(), write_recipe(folder="another")
    assert define(load_recipe(here)).text == define(load_recipe(there)).text
    assert str(here) not in define(load_recipe(here)).text


@pytest.mark.parametrize("change", ["version", "epoch", "package", "option"])
def test_what_changes_the_recipe_changes_the_digest(write_recipe: WriteRecipe, change: str) -> None:
    def edit(document: dict[str, Any]) -> None:
        distro = document["stack"]["distro"]
        if change == "version":
            document["version"] = "1.1"
        elif change == "epoch":
            document["source_date_epoch"] += 1
        elif change == "package":
            distro["packages"]["final"][0] = "openmpi-bin=4.1.4-3+b2"
        else:
            distro["sources"][0]["cmake"]["with-mpi"] = "OFF"

    before = define(load_recipe(write_recipe()))
    assert define(load_recipe(write_recipe(edit, folder="changed"))).digest != before.digest


@pytest.mark.parametrize("word", ["version", "ospackage", "from", "_mkdir", "_exclude_from"])
def test_a_keyword_that_hpccm_would_ignore_is_an_error(word: str) -> None:
    for kind in KEYWORDS:
        with pytest.raises(TypeError, match=f"{kind} does not read '{word}'"):
            make(kind, **{word: "x"})


def test_every_keyword_of_ours_is_read_by_hpccm() -> None:
    """If HPCCM renames one, its `kwargs.get` no longer asks for it, and this fails."""
    import inspect

    primitives, blocks = (
        hpccm_module(f"hpccm.{name}") for name in ("primitives", "building_blocks")
    )
    for kind, keywords in KEYWORDS.items():
        owner = getattr(primitives, kind, None) or getattr(blocks, kind)
        source = Path(inspect.getfile(owner)).read_text(encoding="utf-8")
        read = set(re.findall(r"kwargs\.get\(\s*'(\w+)'", source))
        assert keywords <= read, kind


def test_nothing_runs_on_the_host() -> None:
    with hpccm_settings("bookworm"), pytest.raises((TypeError, RuntimeError)):
        stage_text([make("copy", files={"a": "/tmp/a"})])


def test_nothing_is_downloaded_but_by_apt(write_recipe: WriteRecipe) -> None:
    for folder in (write_recipe(), NEST_RECIPE):
        text = define(load_recipe(folder)).text
        assert not re.search(r"https?://|\bwget\b|\bcurl\b|\bgit clone\b", text)
        assert all("--no-index" in line for line in text.splitlines() if "pip install" in line)


def test_every_source_is_checked_before_anything_is_made_of_it(
    write_recipe: WriteRecipe,
) -> None:
    lines = define(load_recipe(write_recipe())).text.splitlines()

    def first(*parts: str) -> int:
        return next(n for n, line in enumerate(lines) if all(part in line for part in parts))

    assert first(WHEEL, "sha256sum") < first("pip install")
    assert first(SDIST, "sha256sum") < first("tar -x")


def test_each_final_stage_ends_by_removing_what_differs_between_builds() -> None:
    """facts/building-blocks.md 1: logs, caches and lists are all that differs."""
    text = define(load_recipe(NEST_RECIPE)).text
    commands = re.findall(r"^    (?!export|cd )(.*)$", text.split("%environment")[0], re.MULTILINE)
    assert commands[-1].startswith("rm -rf /var/log/* /var/cache/* /var/lib/apt/lists/*")


def test_no_destination_of_a_copy_is_there_already(write_recipe: WriteRecipe) -> None:
    """Apptainer copies as `cp -r` does: onto a folder that exists, it nests (lib/lib)."""
    for folder in (write_recipe(), NEST_RECIPE):
        text = define(load_recipe(folder)).text
        copied = re.search(r"%files from build\n((?:    .*\n)+)", text)
        assert copied
        targets = [line.split()[1] for line in copied[1].splitlines()]
        assert not {"/usr", "/usr/local", "/usr/local/lib", "/opt"} & set(targets)


@pytest.mark.parametrize(
    "command",
    ["rm -rf /tmp/*", "cd /var/tmp", "cp x ~/x", 'touch "$HOME/x"', "rm -r ${TMPDIR}", "ls /root"],
)
def test_a_command_that_reaches_the_host_is_refused(
    write_recipe: WriteRecipe, command: str
) -> None:
    """Apptainer mounts the host's /tmp into a build: `rm -rf /tmp/*` there emptied it."""

    def spoil(document: dict[str, Any]) -> None:
        document["stack"]["distro"]["sources"][0]["prepare"] = [command]

    with pytest.raises(ConfigurationFault, match="would reach the host's"):
        define(load_recipe(write_recipe(spoil)))


@pytest.mark.parametrize("command", ["rm -rf ./tmp", "ls /opt/build/tmp", "make /tmpfs", "a~b"])
def test_a_command_that_stays_in_the_image_is_taken(
    write_recipe: WriteRecipe, command: str
) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["stack"]["distro"]["sources"][0]["prepare"] = [command]

    assert command in define(load_recipe(write_recipe(edit))).text


def test_parameters_are_added_to_files_that_must_be_there(write_recipe: WriteRecipe) -> None:
    def edit(document: dict[str, Any]) -> None:
        document["parameter_files"] = {"/etc/x.conf": {"gds": "hash", "odd": "it's"}}

    text = define(load_recipe(write_recipe(edit))).text
    check, add = "test -f /etc/x.conf", "printf '%s\\n' '' 'gds = hash'"
    assert text.index(check) < text.index(add)
    assert ">> /etc/x.conf" in text


def test_no_variable_is_said_to_give_way_to_the_hosts() -> None:
    """Apptainer 1.5.3 runs %environment without the host's: `${X:-y}` is always y (measured)."""
    assert ":-" not in define(load_recipe(NEST_RECIPE)).text.partition("%environment")[2]
