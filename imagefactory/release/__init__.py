"""What an ESD release is: an environment pinned by a lock, with its commits; the one room that
runs Spack. A lock is read, checked and compared without it."""

from imagefactory.release.changelog import Format, changelog
from imagefactory.release.concretize import check_lock, lock_faults, lock_release
from imagefactory.release.diff import diff_locks
from imagefactory.release.lock import Lock, read_lock
from imagefactory.release.releases import Release, list_releases, load_release
from imagefactory.release.summary import summarize

__all__ = [
    "Format",
    "Lock",
    "Release",
    "changelog",
    "check_lock",
    "diff_locks",
    "list_releases",
    "load_release",
    "lock_faults",
    "lock_release",
    "read_lock",
    "summarize",
]
