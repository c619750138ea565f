"""The symptoms of symptoms.yaml, as frozen values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.base.settings import load_schema, read_yaml

_FACTS = "facts/pmix-containers.md"


class Effect(StrEnum):
    """What a symptom does to a run; see symptoms.yaml."""

    STOPS = "stops"
    WRONG = "wrong"
    SLOW = "slow"
    NOISE = "noise"


@dataclass(frozen=True)
class Signature:
    """A text of a log: `pattern` over a few lines of a rank, `near` in the last of them."""

    near: str
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Symptom:
    """What lines of a log mean, how to make sure, what mends it, and where that is known from.

    `row` is that of the symptom table of the facts; None for what stands elsewhere in them.
    """

    id: str
    row: int | None
    effect: Effect
    signatures: tuple[Signature, ...]
    cause: str
    check: str
    fix: str
    evidence: str
    source: str
    times: int = 1
    along: str | None = None  # `with`: the symptom that must be seen too, and that this replaces

    @property
    def name(self) -> str:
        """How people call it."""
        return self.id if self.row is None else f"row {self.row}, {self.id}"


@cache
def shipped_symptoms() -> tuple[Symptom, ...]:
    """The symptoms of symptoms.yaml, in their order."""
    path = Path(str(files("imagefactory.launch").joinpath("symptoms.yaml")))
    document = read_yaml(path, load_schema("imagefactory.launch", "symptoms.schema.json"))
    return tuple(_symptom(entry) for entry in document["symptoms"])


def symptom(id_: str) -> Symptom:
    """The shipped symptom of that id."""
    return next(one for one in shipped_symptoms() if one.id == id_)


def _symptom(entry: Mapping[str, Any]) -> Symptom:
    row, threads = entry.get("row"), entry.get("source")
    table = f"{_FACTS} 4, row {row}" if row is not None else _FACTS
    return Symptom(
        id=entry["id"],
        row=row,
        effect=Effect(entry["effect"]),
        signatures=tuple(
            Signature(one["near"], re.compile(one["text"], re.MULTILINE))
            for one in entry["signatures"]
        ),
        cause=entry["cause"],
        check=entry["check"],
        fix=entry["fix"],
        evidence=entry["evidence"],
        source=f"{table}; {threads}" if threads else table,
        times=entry.get("times", 1),
        along=entry.get("with"),
    )
