"""What pytest wrote becomes a verdict; a test that was not run is not called passed."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, ToolFailed
from imagefactory.base.report import Silent
from imagefactory.image import Apptainer, test_image
from imagefactory.image.testing import _read_result
from tests.unit.image.conftest import MakeRecipe

check_image = test_image
del test_image  # pytest would take it for a test of ours
SUITE = '<testsuites><testsuite name="pytest">{}</testsuite></testsuites>'
PASSED = '<testcase classname="t" name="test_good"/>'
FAILED = '<testcase classname="t" name="test_bad"><failure message="no">x</failure></testcase>'
BROKEN = '<testcase classname="t" name="test_broken"><error message="no">x</error></testcase>'
SKIPPED = '<testcase classname="t" name="test_later"><skipped message="no">x</skipped></testcase>'


def result_of(tmp_path: Path, cases: str) -> Path:
    path = tmp_path / "result.xml"
    path.write_text(SUITE.format(cases), encoding="utf-8")
    return path


def test_each_state_is_told_apart(tmp_path: Path) -> None:
    found = _read_result(result_of(tmp_path, PASSED + FAILED + BROKEN + SKIPPED), Path("x"), "")
    assert found.passed == ("test_good",)
    assert found.failed == ("test_bad", "test_broken")
    assert found.skipped == ("test_later",)
    assert found.lines()[-1] == "1 passed, 2 failed, 1 skipped"


def test_no_test_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="no test"):
        _read_result(result_of(tmp_path, ""), Path("x.sif"), "")


def test_a_file_with_only_skipped_tests_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed):
        _read_result(result_of(tmp_path, SKIPPED), Path("x.sif"), "")


def test_pytest_that_did_not_start_is_an_error_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed) as caught:
        _read_result(tmp_path / "none.xml", Path("x.sif"), "ImportError: testinfra")
    assert "ImportError: testinfra" in str(caught.value)


def test_a_recipe_without_tests_is_refused(make_recipe: MakeRecipe, apptainer: Apptainer) -> None:
    with pytest.raises(ConfigurationFault, match="no tests"):
        check_image(Path("x.sif"), make_recipe(tests=None), apptainer, Silent())
