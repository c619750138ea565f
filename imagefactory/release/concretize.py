"""From an environment to its lock: solved once by real Spack, then known by its inputs."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any, Protocol

from imagefactory.base.errors import ConfigurationFault, Fault, LockDrift, ToolFailed
from imagefactory.base.files import cache_folder, digest_of_text, write_json, write_text
from imagefactory.base.report import Report, ticking
from imagefactory.base.values import Digest
from imagefactory.release.lock import parse_lock
from imagefactory.release.releases import LOCK, Release, overlay_digest, overlay_files
from imagefactory.release.spack import Spack, conflict_of, find_spack

RECORD = "lock.json"
SCHEMA = 1
USUAL_SECONDS = 90.0  # two cores, cold: facts/building-blocks.md 7


@dataclass(frozen=True)
class LockKey:
    """Everything that a lock is made from, each as a digest, a commit or a word."""

    environment: str
    overlay: str
    spack: str
    packages: str
    target: str

    @property
    def digest(self) -> Digest:
        return digest_of_text(json.dumps(asdict(self), sort_keys=True))

    def changed(self, other: LockKey) -> list[str]:
        """The names of the parts that differ."""
        mine, theirs = asdict(self), asdict(other)
        return [name for name in mine if mine[name] != theirs[name]]


@dataclass(frozen=True)
class LockRecord:
    """What stands beside a lock: from what it was made. `lock` is the digest of its bytes."""

    key: LockKey
    lock: Digest


@dataclass(frozen=True)
class Locking:
    """What `lock_release` did; `origin` is kept, cached, shared or solved, `why` is for people."""

    release: str
    lock: Digest
    origin: str
    why: str
    nodes: int


def key_of(release: Release) -> LockKey:
    """The key of a release's lock as its files are now; raises ConfigurationFault."""
    document = read_environment(release)
    return LockKey(
        environment=str(digest_of_text(json.dumps(document, sort_keys=True))),
        overlay=str(overlay_digest(release.overlay)),
        spack=release.spack.commit,
        packages=release.packages.commit,
        target=release.target,
    )


def read_environment(release: Release) -> dict[str, Any]:
    """The content of spack.yaml below `spack:`; comments and layout do not count."""
    import yaml

    try:
        document = yaml.safe_load(release.environment.read_text(encoding="utf-8"))
    except yaml.YAMLError as err:
        raise ConfigurationFault(f"this is no YAML: {err}", where=str(release.environment)) from err
    if not isinstance(document, dict) or not isinstance(document.get("spack"), dict):
        raise ConfigurationFault(
            "this is no Spack environment", where=str(release.environment), fix="begin with spack:"
        )
    found: dict[str, Any] = document["spack"]
    return found


def read_record(release: Release) -> LockRecord | None:
    """What the lock was made from; None where no tool of ours made it."""
    path = release.folder / RECORD
    if not path.is_file():
        return None
    return _parse_record(path)


def lock_faults(release: Release) -> list[Fault]:
    """Why the lock is not that of its environment and sources; needs no Spack."""
    again = f"imagefactory release lock {release.name}"
    if not release.lock.is_file():
        return [Fault("there is no lock", str(release.lock), again)]
    record = read_record(release)
    if record is None:
        return [Fault("nothing says what the lock was made from", str(release.lock), again)]
    now = key_of(release)
    faults = [
        Fault(f"{part} has changed since the lock was made", str(release.folder), again)
        for part in record.key.changed(now)
    ]
    if digest_of_text(release.lock.read_text(encoding="utf-8")) != record.lock:
        faults.append(Fault("the lock was changed by hand", str(release.lock), again))
    if str(release.overlay_digest) != now.overlay:
        faults.append(
            Fault(f"the overlay is {now.overlay}", f"{release.sources}: overlay.digest", again)
        )
    return faults


