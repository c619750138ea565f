"""What was read in an image, kept beside it in its registry, under a tag made of its digest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from imagefactory.base.errors import ToolFailed
from imagefactory.base.report import Report
from imagefactory.base.values import Digest, ImageRef
from imagefactory.registry.manifest import IMAGE_FACTS
from imagefactory.registry.transfer import pull, push


@dataclass(frozen=True)
class RegistryFacts:
    """The facts of images in the repository of `image`. Both raise what the registry does."""

    image: ImageRef
    report: Report

    def get(self, sif: Digest) -> str | None:
        """The facts of this SIF as JSON text; None where nobody put any."""
        with TemporaryDirectory() as folder:
            place = Path(folder) / "facts.json"
            try:
                pull(self._tag(sif), place, self.report, kind=IMAGE_FACTS)
            except ToolFailed:  # there is no such tag
                return None
            return place.read_text(encoding="utf-8")

    def put(self, sif: Digest, text: str) -> None:
        """Keep facts; those that are there are replaced."""
        with TemporaryDirectory() as folder:
            place = Path(folder) / "facts.json"
            place.write_text(text, encoding="utf-8")
            push(place, self._tag(sif), self.report, kind=IMAGE_FACTS)

    def _tag(self, sif: Digest) -> ImageRef:
        text = f"oras://{self.image.registry}/{self.image.repository}:facts-{sif.hex}"
        return ImageRef.parse(text)
