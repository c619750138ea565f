"""The recipe's own tests, run by pytest inside the SIF; what was not run is not called passed."""

from __future__ import annotations

import os
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import ConfigurationFault, ToolFailed, VerdictAgainst
from imagefactory.base.process import Runner
from imagefactory.base.report import Report
from imagefactory.image.apptainer import Apptainer
from imagefactory.image.reach import reachable
from imagefactory.recipe import Recipe

TEST_SECONDS = 1800
PLUGIN = "imagefactory.image.connection"
VARIABLE = "IMAGEFACTORY_TESTED_SIF"
CONNECTION = "apptainer"


@dataclass(frozen=True)
class TestReport:
    """Which tests of the recipe passed."""

    __test__ = False  # pytest must not take it for a test class

    sif: Path
    passed: tuple[str, ...]
    failed: tuple[str, ...]
    skipped: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people."""
        states = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
        lines = [f"{state:8} {name}" for state, names in states.items() for name in names]
        counts = ", ".join(f"{len(names)} {state}" for state, names in states.items())
        return [*lines, counts]


def test_image(sif: Path, recipe: Recipe, apptainer: Apptainer, report: Report) -> TestReport:
    """Run the recipe's tests inside the SIF.

    Raises VerdictAgainst if one fails, ToolFailed if none was run.
    """
    if recipe.tests is None:
        raise ConfigurationFault(
            "the recipe has no tests", where=str(recipe.folder), fix="add: tests: FILE"
        )
    with (
        report.step(f"test {sif.name}: {recipe.tests}"),
        reachable(sif, apptainer) as path,
        tempfile.TemporaryDirectory() as scratch,
    ):
        result = Path(scratch) / "result.xml"
        folder = recipe.folder.absolute()  # pytest works in the scratch folder
        done = Runner(report).run(
            sys.executable, "-m", "pytest", "-q", "-p", PLUGIN, f"--hosts={CONNECTION}://image",
            "-p", "no:cacheprovider", "--rootdir", folder, "-c", os.devnull,
            "--junit-xml", result, folder / recipe.tests,
            timeout=TEST_SECONDS, extra={VARIABLE: str(path)}, cwd=Path(scratch), check=False,
        )  # fmt: skip
        found = _read_result(result, sif, done.output + done.errors)
    if found.failed:
        names = ", ".join(found.failed)
        raise VerdictAgainst(
            f"{len(found.failed)} tests of the image failed: {names}",
            where=str(sif),
            detail=done.output,
        )
    return found


def _read_result(result: Path, sif: Path, output: str) -> TestReport:
    if not result.is_file():
        raise ToolFailed("pytest did not run the tests", where=str(sif), detail=output)
    # Written by our own pytest a moment ago; no foreign XML.
    cases = list(ElementTree.parse(result).getroot().iter("testcase"))  # noqa: S314
    if not cases:
        raise ToolFailed("there is no test in the recipe's test file", where=str(sif))
    states: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for case in cases:
        kinds = {child.tag for child in case}
        state = "failed" if kinds & {"failure", "error"} else "passed"
        states["skipped" if "skipped" in kinds else state].append(_name(case))
    if not states["passed"] and not states["failed"]:
        raise ToolFailed("all tests of the recipe were skipped", where=str(sif), detail=output)
    return TestReport(sif, *(tuple(states[state]) for state in ("passed", "failed", "skipped")))


def _name(case: ElementTree.Element) -> str:
    """The test's name without the connection, which is the same for all."""
    return str(case.get("name")).replace(f"[{CONNECTION}://image]", "")
