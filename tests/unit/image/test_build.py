"""A build happens once for the same inputs, says why it happens, and leaves whole files or none."""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, ToolFailed, VerdictAgainst
from imagefactory.base.files import digest_of, digest_of_text
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Silent
from imagefactory.image import build, plan_build, rebuild
from imagefactory.image.record import record_path
from tests.unit.image.conftest import SIF_HEAD, WHEEL, FakeRunner, MakeRecipe

pytestmark = pytest.mark.usefixtures("machine")
REPORT = Silent()


def sifs() -> list[Path]:
    return sorted(ordinary_cache().rglob("*.sif"))


def test_a_build_leaves_the_sif_and_its_record(make_recipe: MakeRecipe, runner: FakeRunner) -> None:
    record = build(plan_build(make_recipe(), REPORT), REPORT)
    assert record.sif.read_bytes() == runner.content
    assert record.digest == str(digest_of(record.sif))
    assert record.size == len(runner.content)
    assert Path(record.log).is_file()
    assert sifs() == [record.sif], "nothing else is left"


def test_the_build_is_reproducible_and_stays_off_the_small_places(
    make_recipe: MakeRecipe, runner: FakeRunner
) -> None:
    build(plan_build(make_recipe(), REPORT), REPORT)
    words = next(words for words in runner.ran if words[1:2] == ["build"])
    environment = runner.environments[runner.ran.index(words)]
    assert "--reproducible" in words
    assert environment["SOURCE_DATE_EPOCH"] == "1767225600"
    binds = [after for word, after in pairwise(words) if word == "--bind"]
    assert {bind.partition(":")[2] for bind in binds} == {"/tmp", "/var/tmp"}
    assert all(bind.startswith(str(ordinary_cache())) for bind in binds)
    cache = str(ordinary_cache())
    assert all(environment[f"APPTAINER_{name}DIR"].startswith(cache) for name in ("TMP", "CACHE"))


def test_nothing_changed_is_recognised_and_said(
    make_recipe: MakeRecipe, runner: FakeRunner
) -> None:
    first = build(plan_build(make_recipe(), REPORT), REPORT)
    plan = plan_build(make_recipe(), REPORT)
    assert plan.current == first
    assert plan.lines() == [f"nothing to do: {plan.reason}"]
    assert first.digest[:19] in plan.reason
    assert build(plan, REPORT) == first
    assert runner.builds == 1


def test_a_touched_image_is_checked_by_its_bytes(make_recipe: MakeRecipe) -> None:
    record = build(plan_build(make_recipe(), REPORT), REPORT)
    os.utime(record.sif, (1, 1))
    assert plan_build(make_recipe(), REPORT).current is not None


def test_an_altered_image_is_built_again(make_recipe: MakeRecipe, runner: FakeRunner) -> None:
    record = build(plan_build(make_recipe(), REPORT), REPORT)
    record.sif.write_bytes(SIF_HEAD + b"other")
    plan = plan_build(make_recipe(), REPORT)
    assert plan.current is None
    assert "altered" in plan.reason
    assert build(plan, REPORT).digest == record.digest
    assert runner.builds == 2


def test_the_first_build_says_that_it_is_the_first(make_recipe: MakeRecipe) -> None:
    assert "never built" in plan_build(make_recipe(), REPORT).reason


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"version": "1.1"}, "definition"),
        ({"source_date_epoch": 1}, "base date"),
        ({"environment": {"A": "1"}}, "definition"),
    ],
)
def test_what_changed_is_named(
    make_recipe: MakeRecipe, change: dict[str, object], part: str
) -> None:
    build(plan_build(make_recipe(), REPORT), REPORT)
    plan = plan_build(make_recipe(**change), REPORT)
    assert plan.current is None
    assert part in plan.reason


def test_a_new_tool_is_a_change(make_recipe: MakeRecipe, machine: dict[str, str]) -> None:
    build(plan_build(make_recipe(), REPORT), REPORT)
    machine["mmdebstrap"] = "1.4.0"
    assert "mmdebstrap" in plan_build(make_recipe(), REPORT).reason


