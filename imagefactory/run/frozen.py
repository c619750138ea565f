"""The drawn network of a frozen run: drawn once on this machine, kept under its digest, sent to
every site that runs it, and linked beside the record."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from imagefactory.base.files import cache_folder, digest_of, digest_of_text, write_text
from imagefactory.base.values import Digest
from imagefactory.model import Model, freeze

NAME = "frozen.npz"


class Drawable(Protocol):
    """The plan of a run, whatever carries it."""

    @property
    def model(self) -> Model: ...

    @property
    def parameters(self) -> Mapping[str, Any]: ...


def draw_frozen(plan: Drawable, folder: Path) -> dict[str, Path]:
    """Connections, weights, delays, start values and input of a frozen run, also put into `folder`.

    Returns the file by its name in the run's folder; nothing for a run that is not frozen. The same
    parameters give the same file: it is drawn once, whatever sites take it.
    """
    if not plan.parameters.get("frozen"):
        return {}
    drawn = find_drawn(plan)
    beside = folder / NAME
    beside.parent.mkdir(parents=True, exist_ok=True)
    beside.unlink(missing_ok=True)
    try:
        os.link(drawn, beside)
    except OSError:  # another file system, or one without links
        shutil.copyfile(drawn, beside)
    return {f"inside/{NAME}": beside}


def find_drawn(plan: Drawable) -> Path:
    """The file `sha256-<digits>.npz` of the plan's network, drawn if it is not there whole."""
    folder = cache_folder() / "drawn"
    note = folder / "keys" / _key(plan).hex
    if note.is_file():
        digest = Digest(note.read_text(encoding="utf-8").strip())
        kept = folder / f"sha256-{digest.hex}.npz"
        if kept.is_file() and digest_of(kept) == digest:
            return kept
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        drawn = Path(place) / NAME
        freeze(plan.model, plan.parameters, drawn)
        drawn.chmod(0o444)
        digest = digest_of(drawn)
        kept = folder / f"sha256-{digest.hex}.npz"
        drawn.replace(kept)
    write_text(note, str(digest))
    return kept


def _key(plan: Drawable) -> Digest:
    """Of all that decides what is drawn."""
    model = plan.model
    decides = {
        "files": {file.name: str(digest_of(file)) for file in model.files},
        "parameters": dict(plan.parameters),
        "numpy": version("numpy"),
    }
    return digest_of_text(json.dumps(decides, sort_keys=True))
