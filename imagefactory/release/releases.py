"""What a release is: a folder with an environment, its lock, and where everything came from."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault, UsageFault, nearest
from imagefactory.base.settings import load_schema, read_yaml
from imagefactory.base.values import Digest

FOLDER = Path("spack-envs")
ENVIRONMENT, LOCK, SOURCES = "spack.yaml", "spack.lock", "sources.yaml"


@dataclass(frozen=True)
class GitPin:
    """A git repository at one commit; `version` is its tag, for people."""

    version: str
    commit: str
    git: str


@dataclass(frozen=True)
class Pin:
    """A version that a release pins on purpose, and what speaks for it.

    `evidence` is verified, public, assumed, or unknown; the last one has no version.
    """

    package: str
    version: str | None
    evidence: str
    source: str


@dataclass(frozen=True)
class Origin:
    """The git repository that a release was imported from; no `tag` where a commit was given."""

    git: str
    commit: str
    tag: str | None = None

    @property
    def text(self) -> str:
        return (
            f"{self.git} at {self.tag} ({self.commit[:12]})"
            if self.tag
            else (f"{self.git} at {self.commit[:12]}")
        )


@dataclass(frozen=True)
class Release:
    """One release: `overlay` is the folder of the overlay package repositories, `overlay_digest`
    what sources.yaml says of its content; `origin` is set where it was imported."""

    name: str
    description: str
    folder: Path
    spack: GitPin
    packages: GitPin
    overlay: Path
    overlay_digest: Digest
    target: str
    pins: tuple[Pin, ...]
    origin: Origin | None = None

    @property
    def environment(self) -> Path:
        return self.folder / ENVIRONMENT

    @property
    def lock(self) -> Path:
        return self.folder / LOCK

    @property
    def sources(self) -> Path:
        return self.folder / SOURCES


def load_release(name: str) -> Release:
    """The release of this name under spack-envs/, or in the folder of this path.

    Raises UsageFault with the nearest name for an unknown one, ConfigurationFault with all faults
    of its sources.yaml.
    """
    folder = Path(name) if (Path(name) / SOURCES).is_file() else FOLDER / name
    if not (folder / SOURCES).is_file():
        known = [path.parent.name for path in FOLDER.glob(f"*/{SOURCES}")]
        raise UsageFault(
            f"there is no release {name!r}", where=str(FOLDER), fix=nearest(name, known)
        )
    return read_release(folder)


def list_releases() -> list[Release]:
    """All releases under spack-envs/, by name; raises ConfigurationFault with all faults."""
    found: list[Release] = []
    faults: list[Fault] = []
    for path in sorted(FOLDER.glob(f"*/{SOURCES}")):
        try:
            found.append(read_release(path.parent))
        except ConfigurationFault as err:
            faults += err.faults
    if faults:
        raise ConfigurationFault.from_faults(faults)
    return found


def read_release(folder: Path) -> Release:
    """Read a release's folder; raises ConfigurationFault with every fault found."""
    path = folder / SOURCES
    document = read_yaml(path, load_schema("imagefactory.release", "sources.schema.json"))
    faults = list(_find_conflicts(document, folder))
    if faults:
        raise ConfigurationFault.from_faults(faults)
    return Release(
        name=document["release"],
        description=document["description"],
        folder=folder,
        spack=GitPin(**document["spack"]),
        packages=GitPin(**document["packages"]),
        overlay=folder / document["overlay"]["folder"],
        overlay_digest=Digest(document["overlay"]["digest"]),
        target=document["target"],
        pins=tuple(
            Pin(pin["package"], pin.get("version"), pin["evidence"], pin["source"])
            for pin in document["pins"]
        ),
        origin=Origin(**document["origin"]) if "origin" in document else None,
    )


def overlay_digest(folder: Path) -> Digest:
    """The sha256 over the sorted relative paths and the bytes of an overlay's files.

    What Python and editors leave behind (`__pycache__`, hidden files) does not count.
    """
    files = overlay_files(folder)
    return content_digest(
        {PurePosixPath(path.relative_to(folder)): path.read_bytes() for path in files}
    )


def content_digest(files: Mapping[PurePosixPath, bytes]) -> Digest:
    """The digest of an overlay by its files' relative paths and bytes."""
    whole = hashlib.sha256()
    for path in sorted(files):
        content = hashlib.sha256(files[path]).hexdigest()
        whole.update(f"{path}\0{content}\n".encode())
    return Digest(f"sha256:{whole.hexdigest()}")


def overlay_files(folder: Path) -> list[Path]:
    """The files of an overlay that count."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file()
        and not any(
            part == "__pycache__" or part.startswith(".") for part in path.relative_to(folder).parts
        )
    ]


def _find_conflicts(document: dict[str, Any], folder: Path) -> Iterator[Fault]:
    """What each key allows, but not all together."""
    path = folder / SOURCES
    if document["release"] != folder.resolve().name:
        yield Fault(
            f"the release is named {document['release']!r}, its folder {folder.resolve().name!r}",
            f"{path}: release",
            f"write release: {folder.resolve().name}, or rename the folder",
        )
    if re.match(r"v?0\.", document["spack"]["version"]):
        yield Fault(
            f"Spack {document['spack']['version']} is too old: it knows no repositories of recipes",
            f"{path}: spack",
            "pin Spack 1.0 or newer",
        )
    if not (folder / ENVIRONMENT).is_file():
        yield Fault("the environment is missing", str(folder / ENVIRONMENT), "write it, for Spack")
    if not (folder / document["overlay"]["folder"]).is_dir():
        yield Fault(
            "there is no such folder", f"{path}: overlay.folder", "name the overlay repository"
        )
    for index, pin in enumerate(document["pins"]):
        where = f"{path}: pins[{index}]"
        if pin["evidence"] == "unknown" and "version" in pin:
            yield Fault("an unknown version has no number", where, "take version away")
        if pin["evidence"] != "unknown" and "version" not in pin:
            yield Fault("the version is missing", where, "add it, or write evidence: unknown")
