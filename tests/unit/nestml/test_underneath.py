"""Where the file of an image is found that is known by its digest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory import registry
from imagefactory.base.errors import UsageFault
from imagefactory.base.files import digest_of
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Report, Silent
from imagefactory.base.values import ImageRef
from imagefactory.nestml import find_sif
from tests.unit.nestml.conftest import IMAGE

REPORT = Silent()


def write(place: str, content: bytes = b"image") -> Path:
    path = ordinary_cache() / place
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_one_that_was_built_here() -> None:
    write("images/other/0/other.sif")
    built = write("images/nest/1/nest.sif")
    record = {"digest": str(digest_of(built))}
    built.with_suffix(".record.json").write_text(json.dumps(record))
    assert find_sif(digest_of(built), REPORT) == built


def test_one_that_a_run_here_has_left() -> None:
    digest = digest_of(write("images/other/0/other.sif"))
    stored = write(f"store/sha256-{digest.hex}.sif")
    assert find_sif(digest, REPORT) == stored


def test_one_that_is_damaged_is_pulled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ref = ImageRef.parse("oras://registry.example.org/demo/nest:3.10").at(IMAGE)
    write(f"store/sha256-{IMAGE.hex}.sif", b"damaged")
    asked: list[ImageRef] = []

    def pull(ref: ImageRef, to: Path, _report: Report) -> None:
        asked.append(ref)
        to.write_bytes(b"pulled")

    monkeypatch.setattr(registry, "pull", pull)
    assert find_sif(IMAGE, REPORT, ref).read_bytes() == b"pulled"
    assert asked == [ref]


def test_none() -> None:
    with pytest.raises(UsageFault, match="not on this machine"):
        find_sif(IMAGE, REPORT)
