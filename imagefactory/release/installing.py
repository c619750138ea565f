"""A release inside the image that it is built into: where everything is, and Spack's settings."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from imagefactory.release.concretize import placed_environment, read_environment
from imagefactory.release.releases import Release
from imagefactory.release.spack import BUILTIN


class Layout:
    """The places of a build inside the image."""

    # Bound by whoever builds; /mnt is in every Debian root, and empty there.
    GIVEN = PurePosixPath("/mnt")
    SPACK = GIVEN / "spack"  # Spack's own tree; read only
    REPOSITORIES = GIVEN / "packages"  # the folder in which spack_repo/builtin is; read only
    MIRROR = GIVEN / "mirror"  # the sources, as Spack lays out a mirror; read only
    # What outlives a build, failed or not: every package that was built, and Spack's index of
    # upstream's recipes, which takes half a minute to make.
    KEPT = GIVEN / "kept"
    INDEX = GIVEN / "index"
    # The image's own: what is copied in, what only the build stage has, what the image keeps.
    FILES = PurePosixPath("/opt/src/release")
    OVERLAY = FILES / "overlay"
    BUILD = PurePosixPath("/opt/build")
    ENVIRONMENT = BUILD / "environment"
    PREFIX = PurePosixPath("/opt/release")
    SOFTWARE = PREFIX / "software"
    VIEW = PREFIX / "view"


def install_environment(release: Release) -> dict[str, Any]:
    """The release's environment as Spack gets it to install its lock: what spack.yaml says, and
    where everything is. Sources come from the mirror alone, each with its checksum; every package
    that was built is put into the kept ones at once, so that a failed build can go on.
    """
    placed = placed_environment(
        read_environment(release), release, Layout.OVERLAY, Layout.REPOSITORIES / BUILTIN
    )
    own = {
        "install_tree": {"root": str(Layout.SOFTWARE)},
        "build_stage": [str(Layout.BUILD / "stage")],
        "source_cache": str(Layout.BUILD / "source-cache"),
        "misc_cache": str(Layout.INDEX),
        "checksum": True,
    }
    return {
        **placed,
        "config": {**placed.get("config", {}), **own},
        # The second colon: not also Spack's public mirror.
        "mirrors:": {
            "sources": {"url": f"file://{Layout.MIRROR}", "source": True, "binary": False},
            "kept": {
                "url": f"file://{Layout.KEPT}", "source": False, "binary": True,
                "signed": False, "autopush": True,
            },
        },
        "view": {"default": {"root": str(Layout.VIEW)}},
    }  # fmt: skip
