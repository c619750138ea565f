"""The verdict as a JSON document that can be signed: the same comparison gives the same bytes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from imagefactory import __version__
from imagefactory.base.files import digest_of_text
from imagefactory.equivalence.comparison import Comparison
from imagefactory.equivalence.margins import PACKAGE

if TYPE_CHECKING:
    from imagefactory.run import RunRecord

SCHEMA = 1


def document(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON can hold it; what is not a number there is null.

    Every run is there with the digests of its record, its spikes and its image, the margins with
    theirs, and the code of this room with its own.
    """
    outcome = comparison.outcome
    found: dict[str, Any] = _plain({
        "schema": SCHEMA,
        "verdict": str(comparison.verdict),
        "headline": comparison.headline,
        "a": [_about(record) for record in comparison.a],
        "b": [_about(record) for record in comparison.b],
        "margins": {**asdict(comparison.margins), "digest": str(comparison.margins.digest)},
        "code": {"imagefactory": __version__, "equivalence": code_digest()},
        "tiers": outcome.tiers,
        "faults": outcome.faults,
        "pairs": outcome.pairs,
        "window": outcome.window,
        "statistics": outcome.statistics,
        "calibration": comparison.calibration,
        "hints": outcome.hints,
        "provenance": [asdict(row) | {"differs": row.differs} for row in comparison.rows],
    })  # fmt: skip
    if outcome.statistics is not None:
        found["statistics"] |= {
            "finding": str(outcome.statistics.finding),
            "power": outcome.statistics.power,
            "needed": outcome.statistics.needed,
        }
    return found


def record_digest(record: RunRecord) -> str:
    """sha256 of a run record: of its JSON with sorted keys and no spaces, its folder left out."""
    content = asdict(record)
    del content["folder"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return str(digest_of_text(text))


@cache
def code_digest() -> str:
    """sha256 over this room's modules: which code decided."""
    sources = sorted(
        (each.name, each.read_text(encoding="utf-8"))
        for each in files(PACKAGE).iterdir()
        if each.name.endswith(".py")
    )
    return str(digest_of_text(json.dumps(sources)))


def _about(record: RunRecord) -> dict[str, Any]:
    return {
        "run": record.id,
        "site": record.site,
        "record": record_digest(record),
        "spikes": (record.spikes or {}).get("digest"),
        "image": record.image.get("sif"),
        "seed": record.parameters.get("seed"),
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
