"""A lock by what people call it: the name of a release, or the path of a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import Fault, LockDrift
from imagefactory.release.concretize import lock_faults
from imagefactory.release.lock import Lock, read_lock
from imagefactory.release.releases import Release, load_release


@dataclass(frozen=True)
class Opened:
    """A lock that was asked for; `release` is None for a bare file, `drift` says why the lock is
    not that of its release's environment and sources."""

    name: str
    lock: Lock
    release: Release | None = None
    drift: tuple[Fault, ...] = ()

    def origins(self) -> dict[str, str]:
        """Where it comes from, as far as the lock itself does not say: empty for a bare file."""
        if self.release is None:
            return {}
        packages = self.release.packages
        return {
            "recipes": f"{packages.version} ({packages.commit[:12]})",
            "overlay": self.release.overlay_digest.short,
        }


def open_lock(name: str) -> Opened:
    """The lock of this path, or of the release of this name.

    Raises UsageFault for an unknown release, LockDrift for one without a lock, ConfigurationFault
    for a lock that cannot be read.
    """
    if Path(name).is_file():
        return Opened(name, read_lock(Path(name)))
    release = load_release(name)
    faults = lock_faults(release)
    if not release.lock.is_file():
        raise LockDrift.from_faults(faults)
    return Opened(name, read_lock(release.lock), release, tuple(faults))