def test_a_failed_build_names_the_line_and_the_log_and_leaves_no_image(
    make_recipe: MakeRecipe, runner: FakeRunner
) -> None:
    runner.lines = ["+ apt-get update -y", "E: no network", "FATAL: while running engine"]
    runner.build_fails = True
    plan = plan_build(make_recipe(), REPORT)
    with pytest.raises(ToolFailed) as caught:
        build(plan, REPORT)
    text = str(caught.value)
    number = plan.definition.text.splitlines().index("    apt-get update -y") + 1
    assert f"line {number} of the definition" in text
    assert "apt-get update -y" in text
    assert "FATAL: while running engine" in text
    log = next((ordinary_cache() / "logs").iterdir())
    assert str(log) in text
    assert sifs() == []
    assert list((ordinary_cache() / "building").iterdir()) == []


def test_the_output_is_a_copy_with_a_record_of_its_own(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    output = tmp_path / "out" / "small.sif"
    record = build(plan_build(make_recipe(), REPORT), REPORT, output)
    kept = plan_build(make_recipe(), REPORT).current
    assert kept is not None
    assert record.sif == output
    assert output.read_bytes() == kept.sif.read_bytes()
    assert record.digest == kept.digest
    assert len(list(output.parent.iterdir())) == 2


def test_a_folder_is_no_output(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="folder"):
        build(plan_build(make_recipe(), REPORT), REPORT, tmp_path)


def test_the_plan_tells_every_input(make_recipe: MakeRecipe) -> None:
    plan = plan_build(make_recipe(), REPORT)
    text = "\n".join(plan.lines())
    for name, value in plan.key.items():
        assert f"{name}: {value}" in text
    assert {"definition", "base", "mmdebstrap", "apptainer"} <= set(plan.key)


def test_who_waited_for_another_build_takes_its_image(
    make_recipe: MakeRecipe, runner: FakeRunner
) -> None:
    first, second = (plan_build(make_recipe(), REPORT) for _ in range(2))
    assert build(first, REPORT) == build(second, REPORT)
    assert runner.builds == 1


def test_a_damaged_record_is_no_record(make_recipe: MakeRecipe) -> None:
    record = build(plan_build(make_recipe(), REPORT), REPORT)
    record_path(record.sif).write_text("{", encoding="utf-8")
    plan = plan_build(make_recipe(), REPORT)
    assert plan.current is None
    assert build(plan, REPORT).digest == record.digest


def test_two_builds_that_are_the_same_bytes(make_recipe: MakeRecipe, runner: FakeRunner) -> None:
    plan = plan_build(make_recipe(), REPORT)
    assert rebuild(plan, REPORT).digest == build(plan_build(make_recipe(), REPORT), REPORT).digest
    assert runner.builds == 2
    assert len(sifs()) == 1


def test_two_builds_that_differ_are_a_verdict_and_both_are_kept(
    make_recipe: MakeRecipe, runner: FakeRunner
) -> None:
    build(plan_build(make_recipe(), REPORT), REPORT)
    runner.content = SIF_HEAD + b"with the time of day in it"
    with pytest.raises(VerdictAgainst, match="differ"):
        rebuild(plan_build(make_recipe(), REPORT), REPORT)
    assert len(sifs()) == 2


def test_what_a_killed_build_left_is_cleared_by_the_next(make_recipe: MakeRecipe) -> None:
    left = ordinary_cache() / "building" / "small-999999999"
    left.mkdir(parents=True)
    (left / "image.def").touch()
    build(plan_build(make_recipe(), REPORT), REPORT)
    assert not left.exists()


def test_the_record_names_what_the_image_stands_on(
    make_recipe: MakeRecipe, runner: FakeRunner
) -> None:
    runner.outputs = {"cat": '{"debian": {"libpmix2": "4.2.2-1+deb12u1"}}'}
    record = build(plan_build(make_recipe(), REPORT), REPORT)
    assert record.debian == {"libpmix2": "4.2.2-1+deb12u1"}
    assert record.root == str(digest_of_text("root"))
    assert record.sources == {"thing==1.0": str(WHEEL.digest)}
