"""A NESTML file, as far as we look at it ourselves; what is right in it NESTML says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import UsageFault
from imagefactory.base.files import digest_of_text
from imagefactory.base.values import Digest

SUFFIX = ".nestml"
LIMIT_BYTES = 1_000_000
_MODEL = re.compile(r"^model\s+([A-Za-z_]\w*)\s*:", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Source:
    """A NESTML file: its text, and the names of the models in it."""

    path: Path
    text: str
    models: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.path.stem

    @property
    def module(self) -> str:
        """The module's name, which NESTML wants to end so."""
        return f"{self.name}module"

    @property
    def digest(self) -> Digest:
        """Of the text."""
        return digest_of_text(self.text)


def read_source(path: Path) -> Source:
    """Read a NESTML file; raises UsageFault where it is none."""
    if path.suffix != SUFFIX:
        raise UsageFault(
            f"this is no NESTML file: its name does not end in {SUFFIX}", where=str(path),
            fix="imagefactory model build FILE.nestml",
        )  # fmt: skip
    if not _NAME.fullmatch(path.stem):
        raise UsageFault(
            f"{path.stem!r} cannot name a module", where=str(path),
            fix="a letter, then letters, digits and _",
        )  # fmt: skip
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise UsageFault("this is too large for a NESTML file", where=str(path))
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise UsageFault(f"cannot read the file: {err.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise UsageFault("this is no NESTML file: it is not UTF-8 text", where=str(path)) from None
    models = tuple(_MODEL.findall(text))
    if not models:
        raise UsageFault(
            "this is no NESTML file: there is no model in it", where=str(path),
            fix="it has a line `model NAME:`",
        )  # fmt: skip
    return Source(path, text, models)
