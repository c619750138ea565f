"""What an ESD release is: an environment pinned by a lock, with its commits; the one room that
runs Spack. A lock is read, checked and compared without it."""

from imagefactory.release.adopt import import_release, plan_import
from imagefactory.release.changelog import changelog
from imagefactory.release.concretize import check_lock, lock_faults, lock_release, plan_lock
from imagefactory.release.diff import diff_locks
from imagefactory.release.drift import (
    BoardFormat,
    Sighting,
    make_board,
    probe_script,
    read_places,
    read_probe,
    show_board,
)
from imagefactory.release.installing import Layout, install_environment
from imagefactory.release.lock import Lock, Node, read_lock
from imagefactory.release.materials import Materials, SourceFile, collect
from imagefactory.release.opening import open_lock
from imagefactory.release.releases import Release, list_releases, load_release
from imagefactory.release.summary import summarize

__all__ = [
    "BoardFormat",
    "Layout",
    "Lock",
    "Materials",
    "Node",
    "Release",
    "Sighting",
    "SourceFile",
    "changelog",
    "check_lock",
    "collect",
    "diff_locks",
    "import_release",
    "install_environment",
    "list_releases",
    "load_release",
    "lock_faults",
    "lock_release",
    "make_board",
    "open_lock",
    "plan_import",
    "plan_lock",
    "probe_script",
    "read_lock",
    "read_places",
    "read_probe",
    "show_board",
    "summarize",
]
