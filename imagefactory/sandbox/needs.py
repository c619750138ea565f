"""What a Debian 12 machine lacks, found by looking; decisions only, nothing is changed."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.apptainer import BUILT_VERSION, OLDEST, VARIABLE, find_apptainer
from imagefactory.base.errors import ToolFailed
from imagefactory.base.ordinary import BUILD_USER
from imagefactory.base.process import which
from imagefactory.base.report import Report
from imagefactory.sandbox.daemon import STANDARD_SOCKET
from imagefactory.sandbox.root import SYSTEM_PATH

# Debian package: the program that shows that it, or something as good, is there.
PACKAGES = {
    "docker.io": "dockerd",
    "mmdebstrap": "mmdebstrap",
    "openssh-client": "ssh-keygen",
    "squashfs-tools": "mksquashfs",
    "squashfuse": "squashfuse",
    "uidmap": "newuidmap",
}
# Only to compile Apptainer.
COMPILE_PACKAGES = {
    "gcc": "gcc",
    "libc6-dev": "/usr/include/stdio.h",
    "libseccomp-dev": "/usr/include/seccomp.h",
    "make": "make",
    "pkg-config": "pkg-config",
}
# Only to look at reports, as the tests do.
BROWSER_PACKAGES = {"chromium": "chromium"}
FUSE = Path("/dev/fuse")
SERVICE_MANAGER = Path("/run/systemd/system")  # there while systemd runs: sd_booted(3)
SUBID_COUNT = 65536
SUBID_FIRST = 100_000  # SUB_UID_MIN of login.defs(5)


@dataclass(frozen=True)
class SetupPlan:
    """What set-up would do; all empty: nothing. `fuse` is the present mode, if it must change."""

    packages: tuple[str, ...] = ()
    make_user: str | None = None
    subids_for: str | None = None
    fuse: int | None = None
    docker_user: str | None = None
    build_apptainer: bool = False
    compile_packages: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The plan for people."""
        lines = []
        if self.packages or self.compile_packages:
            names = sorted((*self.packages, *self.compile_packages))
            lines.append(f"install from Debian: {' '.join(names)}")
        if self.make_user:
            lines.append(f"make the user {self.make_user}, who builds and runs images for root")
        if self.subids_for:
            lines.append(f"give {self.subids_for} a range of subordinate ids (/etc/subuid, subgid)")
        if self.fuse is not None:
            lines.append(f"let ordinary users mount images: {FUSE} from mode {self.fuse:o} to 666")
        if self.docker_user:
            lines.append(f"let {self.docker_user} use the Docker engine (which is root's power)")
        if self.build_apptainer:
            lines.append(
                f"build Apptainer {BUILT_VERSION} from its Go module (once, about 6 min on 2 cores)"
            )
        return lines or ["nothing to do: all that is needed is there"]


def plan_setup(report: Report, *, browser: bool = False) -> SetupPlan:
    """What is missing on this machine; changes nothing. With `browser`, a browser too.

    Raises ConfigurationFault where IMAGEFACTORY_APPTAINER names one that will not do.
    """
    is_root = os.geteuid() == 0
    name = BUILD_USER if is_root else pwd.getpwuid(os.geteuid()).pw_name
    known = _user_exists(name)
    build = not has_apptainer(report)
    return SetupPlan(
        packages=missing(PACKAGES | (BROWSER_PACKAGES if browser else {}), is_there),
        make_user=None if known else name,
        subids_for=None if not known or _has_subids(name) else name,
        fuse=fuse_mode_to_change(FUSE),
        docker_user=None if is_root or _may_use_docker(name) else name,
        build_apptainer=build,
        compile_packages=missing(COMPILE_PACKAGES, is_there) if build else (),
    )


def has_apptainer(report: Report) -> bool:
    """True if one is there that will do."""
    try:
        find_apptainer(report)
    except ToolFailed:
        return False
    return True


def no_internet_fix() -> str:
    """The three ways to an Apptainer where it cannot be built from the public module proxy."""
    oldest = ".".join(map(str, OLDEST))
    return (
        f"put an Apptainer >= {oldest} on PATH; or name one: {VARIABLE}=/path/to/apptainer; "
        "or name your mirror of Go modules: GOPROXY=https://...; then imagefactory setup"
    )


def missing(packages: dict[str, str], there: Callable[[str], bool]) -> tuple[str, ...]:
    """The packages whose sign is not there, sorted."""
    return tuple(sorted(name for name, sign in packages.items() if not there(sign)))


def is_there(sign: str) -> bool:
    """True if a file exists, or a program is on PATH or where only root looks."""
    if sign.startswith("/"):
        return Path(sign).exists()
    return bool(which(sign)) or any((Path(p) / sign).exists() for p in SYSTEM_PATH.split(":"))


def fuse_mode_to_change(device: Path) -> int | None:
    """The present mode if it is not open to all; raises ToolFailed if there is no device."""
    try:
        mode = stat.S_IMODE(device.stat().st_mode)
    except FileNotFoundError:
        raise ToolFailed(
            "this machine has no FUSE device, without which images cannot be mounted",
            where=str(device),
            fix="modprobe fuse (in a container: start it with --device /dev/fuse)",
        ) from None
    return None if mode & 0o666 == 0o666 else mode


def has_range(lines: Iterable[str], name: str, number: int) -> bool:
    """True if a subuid file gives a user, by name or number, a whole range."""
    for line in lines:
        owner, _, rest = line.strip().partition(":")
        count = rest.partition(":")[2]
        if owner in {name, str(number)} and count.isdigit() and int(count) >= SUBID_COUNT:
            return True
    return False


def free_range(*files: Iterable[str]) -> tuple[int, int]:
    """First and last of a range after all that are given in subuid and subgid files."""
    first = SUBID_FIRST
    for line in (line for lines in files for line in lines):
        parts = line.strip().split(":")
        if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
            first = max(first, int(parts[1]) + int(parts[2]))
    return first, first + SUBID_COUNT - 1


def subid_lines(name: str) -> list[str]:
    """The lines of /etc/subuid or /etc/subgid; none if there is no such file."""
    path = Path("/etc") / name
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _user_exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _has_subids(name: str) -> bool:
    user = pwd.getpwnam(name)
    return has_range(subid_lines("subuid"), name, user.pw_uid) and has_range(
        subid_lines("subgid"), name, user.pw_uid
    )


def _may_use_docker(name: str) -> bool:
    if os.environ.get("DOCKER_HOST") or os.access(STANDARD_SOCKET, os.W_OK):
        return True
    if not STANDARD_SOCKET.exists() and not SERVICE_MANAGER.is_dir():
        return True  # `sandbox up` starts an engine of this user's own, through sudo
    try:
        members = grp.getgrnam("docker").gr_mem
    except KeyError:
        return False
    # A member who may not: logged in before; the engine may also just not be running.
    return name in members and not STANDARD_SOCKET.exists()
