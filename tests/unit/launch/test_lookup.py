"""Where an image's facts come from, and what happens where they cannot be had."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, ServiceAway, ToolFailed
from imagefactory.base.files import cache_folder
from imagefactory.base.report import Silent
from imagefactory.base.values import Digest, ImageRef
from imagefactory.launch import ImageSide, lookup
from imagefactory.launch.lookup import (
    find_image_side,
    keep,
    known_image,
    push_with_facts,
    text_of_side,
)
from imagefactory.registry import Artifact
from tests.unit.launch.samples import NEST
from tests.unit.launch.test_image_facts import partition, sif

DIGEST = Digest("sha256:" + "ab" * 32)
REF = ImageRef.parse("oras://registry.example.org/demo/nest:3.10")


class Heard(Silent):
    """A report that keeps its warnings."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Registry:
    """Facts by digest, as RegistryFacts has them."""

    kept: dict[str, str]
    away = False

    def __init__(self, image: ImageRef | None, _report: object) -> None:
        assert image is not None

    def get(self, sif: Digest) -> str | None:
        return self.kept.get(str(sif))

    def put(self, sif: Digest, text: str) -> None:
        if self.away:
            raise ServiceAway("away")
        self.kept[str(sif)] = text


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> type[Registry]:
    monkeypatch.setattr(Registry, "kept", {}, raising=False)
    monkeypatch.setattr(Registry, "away", False)
    monkeypatch.setattr(lookup, "RegistryFacts", Registry)
    return Registry


def broken(*_: object) -> ImageSide:
    raise ToolFailed("the program 'unsquashfs' is not installed")


def test_from_the_registry_once(registry: type[Registry]) -> None:
    registry.kept[str(DIGEST)] = text_of_side(NEST)
    assert known_image(DIGEST, 7, Silent(), reference=REF).size == 7
    registry.kept.clear()
    assert known_image(DIGEST, 7, Silent(), reference=REF).mpi == "Open MPI", "from the cache"


def test_nobody_has_read_it() -> None:
    assert known_image(DIGEST, 7, Silent(), reference=REF) == ImageSide(size=7)
    assert known_image(DIGEST, 7, Silent()) == ImageSide(size=7)


@pytest.mark.parametrize("text", ["", "<html>log in</html>", '{"schema": 1, "facts": {"mpi": []}}'])
def test_damaged_facts_of_a_registry_are_told_and_not_used(
    text: str, registry: type[Registry]
) -> None:
    registry.kept[str(DIGEST)] = text
    report = Heard()
    assert known_image(DIGEST, 7, report, reference=REF) == ImageSide(size=7)
    assert "not used" in report.warnings[0]


def test_a_cache_of_another_version_of_us_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(DIGEST, NEST)
    path = next(iter(cache_folder().glob("image-facts/*")))
    path.write_text('{"schema": 0, "facts": {}}', encoding="utf-8")
    monkeypatch.setattr(lookup, "read_sif", lambda *_: NEST)
    assert known_image(DIGEST, 7, Silent(), sif=Path("x.sif")) == NEST


def test_without_unsquashfs_facts_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "read_sif", broken)
    report = Heard()
    assert known_image(DIGEST, 7, report, sif=Path("x.sif")) == ImageSide(size=7)
    assert "unsquashfs" in report.warnings[0]


@pytest.mark.parametrize("trouble", ["", "unread", "away"])
def test_a_push_never_fails_for_its_facts(
    trouble: str, registry: type[Registry], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    artifact = Artifact(REF.at(DIGEST), DIGEST, DIGEST, 7)
    monkeypatch.setattr(lookup, "push", lambda *_: artifact)
    monkeypatch.setattr(lookup, "read_sif", broken if trouble == "unread" else lambda *_: NEST)
    monkeypatch.setattr(registry, "away", trouble == "away")
    report = Heard()
    assert push_with_facts(tmp_path / "x.sif", REF, report) == artifact
    assert bool(report.warnings) is bool(trouble)
    assert bool(registry.kept) is not bool(trouble)


def test_a_file_that_is_no_image_has_no_facts(tmp_path: Path) -> None:
    path = tmp_path / "x.sif"
    path.write_bytes(sif(partition(system=4)))
    with pytest.raises(ConfigurationFault, match="encrypted"):
        find_image_side(str(path), Silent())
