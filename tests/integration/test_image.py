"""Images for real: built by Apptainer as the ordinary user, tested inside, described, refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, ToolFailed, VerdictAgainst
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Silent
from imagefactory.image import Apptainer, build, find_apptainer, inspect, plan_build, rebuild
from imagefactory.image import test_image as check_image
from imagefactory.recipe import Recipe, load_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "nest"
SMALL = """\
schema: 1
name: small-for-tests
version: "1"
source_date_epoch: 1767225600
cpu_target: x86-64
stack:
  distro:
    base: {distribution: debian, suite: bookworm}
    packages: {final: [%s]}
tests: test_image.py
"""


def small_recipe(folder: Path, packages: str = "python3", tests: str = "") -> Recipe:
    folder.mkdir(exist_ok=True)
    (folder / "recipe.yaml").write_text(SMALL % packages, encoding="utf-8")
    (folder / "test_image.py").write_text(tests, encoding="utf-8")
    return load_recipe(folder)


def with_tests(folder: Path, text: str) -> Recipe:
    """The nest recipe, with other tests."""
    (folder / "other.py").write_text(text, encoding="utf-8")
    return replace(load_recipe(RECIPE), folder=folder, tests="other.py")


def test_nothing_changed_is_nothing_to_do(nest_sif: Path, report: Silent) -> None:
    plan = plan_build(load_recipe(RECIPE), report)
    assert plan.current is not None
    assert plan.current.sif == nest_sif
    assert plan.current.debian["libpmix2"].startswith("4.2.2")
    assert build(plan, report) == plan.current


def test_the_recipes_own_tests_pass(nest_sif: Path, apptainer: Apptainer, report: Silent) -> None:
    found = check_image(nest_sif, load_recipe(RECIPE), apptainer, report)
    assert "test_spikes_are_delivered_on_two_ranks" in found.passed
    assert (found.failed, found.skipped) == ((), ())


def test_tests_run_inside_the_image_and_not_here(
    nest_sif: Path, apptainer: Apptainer, report: Silent, tmp_path: Path
) -> None:
    recipe = with_tests(
        tmp_path,
        "def test_inside(host):\n"
        "    assert host.file('/opt/imagefactory/facts.json').exists\n"
        "    assert host.run('echo $APPTAINER_CONTAINER').stdout.strip().endswith('.sif')\n"
        "    assert host.run('id -u').stdout.strip() != '0'\n"
        "    assert host.package('libpmix2').is_installed\n",
    )
    assert check_image(nest_sif, recipe, apptainer, report).passed == ("test_inside",)


@pytest.mark.parametrize(
    ("text", "error", "part"),
    [
        ("def test_no(host):\n    assert host.run('false').rc == 0\n", VerdictAgainst, "test_no"),
        ("", ToolFailed, "no test"),
        ("def test_x(host:\n", VerdictAgainst, "SyntaxError"),
    ],
    ids=["fails", "empty", "broken"],
)
def test_what_does_not_pass_is_no_pass(
    nest_sif: Path,
    apptainer: Apptainer,
    report: Silent,
    tmp_path: Path,
    text: str,
    error: type[Exception],
    part: str,
) -> None:
    with pytest.raises(error) as caught:
        check_image(nest_sif, with_tests(tmp_path, text), apptainer, report)
    assert part in str(caught.value)


def test_the_image_says_what_it_holds(nest_sif: Path, apptainer: Apptainer) -> None:
    found = inspect(nest_sif, apptainer)
    assert (found.mpi, found.glibc, found.nest) == ("Open MPI v4.1.4", "2.36", "3.10.0")
    assert found.pmix.startswith("4.2.2")
    assert found.cpu_target == "x86-64"
    assert found.labels["org.ebrains.imagefactory.pmix"] == found.pmix


def test_a_setting_of_the_site_wins(nest_sif: Path, apptainer: Apptainer) -> None:
    def asked(**extra: str) -> str:
        words = ["mpirun", "-n", "1", "printenv", "PMIX_SECURITY_MODE"]
        return apptainer.execute(nest_sif, words, extra=extra).output.strip()

    assert asked() == "native"
    assert asked(PMIX_MCA_psec="none") == "none"


@pytest.mark.parametrize("kept", [1_000_000, 60_000_000], ids=["head", "half"])
def test_a_cut_image_is_one_clear_error(
    nest_sif: Path, apptainer: Apptainer, tmp_path: Path, kept: int
) -> None:
    cut = tmp_path / "cut.sif"
    with nest_sif.open("rb") as stream:
        cut.write_bytes(stream.read(kept))
    with pytest.raises(ToolFailed) as caught:
        inspect(cut, apptainer)
    assert "the image is cut" in str(caught.value)
    assert len(caught.value.faults) == 1


def test_a_damaged_image_is_one_clear_error(
    nest_sif: Path, apptainer: Apptainer, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.sif"
    content = bytearray(nest_sif.read_bytes())
    content[1_000_000:-9_000_000] = bytes(len(content) - 10_000_000)
    damaged.write_bytes(content)
    with pytest.raises(ToolFailed, match="damaged"):
        inspect(damaged, apptainer)


def test_what_is_no_image_is_refused(apptainer: Apptainer, tmp_path: Path) -> None:
    text = tmp_path / "text.sif"
    text.write_text("no image\n" * 100, encoding="utf-8")
    with pytest.raises(ConfigurationFault, match="no SIF"):
        inspect(text, apptainer)


def test_two_builds_from_nothing_are_the_same_bytes(report: Silent, tmp_path: Path) -> None:
    """Raises VerdictAgainst if not. The nest image takes minutes more: `image build --verify`."""
    recipe = small_recipe(tmp_path / "small")
    assert rebuild(plan_build(recipe, report), report).digest.startswith("sha256:")


def test_a_failed_build_names_its_line_and_leaves_no_image(report: Silent, tmp_path: Path) -> None:
    recipe = small_recipe(tmp_path / "small", "no-such-package=1.0")
    plan = plan_build(recipe, report)
    with pytest.raises(ToolFailed) as caught:
        build(plan, report)
    text = str(caught.value)
    assert "apt-get install" in text
    assert "no-such-package" in text
    log = Path(text.partition("read the log: ")[2].splitlines()[0])
    assert "no-such-package" in log.read_text(encoding="utf-8")
    assert not plan.sif.exists()
    assert not list((ordinary_cache() / "building").glob("small-for-tests-*"))


def test_an_older_apptainer_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, report: Silent
) -> None:
    old = tmp_path / "apptainer"
    old.write_text("#!/bin/sh\necho apptainer version 1.4.5\n", encoding="utf-8")
    old.chmod(0o755)
    monkeypatch.setenv("IMAGEFACTORY_APPTAINER", str(old))
    with pytest.raises(ConfigurationFault, match=r"no Apptainer >= 1\.5\.0"):
        find_apptainer(report)
