"""Releases: their folders read, with every fault at once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from imagefactory.base.errors import ConfigurationFault, UsageFault
from imagefactory.release.releases import (
    list_releases,
    load_release,
    overlay_digest,
    read_release,
)


def test_a_release_is_read(release_folder: Path) -> None:
    release = read_release(release_folder)
    assert (release.name, release.target) == ("esd-99.01", "x86_64_v3")
    assert release.spack.commit == "2" * 40
    assert release.pins[1].version is None
    assert release.overlay.resolve() == release_folder.parent / "repo"


def test_the_nearest_name(release_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(release_folder.parents[1])
    assert [release.name for release in list_releases()] == ["esd-99.01"]
    assert load_release("esd-99.01").folder == Path("spack-envs/esd-99.01")
    assert load_release(str(release_folder)).name == "esd-99.01"
    with pytest.raises(UsageFault, match=r"did you mean 'esd-99\.01'"):
        load_release("esd-99.10")


def test_all_faults_at_once(release_folder: Path) -> None:
    path = release_folder / "sources.yaml"
    document = yaml.safe_load(path.read_text())
    document["spack"]["commit"] = "develop"
    document["pins"][0]["evidence"] = "sure"
    del document["target"]
    document["colour"] = "blue"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigurationFault) as caught:
        read_release(release_folder)
    text = str(caught.value)
    assert len(caught.value.faults) == 4
    for words in ("not a branch", "'sure' is not allowed", "'target' is missing", "'colour'"):
        assert words in text


def test_what_does_not_go_together(release_folder: Path) -> None:
    path = release_folder / "sources.yaml"
    document = yaml.safe_load(path.read_text())
    document["release"] = "other"
    document["spack"]["version"] = "0.23.1"
    document["overlay"]["folder"] = "../nowhere"
    document["pins"] = [
        {"package": "nest", "evidence": "public", "source": "x"},
        {"package": "nest", "version": "3", "evidence": "unknown", "source": "x"},
    ]
    path.write_text(yaml.safe_dump(document))
    (release_folder / "spack.yaml").unlink()
    with pytest.raises(ConfigurationFault) as caught:
        read_release(release_folder)
    assert len(caught.value.faults) == 6


def test_the_overlay_digest_is_that_of_names_and_bytes(
    release_folder: Path, tmp_path: Path
) -> None:
    repository = release_folder.parent / "repo"
    first = overlay_digest(repository)
    (repository / "__pycache__").mkdir()
    (repository / "__pycache__" / "x.pyc").write_bytes(b"x")
    (repository / ".swp").write_bytes(b"x")
    assert overlay_digest(repository) == first
    moved = shutil.copytree(repository, tmp_path / "moved")
    assert overlay_digest(moved) == first
    (repository / "more.py").write_bytes(b"")
    second = overlay_digest(repository)
    assert second != first
    (repository / "more.py").rename(repository / "name.py")
    assert overlay_digest(repository) != second
