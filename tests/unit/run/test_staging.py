"""Stage one's words to the script, and the script's words back."""

from __future__ import annotations

from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.run.staging import (
    Staged,
    read_line,
    stage_one_arguments,
    stage_one_script,
    stored_image,
)
from tests.unit.run.fake_site import MANIFEST, SIF, slurm_site


def test_arguments_are_pinned() -> None:
    ref = ImageRef.parse("oras://h:5000/a/b:1").at(MANIFEST)
    site = slurm_site()
    words = stage_one_arguments(site, ref, SIF, 7, "a-run")
    assert words == [
        site.store, f"oras://h:5000/a/b@{MANIFEST}", SIF.hex, "7", site.apptainer, "a-run",
    ]  # fmt: skip
    assert stored_image("/store", SIF) == f"/store/sha256-{SIF.hex}.sif"


def test_lines() -> None:
    staged, report = Staged(), Silent()
    for line in (
        "a banner of the login shell",
        "imagefactory apptainer apptainer version 1.5.3-1",
        "imagefactory slurm slurm 23.02.1",
        "imagefactory bytes 12 10",
        "imagefactory waiting login1 77",
        "imagefactory takeover login1 77",
        "imagefactory altered /store/x.sif",
        "imagefactory pulled /store/x.sif",
        "imagefactory image /store/x.sif sha256:00",
        "imagefactory bytes",
        "imagefactory a-later-word 1 2",
    ):
        read_line(line, staged, report)
    assert (staged.image, staged.sif) == ("/store/x.sif", "sha256:00")
    assert (staged.apptainer, staged.slurm) == ("1.5.3-1", "23.02.1")
    assert staged.downloaded
    assert len(report.warnings) == 2


def test_the_script_is_shipped() -> None:
    assert stage_one_script().startswith("#!/bin/sh\n")
