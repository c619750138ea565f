"""What each backend can do, as data: table 1 of the paper, widened (backends.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.base.errors import UsageFault, nearest
from imagefactory.base.settings import load_schema, read_yaml

KINDS = ("cells", "connectors", "synapses", "currents")


@dataclass(frozen=True)
class Told:
    """One fact, and where it is known from."""

    value: str
    source: str


@dataclass(frozen=True)
class Names:
    """PyNN's names of one kind that a backend has; `absent` of them our own image has not."""

    names: tuple[str, ...]
    source: str
    absent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """The time step (ms) that a backend is made for; with `only` it has no other."""

    best: float
    source: str
    only: bool = False


@dataclass(frozen=True)
class Board:
    """How many neurons a core takes, and how many cores a board has for them, at most."""

    neurons_a_core: int
    cores: int
    source: str


@dataclass(frozen=True)
class Approximation:
    """What a backend computes in another way, and what comes of it."""

    what: str
    effect: str
    source: str


@dataclass(frozen=True)
class Backend:
    """One backend; a kind that is missing in `has` is one of which nothing is known."""

    name: str
    title: str
    exercised: str
    table: Mapping[str, Told]
    has: Mapping[str, Names] = field(default_factory=dict)
    one_process: bool = False
    step: Step | None = None
    board: Board | None = None
    approximations: tuple[Approximation, ...] = ()


@cache
def list_backends() -> tuple[Backend, ...]:
    """All backends, in the order of the table."""
    path = Path(str(files("imagefactory.model").joinpath("backends.yaml")))
    document = read_yaml(path, load_schema("imagefactory.model", "backends.schema.json"))
    return tuple(_backend(name, entry) for name, entry in document["backends"].items())


def find_backend(name: str) -> Backend:
    """The backend of this name; raises UsageFault with the nearest name."""
    known = {backend.name: backend for backend in list_backends()}
    if name not in known:
        raise UsageFault(f"there is no backend {name!r}", fix=nearest(name, known))
    return known[name]


def tabulate_backends() -> list[str]:
    """The table for people: a line for each fact, a column for each backend below it."""
    found = list_backends()
    facts = dict.fromkeys(fact for backend in found for fact in backend.table)
    lines = [f"{backend.name:20} {backend.title}; {backend.exercised}" for backend in found]
    for fact in facts:
        lines += ["", fact]
        lines += [
            f"  {backend.name:18} {told.value}  ({told.source})"
            for backend in found
            if (told := backend.table.get(fact))
        ]
    return lines


def _backend(name: str, entry: Mapping[str, Any]) -> Backend:
    return Backend(
        name=name,
        title=entry["title"],
        exercised=entry["exercised"],
        table={fact: Told(**told) for fact, told in entry["table"].items()},
        has={kind: _names(entry[kind]) for kind in KINDS if kind in entry},
        one_process=entry.get("one_process", False),
        step=Step(**entry["step"]) if "step" in entry else None,
        board=Board(**entry["board"]) if "board" in entry else None,
        approximations=tuple(Approximation(**one) for one in entry.get("approximations", ())),
    )


def _names(entry: Mapping[str, Any]) -> Names:
    absent = tuple(entry.get("not_in_our_image", ()))
    return Names(tuple(entry["names"]), entry["source"], absent)
