"""What a build takes of a release: Spack is asked once for its sources, and each has a sha256."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefactory.base.errors import ConfigurationFault, ToolFailed
from imagefactory.base.process import Done
from imagefactory.base.report import Silent
from imagefactory.release import collect, install_environment
from imagefactory.release import materials as module
from imagefactory.release.releases import Release, read_release
from imagefactory.release.spack import Spack

SHA256 = "a" * 64
NEST: dict[str, Any] = {
    "package": "nest@3.8",
    "sha256": SHA256,
    "place": "_source-cache/archive/aa/a.tar.gz",
    "urls": ["https://example.org/nest.tar.gz"],
}


@pytest.fixture
def release(release_folder: Path) -> Release:
    (release_folder / "spack.lock").write_text("{}")
    return read_release(release_folder)


class FakeSpack:
    """Spack's Python: lists `entries`; keeps the environments that it was given."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = [NEST]
        self.status = 0
        self.asked: list[dict[str, Any]] = []

    def run(self, _spack: Spack, _report: object, *words: object, timeout: float) -> Done:
        assert timeout > 0
        folder = Path(str(words[words.index("-e") + 1]))
        assert (folder / "spack.lock").is_file()
        self.asked.append(yaml.safe_load((folder / "spack.yaml").read_text())["spack"])
        lines = [f"SOURCE {json.dumps(entry)}\n" for entry in self.entries]
        return Done((), self.status, "==> a note\n" + "".join(lines), "Error: no", 0)


@pytest.fixture
def spack(monkeypatch: pytest.MonkeyPatch) -> FakeSpack:
    fake = FakeSpack()
    monkeypatch.setattr(Spack, "run", lambda *words, **options: fake.run(*words, **options))

    def get(_release: Release, folder: Path, _report: object) -> Spack:
        (folder / "user").mkdir(parents=True, exist_ok=True)
        return Spack(
            folder / "tree", folder / "p" / "repos" / "spack_repo" / "builtin", folder / "user"
        )

    monkeypatch.setattr(module, "get_spack", get)
    return fake


def test_sources_are_asked_for_once(release: Release, spack: FakeSpack, tmp_path: Path) -> None:
    first = collect(release, tmp_path / "cache", Silent())
    assert first == collect(release, tmp_path / "cache", Silent())
    assert len(spack.asked) == 1
    (source,) = first.sources
    assert (source.package, source.digest.hex, source.place) == ("nest@3.8", SHA256, NEST["place"])
    assert first.repositories.name == "repos"
    assert set(first.overlay) == {
        "spack_repo/esd/repo.yaml", "spack_repo/esd/packages/nest/package.py",
    }  # fmt: skip


@pytest.mark.parametrize("part", ["lock", "overlay"])
def test_what_changes_the_sources_is_asked_again(
    release: Release, spack: FakeSpack, tmp_path: Path, part: str
) -> None:
    collect(release, tmp_path / "cache", Silent())
    if part == "lock":
        release.lock.write_text('{"other": 1}')
    else:
        (release.overlay / "spack_repo/esd/packages/nest/package.py").write_text("# other")
    collect(release, tmp_path / "cache", Silent())
    assert len(spack.asked) == 2


def test_spack_sees_only_our_repositories_the_overlay_first(
    release: Release, spack: FakeSpack, tmp_path: Path
) -> None:
    collect(release, tmp_path / "cache", Silent())
    assert list(spack.asked[0]["repos:"]) == ["esd", "builtin"]


def test_what_stands_beside_its_recipe_is_no_source(
    release: Release, spack: FakeSpack, tmp_path: Path
) -> None:
    spack.entries.append({**NEST, "package": "compiler-wrapper@1.0", "urls": ["file:///p/cc.sh"]})
    assert len(collect(release, tmp_path / "cache", Silent()).sources) == 1


@pytest.mark.parametrize("sha256", ["", "d" * 32])
def test_a_source_without_a_sha256_is_refused(
    release: Release, spack: FakeSpack, tmp_path: Path, sha256: str
) -> None:
    spack.entries = [{**NEST, "sha256": sha256}, {**NEST, "package": "pynn@master", "sha256": ""}]
    with pytest.raises(ConfigurationFault) as caught:
        collect(release, tmp_path / "cache", Silent())
    assert len(caught.value.faults) == 2
    assert "nest@3.8 has a source without a sha256" in str(caught.value)


def test_spacks_own_message_is_kept(release: Release, spack: FakeSpack, tmp_path: Path) -> None:
    spack.status = 1
    with pytest.raises(ToolFailed, match="Error: no"):
        collect(release, tmp_path / "cache", Silent())


Ask = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("ask", "value"),
    [
        (lambda found: found["specs"], ["nest@3.8"]),
        (lambda found: found["packages"], {"all": {"require": ["target=x86_64_v3"]}}),
        (lambda found: found["config"]["checksum"], True),
        (lambda found: found["bootstrap"], {"enable": False}),
        (lambda found: list(found["repos:"]), ["esd", "builtin"]),
        (lambda found: list(found["mirrors:"]), ["sources", "kept"]),
        (lambda found: found["mirrors:"]["kept"]["autopush"], True),
        (lambda found: found["view"], {"default": {"root": "/opt/release/view"}}),
    ],
)
def test_the_environment_inside_the_image(release: Release, ask: Ask, value: object) -> None:
    assert ask(install_environment(release)) == value


def test_no_path_of_this_machine_is_in_it(release: Release) -> None:
    text = yaml.safe_dump(install_environment(release))
    assert str(release.folder.parent) not in text
