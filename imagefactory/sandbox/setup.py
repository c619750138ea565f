"""Set-up of the user's machine: does what the plan says; can be run again at any time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.apptainer import find_apptainer, version_of
from imagefactory.base.report import Report
from imagefactory.sandbox.compile import build_apptainer
from imagefactory.sandbox.daemon import STANDARD_SOCKET
from imagefactory.sandbox.needs import (
    COMPILE_PACKAGES,
    FUSE,
    SetupPlan,
    free_range,
    has_apptainer,
    is_there,
    missing,
    plan_setup,
    subid_lines,
)
from imagefactory.sandbox.root import as_root

INSTALL_SECONDS = 1800
QUIET = ("env", "DEBIAN_FRONTEND=noninteractive")


@dataclass(frozen=True)
class Ready:
    """A machine that is set up: the Apptainer in use, and what was done."""

    apptainer: Path
    version: str
    done: tuple[str, ...]


def set_up(plan: SetupPlan, report: Report) -> Ready:
    """Do what `plan` says, step by step; a step that is done is not done again."""
    _install((*plan.packages, *plan.compile_packages), report)
    if plan.make_user:
        as_root(report, "useradd", "--create-home", "--shell", "/bin/bash", plan.make_user)
    # useradd gives a range, unless the machine's defaults say no: so look again.
    owner = plan_setup(report).subids_for
    if owner:
        _give_subids(owner, report)
    if plan.fuse is not None:
        as_root(report, "chmod", "666", str(FUSE))
    if plan.docker_user:
        _allow_docker(plan.docker_user, report)
    if not has_apptainer(report):
        # With a user made a moment ago, the plan could not know what must be compiled.
        _install(missing(COMPILE_PACKAGES, is_there), report)
        build_apptainer(report)
    apptainer = find_apptainer(report)
    return Ready(apptainer, version_of(apptainer, report), tuple(plan.lines()))


def _install(packages: Sequence[str], report: Report) -> None:
    if not packages:
        return
    with report.step(f"install from Debian: {' '.join(packages)}"):
        # An installation that was cut off earlier is finished first.
        as_root(report, *QUIET, "dpkg", "--configure", "-a", timeout=INSTALL_SECONDS)
        as_root(report, "apt-get", "update", "-q", timeout=INSTALL_SECONDS)
        as_root(report, *install_argv(packages), timeout=INSTALL_SECONDS)


def install_argv(packages: Sequence[str]) -> list[str]:
    """The command that installs packages and asks nothing."""
    return [*QUIET, "apt-get", "install", "-y", "-q", "--no-install-recommends", *packages]


def _give_subids(name: str, report: Report) -> None:
    first, last = free_range(subid_lines("subuid"), subid_lines("subgid"))
    given = f"{first}-{last}"
    as_root(report, "usermod", "--add-subuids", given, "--add-subgids", given, name)


def _allow_docker(name: str, report: Report) -> None:
    as_root(report, "usermod", "--append", "--groups", "docker", name)
    if STANDARD_SOCKET.exists() and not os.access(STANDARD_SOCKET, os.W_OK):
        # The group holds from the next login on; this session gets in by name.
        if not is_there("setfacl"):
            _install(("acl",), report)
        as_root(report, "setfacl", "--modify", f"user:{name}:rw", str(STANDARD_SOCKET))
