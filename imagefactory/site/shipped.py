"""What we know of public sites: the records that are shipped, each value with source and date.

A shipped record is no whole site record: what is unknown, or the user's own, is empty in it. The
user's record of the same name is laid over it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.base.settings import read_yaml

# A way to the site is the user's to choose: these sections count only where the user has them too.
_WAYS = ("access", "unicore")
_ABOUT = ("facts", "sources")


@dataclass(frozen=True)
class Value:
    """One value of a shipped record; `value` is None where it is unknown or the user's own.

    `date` is the day on which it was taken from the source, which may be older.
    """

    key: str
    value: str | int | bool | None
    source: str = ""
    date: str = ""


@dataclass(frozen=True)
class Shipped:
    """A shipped record: what of it goes into a site, and every value with where it is from."""

    name: str
    description: str
    document: Mapping[str, Any]
    values: tuple[Value, ...]


@cache
def shipped_records() -> Mapping[str, Shipped]:
    """All shipped records by site name."""
    folder = Path(str(files("imagefactory.site").joinpath("records")))
    return {path.stem: _read(path) for path in sorted(folder.glob("*.yaml"))}


def _read(path: Path) -> Shipped:
    found = read_yaml(path, {"type": "object"})
    about = {key: found.pop(key) for key in _ABOUT}
    values = []
    for key, value in _flat({**found, "facts": about["facts"]}):
        said = about["sources"].get(key, {})
        values.append(Value(key, value, said.get("source", ""), said.get("date", "")))
    return Shipped(found["name"], found["description"], _filled(found), tuple(values))


def _filled(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document without what is empty; a section may stay, with nothing in it."""
    return {
        key: _filled(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }


def _flat(document: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{place}{key}.")
        elif f"{place}{key}" not in {"schema", "name", "description"}:
            yield f"{place}{key}", value


def lay_over(own: Mapping[str, Any], shipped: Mapping[str, Any]) -> dict[str, Any]:
    """The user's record, completed by the shipped one; what the user wrote wins, key by key.

    A section of another kind than the shipped one (mpirun instead of srun) is the user's alone.
    """
    whole = dict(own)
    for key, known in shipped.items():
        if key not in own:
            if key not in _WAYS:
                whole[key] = known
        elif isinstance(known, dict) and isinstance(own[key], dict):
            kind = known.get("kind")
            if kind is None or own[key].get("kind", kind) == kind:
                whole[key] = {**known, **own[key]}
    return whole
