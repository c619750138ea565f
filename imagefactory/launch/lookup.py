"""Where the facts of an image come from: this machine's cache, its file, or its registry."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, FactoryError, ToolFailed
from imagefactory.base.files import cache_folder, digest_of, write_text
from imagefactory.base.process import Runner
from imagefactory.base.report import Report
from imagefactory.base.settings import check
from imagefactory.base.values import Digest, ImageRef
from imagefactory.launch.facts import ImageSide
from imagefactory.launch.image_facts import read_image, wanted
from imagefactory.launch.sif import list_files, partition_of, read_files
from imagefactory.registry import Artifact, RegistryFacts, push, resolve

# Of the code that reads images: facts of another one are read again.
SCHEMA = 1


def read_sif(sif: Path, report: Report) -> ImageSide:
    """The facts of a SIF file, ours or foreign; nothing in it is run, and no root is needed.

    Raises ConfigurationFault if it is no SIF, ToolFailed if it is cut or unsquashfs is missing.
    """
    partition = partition_of(sif)
    runner = Runner(report)
    entries = list_files(sif, partition, runner)
    contents = read_files(sif, partition, wanted(entries), runner)
    return read_image(entries, contents, partition.architecture, sif.stat().st_size)


def known_image(
    digest: Digest, size: int, report: Report, *, sif: Path | None = None,
    reference: ImageRef | None = None,
) -> ImageSide:  # fmt: skip
    """The facts of an image by the sha256 of its SIF; all unknown where nobody could read it."""
    kept = _cached(digest)
    if kept.is_file():
        try:
            return side_from(kept.read_text("utf-8"), str(kept))
        except ConfigurationFault:
            kept.unlink()  # of another version of us
    if sif is not None:
        try:
            side = read_sif(sif, report)
        except ToolFailed as err:  # no unsquashfs here, say: a run must not end for it
            report.warn(f"the image was not read: {err.faults[0]}")
            return ImageSide(size=size)
        keep(digest, side)
        return side
    text = RegistryFacts(reference, report).get(digest) if reference else None
    if text is None:
        return ImageSide(size=size)
    try:
        side = side_from(text, f"{reference}: its facts")
    except ConfigurationFault as err:
        report.warn(f"the registry's facts of the image are not used: {err.faults[0]}")
        return ImageSide(size=size)
    keep(digest, replace(side, size=size))
    return replace(side, size=size)


def find_image_side(image: str, report: Report) -> ImageSide:
    """The facts of `oras://...` or of a SIF file."""
    if image.startswith("oras://"):
        artifact = resolve(ImageRef.parse(image), report)
        return known_image(artifact.layer, artifact.size, report, reference=artifact.reference)
    path = Path(image).expanduser().absolute()
    partition_of(path)  # no digest of what is no image
    return known_image(digest_of(path), path.stat().st_size, report, sif=path)


def push_with_facts(sif: Path, reference: ImageRef, report: Report) -> Artifact:
    """Push a SIF, and its facts beside it, so that a check elsewhere needs no pull."""
    artifact = push(sif, reference, report)
    with report.step("the image's facts, for checks before a run"):
        side = known_image(artifact.layer, artifact.size, report, sif=sif)
        if side == ImageSide(size=artifact.size):
            return artifact
        try:
            RegistryFacts(artifact.reference, report).put(artifact.layer, text_of_side(side))
        except FactoryError as err:  # the image itself is there
            report.warn(f"the registry did not take the image's facts: {err.faults[0]}")
    return artifact


def keep(digest: Digest, side: ImageSide) -> None:
    """Keep facts in the cache of this machine."""
    path = _cached(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text_of_side(side))


def _cached(digest: Digest) -> Path:
    return cache_folder() / "image-facts" / f"{digest.hex}.json"


def text_of_side(side: ImageSide) -> str:
    """Facts as JSON text."""
    known = {name: value for name, value in asdict(side).items() if value is not None}
    return json.dumps({"schema": SCHEMA, "facts": known}, indent=1) + "\n"


def side_from(text: str, where: str) -> ImageSide:
    """Facts from JSON text; raises ConfigurationFault with all faults."""
    try:
        document = json.loads(text)
    except ValueError:
        raise ConfigurationFault("this is no JSON", where=where) from None
    found: dict[str, Any] = check(document, _SCHEMA, where)["facts"]
    for name, value in found.items():
        if isinstance(value, list):
            found[name] = tuple(value)
    return ImageSide(**found)


_KINDS: dict[str, dict[str, Any]] = {
    "str": {"type": "string"}, "int": {"type": "integer", "minimum": 0},
    "tuple[str, ...]": {"type": "array", "items": {"type": "string"}},
}  # fmt: skip
_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "facts"],
    "properties": {
        "schema": {"const": SCHEMA, "description": "1"},
        "facts": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                one.name: _KINDS[str(one.type).removesuffix(" | None")] for one in fields(ImageSide)
            },
        },
    },
}
