"""An image says what it holds; what it does not say is unknown, never guessed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.image import Apptainer, inspect
from tests.conftest import Golden
from tests.unit.image.conftest import SIF_HEAD, FakeRunner

pytestmark = pytest.mark.usefixtures("machine")
PREFIX = "org.ebrains.imagefactory"
FACTS = {
    "mpi": "Open MPI v4.1.4",
    "pmix": "4.2.2rc2",
    "glibc": "2.36",
    "python": "3.11.2",
    "nest": "3.10.0",
    "debian": {"libpmix2": "4.2.2-1+deb12u1"},
    "python_packages": {"pynn": "0.13.0"},
}


def labels(**found: str) -> str:
    named = {f"{PREFIX}.{name.replace('_', '-')}": value for name, value in found.items()}
    return json.dumps({"data": {"attributes": {"labels": named}}, "type": "container"})


@pytest.fixture
def sif(tmp_path: Path) -> Path:
    path = tmp_path / "nest.sif"
    path.write_bytes(SIF_HEAD + b"content")
    return path


def test_our_own_image(sif: Path, apptainer: Apptainer, runner: FakeRunner, golden: Golden) -> None:
    runner.outputs = {"inspect": labels(cpu_target="x86-64"), "cat": json.dumps(FACTS)}
    found = inspect(sif, apptainer)
    assert found.debian["libpmix2"] == "4.2.2-1+deb12u1"
    assert found.size == len(SIF_HEAD) + 7
    golden.check("image/inspect.txt", "\n".join(found.lines()) + "\n")


def test_a_foreign_image_is_asked_and_the_rest_is_unknown(
    sif: Path, apptainer: Apptainer, runner: FakeRunner
) -> None:
    answers = "mpi \nglibc 2.31\npython 3.8.10\npmix \nnest \n"
    runner.outputs = {"inspect": labels(), "/bin/sh": answers}
    found = inspect(sif, apptainer)
    assert (found.glibc, found.python) == ("2.31", "3.8.10")
    assert (found.mpi, found.pmix, found.nest, found.cpu_target) == ("unknown",) * 4


@pytest.mark.parametrize("answer", ["", "no json", "[]", '{"data": {}}', '{"data": null}'])
def test_labels_that_cannot_be_read_are_no_labels(
    sif: Path, apptainer: Apptainer, runner: FakeRunner, answer: str
) -> None:
    runner.outputs = {"inspect": answer}
    assert inspect(sif, apptainer).labels == {}


def test_an_image_that_is_damaged_behind_its_labels_is_not_called_unknown(
    sif: Path, apptainer: Apptainer, runner: FakeRunner
) -> None:
    runner.outputs, runner.exec_error = {"inspect": labels()}, "FATAL: input/output error"
    with pytest.raises(ToolFailed, match="damaged"):
        inspect(sif, apptainer)
    runner.exec_error = "FATAL:   stat /bin/sh: no such file or directory"
    assert inspect(sif, apptainer).glibc == "unknown"


def test_a_damaged_image_is_one_clear_error(
    sif: Path, apptainer: Apptainer, runner: FakeRunner
) -> None:
    runner.fails = True
    with pytest.raises(ToolFailed) as caught:
        inspect(sif, apptainer)
    assert str(sif) in str(caught.value)
    assert "fix:" in str(caught.value)
