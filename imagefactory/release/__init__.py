"""What an ESD release is: an environment pinned by a lock, with its commits; the one room that
runs Spack. A lock is read, checked and compared without it."""

from imagefactory.release.changelog import Format, changelog
from imagefactory.release.concretize import check_lock, lock_faults, lock_release
from imagefactory.release.diff import diff_locks
from imagefactory.release.installing import Layout, install_environment
from imagefactory.release.lock import Lock, read_lock
from imagefactory.release.materials import Materials, SourceFile, collect
from imagefactory.release.releases import Release, list_releases, load_release
from imagefactory.release.summary import summarize

__all__ = [
    "Format",
    "Layout",
    "Lock",
    "Materials",
    "Release",
    "SourceFile",
    "changelog",
    "check_lock",
    "collect",
    "diff_locks",
    "install_environment",
    "list_releases",
    "load_release",
    "lock_faults",
    "lock_release",
    "read_lock",
    "summarize",
]
