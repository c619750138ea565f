"""The spack stack of a recipe: a release whose lock holds, and that fits the base it is put on."""

from __future__ import annotations

from collections.abc import Iterator

from imagefactory.base.errors import ConfigurationFault, Fault, LockDrift
from imagefactory.base.files import digest_of
from imagefactory.base.settings import Document
from imagefactory.recipe.recipe import SpackStack
from imagefactory.release import Lock, Release, load_release, lock_faults, read_lock

# What Spack calls the suites (spack/operating_systems/linux_distro.py, 1.1.0).
SYSTEM_OF = {"bookworm": "debian12", "trixie": "debian13"}


def load_spack_stack(document: Document, where: str) -> SpackStack:
    """The stack as the recipe says it; `where` is the recipe's file.

    Raises LockDrift where the lock is not that of its environment, ConfigurationFault with all
    faults where lock and recipe do not fit each other.
    """
    spack = document["stack"]["spack"]
    release = load_release(spack["release"])
    if drifted := lock_faults(release):
        raise LockDrift.from_faults(drifted)
    lock = read_lock(release.lock)
    faults = [
        *_find_other_target(document, release, where),
        *_find_other_system(lock, spack["base"]["suite"], where),
        *_find_unnamed_externals(lock, spack.get("externals", {}), where),
        *_find_no_build_packages(spack, where),
    ]
    if faults:
        raise ConfigurationFault.from_faults(faults)
    return SpackStack(release, lock, digest_of(release.lock), spack.get("externals", {}))


def _find_other_target(document: Document, release: Release, where: str) -> Iterator[Fault]:
    target = release.target.replace("_", "-")
    if document["cpu_target"] != target:
        yield Fault(
            f"the recipe is for {document['cpu_target']}, its release for {target}",
            f"{where}: cpu_target",
            f"write cpu_target: {target}",
        )


def _find_other_system(lock: Lock, suite: str, where: str) -> Iterator[Fault]:
    wanted = SYSTEM_OF[suite]
    for system in sorted({node.system for node in lock.nodes.values()} - {wanted}):
        yield Fault(
            f"the lock was made for {system}, and the base is {wanted}",
            f"{where}: stack.spack.base.suite",
            "take the base that the lock was made for",
        )


def _find_unnamed_externals(lock: Lock, externals: Document, where: str) -> Iterator[Fault]:
    place = f"{where}: stack.spack.externals"
    needed = {node.name: node.spec for node in lock.needed().values() if node.external}
    for name in sorted(needed.keys() - externals.keys()):
        yield Fault(
            f"the lock takes {needed[name]} from outside, and no Debian package is named for it",
            place,
            f"add {name}: PACKAGE",
        )
    for name in sorted(externals.keys() - needed.keys()):
        yield Fault(f"the lock takes no {name!r} from outside", place, "take it away")


def _find_no_build_packages(spack: Document, where: str) -> Iterator[Fault]:
    if not spack["packages"].get("build"):
        yield Fault(
            "Spack needs packages to build with",
            f"{where}: stack.spack.packages",
            "add build: [python3, gcc, make, ...]",
        )
