"""What an image build takes of a release from outside: Spack, recipes, and a list of sources."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault, ToolFailed
from imagefactory.base.files import digest_of, write_json, write_text
from imagefactory.base.report import Report
from imagefactory.base.settings import read_json
from imagefactory.base.values import Digest
from imagefactory.release.concretize import placed_environment, read_environment
from imagefactory.release.releases import LOCK, Release, overlay_digest, overlay_files
from imagefactory.release.spack import Spack, get_spack

LIST_SECONDS = 600.0
MARK = "SOURCE "
SHA256_DIGITS = 64


@dataclass(frozen=True)
class SourceFile:
    """One file that a package is made of: its place in a mirror, and where its recipe has it."""

    package: str  # name@version
    digest: Digest
    place: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Materials:
    """Everything of a release that its build reads, on this machine.

    `name` is that of the two commits; `overlay` maps a path in the overlay's folder to the file.
    """

    name: str
    spack: Path
    repositories: Path  # the folder in which spack_repo/builtin is
    overlay: dict[str, Path]
    sources: tuple[SourceFile, ...]


def collect(release: Release, folder: Path, report: Report) -> Materials:
    """Get Spack and its package repository into `folder`, once, and list the lock's sources.

    Raises ToolFailed where no repository has the pinned commits, ConfigurationFault where a
    source has no sha256.
    """
    spack = get_spack(release, folder, report)
    kept = spack.caches / f"sources-{_key(release)}.json"
    if not kept.is_file():
        write_json(kept, {"sources": _ask(release, spack, report)})
    entries = read_json(kept, {"type": "object", "required": ["sources"]})["sources"]
    overlay = {
        path.relative_to(release.overlay).as_posix(): path
        for path in sorted(overlay_files(release.overlay))
    }
    return Materials(
        name=spack.caches.name,
        spack=spack.tree,
        repositories=spack.builtin.parents[1],
        overlay=overlay,
        sources=tuple(_read(entries, release)),
    )


def _key(release: Release) -> str:
    return f"{digest_of(release.lock).short}-{overlay_digest(release.overlay).short}"


def _ask(release: Release, spack: Spack, report: Report) -> list[dict[str, Any]]:
    """Ask Spack, which alone knows where in a mirror a file stands and which patches apply."""
    import yaml

    script = files("imagefactory.release").joinpath("inside", "list_sources.py")
    with TemporaryDirectory(prefix="list-", dir=spack.caches) as name:
        folder = Path(name)
        document = placed_environment(
            read_environment(release), release, release.overlay.absolute(), spack.builtin
        )
        document["config"] = {
            **document.get("config", {}), "install_tree": {"root": str(folder / "opt")},
        }  # fmt: skip
        write_text(folder / "spack.yaml", yaml.safe_dump({"spack": document}, sort_keys=False))
        write_text(folder / LOCK, release.lock.read_text(encoding="utf-8"))
        with report.step(f"ask Spack for the sources of {release.name}"):
            done = spack.run(report, "-e", folder, "python", str(script), timeout=LIST_SECONDS)
    if done.status:
        raise ToolFailed(
            f"Spack cannot list the sources of {release.name}",
            where=str(release.lock),
            detail=done.tail,
        )
    lines = [line for line in done.output.splitlines() if line.startswith(MARK)]
    return [json.loads(line.removeprefix(MARK)) for line in lines]


def _read(entries: list[dict[str, Any]], release: Release) -> Iterator[SourceFile]:
    faults = []
    for entry in entries:
        if any(url.startswith("file:") for url in entry["urls"]):
            continue  # it stands beside its recipe
        if len(entry["sha256"]) != SHA256_DIGITS:
            faults.append(
                Fault(
                    f"{entry['package']} has a source without a sha256",
                    str(release.lock),
                    "pin a version that has one: what a branch or a tag names can change",
                )
            )
            continue
        digest = Digest(f"sha256:{entry['sha256']}")
        yield SourceFile(entry["package"], digest, entry["place"], tuple(entry["urls"]))
    if faults:
        raise ConfigurationFault.from_faults(faults)
