"""The file of an image that is known by its digest: built here, kept here, or pulled."""

from __future__ import annotations

from pathlib import Path

from imagefactory.base.errors import UsageFault
from imagefactory.base.files import digest_of
from imagefactory.base.ordinary import ordinary_cache, ordinary_folder
from imagefactory.base.report import Report
from imagefactory.base.values import Digest, ImageRef


def find_sif(digest: Digest, report: Report, reference: ImageRef | None = None) -> Path:
    """A SIF with this sha256 on this machine; pulled from `reference` where there is none.

    Raises UsageFault where there is neither.
    """
    cache = ordinary_cache()
    kept = cache / "images" / "pulled" / f"sha256-{digest.hex}.sif"
    stored = cache / "store" / f"sha256-{digest.hex}.sif"
    # The newest first: most likely it was just built. An image names itself by its digest only.
    built = sorted((cache / "images").glob("*/*/*.sif"), key=_age, reverse=True)
    for path in (kept, stored, *(each for each in built if _said(each) == str(digest))):
        if path.is_file() and digest_of(path) == digest:
            return path
    if reference is None:
        raise UsageFault(f"the image {digest} is not on this machine", fix="give --image FILE.sif")
    from imagefactory.registry import pull

    ordinary_folder(kept.parent)
    pull(reference, kept, report)
    return kept


def _age(path: Path) -> float:
    return path.stat().st_mtime


def _said(sif: Path) -> str:
    """The digest that the record beside a SIF tells."""
    from imagefactory.base.settings import read_json

    record = sif.with_suffix(".record.json")
    return str(read_json(record, {"type": "object"}).get("digest")) if record.is_file() else ""
