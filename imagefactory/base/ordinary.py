"""Who does the work that must not be done as root: Apptainer's builds and runs.

As root with the capabilities of a usual virtual machine, Apptainer cannot build
(facts/building-blocks.md 1), and Open MPI refuses to start. An ordinary user can do both, so
where we are root a user made for it does them, in a home of its own.
"""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Runner
from imagefactory.base.report import Report

BUILD_USER = "imagefactory"
# What a program run for us may see of our environment.
PASSED_ON = ("PATH", "LANG", "TERM", "SSL_CERT_FILE", "http_proxy", "https_proxy", "no_proxy")


def ordinary_user() -> pwd.struct_passwd:
    """The user that builds and runs images: ourselves, or the build user where we are root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid())
    try:
        return pwd.getpwnam(BUILD_USER)
    except KeyError:
        raise ToolFailed(
            f"there is no user {BUILD_USER!r}; root itself cannot build images",
            fix="imagefactory setup",
        ) from None


def ordinary_runner(report: Report) -> Runner:
    """A runner whose programs are started as the ordinary user, in a short environment."""
    user = ordinary_user()
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    return Runner(report, environment, user.pw_name if os.geteuid() == 0 else None)


def ordinary_cache() -> Path:
    """The cache folder that the ordinary user can read and write: its own where we are root."""
    from imagefactory.base.files import cache_folder

    if os.geteuid() != 0 or os.environ.get("IMAGEFACTORY_CACHE"):
        return cache_folder()
    return Path(ordinary_user().pw_dir) / ".cache" / "imagefactory"


def ordinary_folder(path: Path) -> Path:
    """Make `path` (and missing parents) as a folder of the ordinary user's."""
    missing = [place for place in (path, *path.parents) if not place.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for place in missing:
        give(place)
    return path


def give(path: Path) -> None:
    """Hand a file or folder to the ordinary user; nothing to do where we are that user."""
    if os.geteuid() == 0:
        user = ordinary_user()
        shutil.chown(path, user.pw_uid, user.pw_gid)
