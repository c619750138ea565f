"""A cache of Spack locks in a registry: one artifact per key, under a tag made of the key."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from imagefactory.base.errors import ToolFailed, UsageFault
from imagefactory.base.report import Report
from imagefactory.base.values import Digest, ImageRef
from imagefactory.registry.manifest import SPACK_LOCK
from imagefactory.registry.transfer import pull, push


@dataclass(frozen=True)
class RegistryLocks:
    """The cache at `oras://HOST/PROJECT/NAME`, without a tag. Both raise what the registry does."""

    repository: str
    report: Report

    def __post_init__(self) -> None:
        if "@" in self.repository or ":" in self.repository.rpartition("/")[2]:
            raise UsageFault(
                "a cache of locks has no tag: each lock gets its own",
                where=self.repository,
                fix="write oras://HOST/PROJECT/NAME",
            )

    def get(self, key: Digest) -> str | None:
        """The lock of this key, its bytes checked against its digest; None if there is none."""
        with TemporaryDirectory() as folder:
            place = Path(folder) / "spack.lock"
            try:
                pull(self._tag(key), place, self.report, kind=SPACK_LOCK)
            except ToolFailed:  # there is no such tag
                return None
            return place.read_text(encoding="utf-8")

    def put(self, key: Digest, text: str) -> None:
        """Keep a lock; one that is there already stays."""
        with TemporaryDirectory() as folder:
            place = Path(folder) / "spack.lock"
            place.write_text(text, encoding="utf-8")
            push(place, self._tag(key), self.report, kind=SPACK_LOCK)

    def _tag(self, key: Digest) -> ImageRef:
        return ImageRef.parse(f"{self.repository}:{key.hex}")
