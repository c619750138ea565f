"""A release in a folder of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from imagefactory.release.releases import overlay_digest

ENVIRONMENT = """\
spack:
  specs: [nest@3.8]  # a comment
  packages:
    all:
      require: [target=x86_64_v3]
  concretizer: {unify: true}
"""


@pytest.fixture
def release_folder(tmp_path: Path) -> Path:
    """spack-envs/esd-99.01 beside an overlay of one package."""
    top = tmp_path / "spack-envs"
    overlay = top / "repo" / "spack_repo" / "esd"
    (overlay / "packages" / "nest").mkdir(parents=True)
    (overlay / "repo.yaml").write_text("repo: {namespace: esd, api: v2.2}\n")
    (overlay / "packages" / "nest" / "package.py").write_text("class Nest: ...\n")
    folder = top / "esd-99.01"
    folder.mkdir()
    (folder / "spack.yaml").write_text(ENVIRONMENT)
    document = {
        "schema": 1,
        "release": "esd-99.01",
        "description": "a release for tests",
        "spack": {"version": "1.1.0", "commit": "2" * 40, "git": "https://example.org/spack"},
        "packages": {"version": "v1", "commit": "1" * 40, "git": "https://example.org/packages"},
        "overlay": {"folder": "../repo", "digest": str(overlay_digest(top / "repo"))},
        "target": "x86_64_v3",
        "pins": [
            {"package": "nest", "version": "3.8", "evidence": "public", "source": "a page"},
            {"package": "pmix", "evidence": "unknown", "source": "nothing public"},
        ],
    }
    (folder / "sources.yaml").write_text("# by hand\n" + yaml.safe_dump(document))
    return folder