@dataclass(frozen=True)
class LockPlan:
    """What `lock_release` would do."""

    release: Release
    faults: tuple[Fault, ...]
    cached: bool
    why: str

    def lines(self) -> list[str]:
        """The plan for people."""
        if not self.faults:
            return [f"nothing to do: {self.release.lock} is that of its inputs"]
        how = self.why if self.cached else f"solve with Spack {self.release.spack.version}"
        return [
            *(f"because: {fault.what}" for fault in self.faults),
            how if self.cached else f"{how} ({self.why})",
            f"write {self.release.lock}, {self.release.folder / RECORD}",
            f"write the overlay's digest into {self.release.sources}",
        ]


def plan_lock(release: Release) -> LockPlan:
    """Decide a lock; asks no registry, changes nothing."""
    found, _, why = _from_cache(key_of(release), None)
    return LockPlan(release, tuple(lock_faults(release)), found is not None, why)


class LockStore(Protocol):
    """A cache of locks that is shared, by key; the registry room has one."""

    def get(self, key: Digest) -> str | None: ...

    def put(self, key: Digest, text: str) -> None: ...


def lock_release(release: Release, report: Report, shared: LockStore | None = None) -> Locking:
    """Write the release's lock: kept if nothing changed, from a cache, or solved by Spack.

    What is solved goes into our own cache and into the `shared` one. The lock, its record and the
    overlay's digest in sources.yaml are written, each whole or not at all. Raises ToolFailed with
    Spack's own message where it cannot solve.
    """
    key = key_of(release)
    if not lock_faults(release):
        text = release.lock.read_text(encoding="utf-8")
        return _locking(release, text, "kept", "nothing has changed since the lock was made")
    found, origin, why = _from_cache(key, shared)
    if found is None:
        report.note(why)
    text = found or solve(release, find_spack(release, report), report)
    _keep(key, text)
    if shared is not None and found is None:
        shared.put(key.digest, text)
    write_text(release.lock, text)
    _write_record(release.folder / RECORD, LockRecord(key, digest_of_text(text)))
    _stamp_overlay(release, key.overlay)
    return _locking(release, text, origin, why)


def check_lock(release: Release, report: Report) -> Locking:
    """Solve again, from nothing that was kept, and compare; raises LockDrift, writes nothing."""
    faults = lock_faults(release)
    if faults:
        raise LockDrift.from_faults(faults)
    text = solve(release, find_spack(release, report), report)
    if text != release.lock.read_text(encoding="utf-8"):
        raise LockDrift(
            "Spack solves the same inputs differently",
            where=str(release.lock),
            fix=f"imagefactory release lock {release.name}, then imagefactory release diff",
        )
    return _locking(release, text, "solved", "solved again from nothing: the same lock")


def solve(release: Release, spack: Spack, report: Report) -> str:
    """The lock of the release in canonical form, solved by real Spack in a folder of its own."""
    import yaml

    with TemporaryDirectory(prefix="solve-", dir=spack.caches) as name:
        folder = Path(name)
        document = derived_environment(read_environment(release), release, spack, folder)
        write_text(folder / "spack.yaml", yaml.safe_dump({"spack": document}, sort_keys=False))
        title = f"solve {release.name} with Spack {release.spack.version}"
        with report.step(title), ticking(report, "solve", USUAL_SECONDS):
            done = spack.run(report, "-e", folder, "concretize", "--force")
        if done.status or not (folder / LOCK).is_file():
            text = done.errors or done.output
            raise ToolFailed(
                f"Spack cannot solve {release.name}: {conflict_of(text)}",
                where=str(release.environment),
                fix="change the requirement that conflicts",
                detail=done.tail,
            )
        return canonical((folder / LOCK).read_text(encoding="utf-8"), release)


def derived_environment(
    document: Mapping[str, Any], release: Release, spack: Spack, folder: Path
) -> dict[str, Any]:
    """The environment as Spack gets it to solve: the committed one, and where everything is."""
    own = placed_environment(document, release, release.overlay.absolute(), spack.builtin)
    config = {**own.pop("config", {}), "install_tree": {"root": str(folder / "opt")}}
    concretizer = {"reuse": False, "unify": True, **own.pop("concretizer", {})}
    # The lock must not depend on the machine that made it.
    concretizer["targets"] = {"host_compatible": False, "granularity": "generic"}
    return {**own, "config": config, "concretizer": concretizer}


