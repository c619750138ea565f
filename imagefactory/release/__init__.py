"""What an ESD release is: an environment pinned by a lock, with its commits; the one room that
runs Spack."""

from imagefactory.release.concretize import check_lock, lock_faults, lock_release
from imagefactory.release.releases import Release, list_releases, load_release

__all__ = ["Release", "check_lock", "list_releases", "load_release", "lock_faults", "lock_release"]
