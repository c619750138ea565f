"""The tools image: the image of a run, with a compiler and NESTML on top."""

from __future__ import annotations

from collections.abc import Sequence

from imagefactory.base.report import Report
from imagefactory.base.values import Digest
from imagefactory.image import SOURCES, DerivedPlan, plan_derived
from imagefactory.nestml.versions import Tools, shipped_tools
from imagefactory.recipe import Requirement

NAME = "nestml-tools"
VERSION = "1"
PREFIX = "/opt/nestml"  # where NESTML and what it needs are; not in the Python path of the image


def plan_tools(image: Digest, report: Report) -> DerivedPlan:
    """The tools image on top of this image: what would be built, or that it is there."""
    tools = shipped_tools()
    return plan_derived(
        NAME, VERSION, image, sections(tools), tools.requirements, tools.python, report
    )


def sections(tools: Tools) -> str:
    """The sections of its definition after the first ones."""
    pinned = [
        f"{package}=\"$(dpkg-query -W -f '${{Version}}' {same})\""
        for package, same in tools.debian_as_in_image
    ]
    checks = [
        f'echo "{item.digest.hex}  $(ls {_folder(item.digest)}/*)" | sha256sum --check'
        for item in tools.requirements
    ]
    wheels = [item for item in tools.requirements if not item.is_sdist]
    common = [item for item in wheels if item.name != "nestml"]
    # Each NESTML in a folder of its own; what it needs they share.
    own = [item for item in wheels if item.name == "nestml"]
    unpacked = [_unpack(item) for item in tools.requirements if item.is_sdist]
    version = tools.python.replace(".", ", ")
    lines = [
        "cd /",
        f"python3 -c 'import sys; assert sys.version_info[:2] == ({version}), sys.version'",
        "mkdir -p /var/cache/apt/archives/partial /var/log/apt /var/lib/apt/lists/partial",
        "apt-get update -y",
        "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "
        + " ".join([*tools.debian, *pinned]),
        *checks,
        _install(common, PREFIX),
        *(_install([item], prefix_of(item.requirement.partition("==")[2])) for item in own),
        *unpacked,
        f"rm -rf {SOURCES} /var/lib/apt/lists/* /var/cache/apt",
    ]
    return "%post\n" + "".join(f"    {line}\n" for line in lines)


def prefix_of(nestml: str) -> str:
    """The folder of one version of NESTML itself."""
    return f"{PREFIX}-{nestml}"


def _install(items: Sequence[Requirement], target: str) -> str:
    # No index and no dependencies: only what is locked; NumPy and SciPy are the image's.
    files = " ".join(f"{_folder(item.digest)}/*" for item in items)
    return (
        "pip install --no-index --no-deps --root-user-action=ignore --disable-pip-version-check "
        f"--target {target} {files}"
    )


def _folder(digest: Digest) -> str:
    return f"{SOURCES}/fetched/{digest.hex}"


def _unpack(item: Requirement) -> str:
    name = item.name
    return (
        f"tar -xf {_folder(item.digest)}/* -C {PREFIX} --no-same-owner --strip-components=1 "
        f"--wildcards '*/{name}/*' '*/{name}.egg-info/*'"
    )