def placed_environment(
    document: Mapping[str, Any], release: Release, overlay: PurePath, builtin: PurePath
) -> dict[str, Any]:
    """The committed environment with its package repositories at these places, and no others.

    `repos:` with a colon of its own replaces Spack's list of repositories, which would be cloned
    from their public home. The overlay stands first, or its versions are not seen.
    """
    overlays = {
        path.parent.name: str(overlay / path.parent.relative_to(release.overlay))
        for path in _repositories(release)
    }
    return {
        **document,
        "bootstrap": {"enable": False},
        "repos:": {**overlays, "builtin": str(builtin)},
    }


def canonical(text: str, release: Release) -> str:
    """Spack's lock in one order: Spack writes roots and nodes in another one each time.

    The keys within a node stay as they are: a node's hash is that of its text.
    """
    lock = json.loads(text)
    lock["roots"] = sorted(lock["roots"], key=lambda root: (root["spec"], root["hash"]))
    lock["concrete_specs"] = dict(sorted(lock["concrete_specs"].items()))
    lock["spack"] = {"version": lock["spack"]["version"], "type": "git"}
    lock["spack"]["commit"] = release.spack.commit
    return json.dumps(lock, indent=1) + "\n"


def _repositories(release: Release) -> list[Path]:
    return sorted(path for path in overlay_files(release.overlay) if path.name == "repo.yaml")


def _cache() -> Path:
    """Where locks are kept by their key; a folder that several users share may be named."""
    named = os.environ.get("IMAGEFACTORY_LOCKS")
    return Path(named) if named else cache_folder() / "locks"


def _from_cache(key: LockKey, shared: LockStore | None) -> tuple[str | None, str, str]:
    """The lock or None, where it came from, and why."""
    kept = _cache() / f"{key.digest.hex}.json"
    if kept.is_file():
        text = kept.with_suffix(".lock").read_text(encoding="utf-8")
        if _parse_record(kept) == LockRecord(key, digest_of_text(text)):
            return text, "cached", "solved earlier from the same inputs"
    found = shared.get(key.digest) if shared else None
    if found is not None:
        parse_lock(found, f"the shared cache, {key.digest}")
        return found, "shared", "solved elsewhere from the same inputs"
    return None, "solved", f"not in the cache: {_nearest(key)}"


def _keep(key: LockKey, text: str) -> None:
    kept = _cache() / f"{key.digest.hex}.json"
    write_text(kept.with_suffix(".lock"), text)
    _write_record(kept, LockRecord(key, digest_of_text(text)))


def _nearest(key: LockKey) -> str:
    """What differs from the nearest lock that was made before."""
    records = [_parse_record(path) for path in sorted(_cache().glob("*.json"))]
    if not records:
        return "it holds no lock yet"
    parts = min((record.key.changed(key) for record in records), key=len)
    return f"{' and '.join(parts)} changed against the nearest lock"


def _locking(release: Release, text: str, origin: str, why: str) -> Locking:
    nodes = parse_lock(text, str(release.lock)).nodes
    return Locking(release.name, digest_of_text(text), origin, why, len(nodes))


def _write_record(path: Path, record: LockRecord) -> None:
    document = {"schema": SCHEMA, "key": asdict(record.key), "lock": str(record.lock)}
    write_json(path, document)


def _parse_record(path: Path) -> LockRecord:
    from imagefactory.base.settings import read_json

    names = list(LockKey.__dataclass_fields__)
    schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["schema", "key", "lock"],
        "properties": {
            "schema": {"const": SCHEMA},
            "key": {
                "type": "object",
                "additionalProperties": False,
                "required": names,
                "properties": {name: {"type": "string"} for name in names},
            },
            "lock": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
        },
    }
    document = read_json(path, schema)
    return LockRecord(LockKey(**document["key"]), Digest(document["lock"]))


def _stamp_overlay(release: Release, digest: str) -> None:
    """Write the overlay's digest into sources.yaml; its comments and layout stay."""
    text = release.sources.read_text(encoding="utf-8")
    stamped = text.replace(str(release.overlay_digest), digest)
    if stamped != text:
        write_text(release.sources, stamped)
