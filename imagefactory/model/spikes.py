"""Spikes of a run: read from the ranks' files, checked, in one canonical order."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from imagefactory.base.errors import Fault, NoVerdict
from imagefactory.base.values import Digest

Integers = npt.NDArray[np.int64]
SCHEMA = 1
ARRAYS = ("neuron", "step")
RANK_FILE = re.compile(r"spikes-(\d+)\.npz")
FIRST_FEW = 3


@dataclass(frozen=True)
class Population:
    """A recorded population: its neurons have the canonical indices first .. first + size - 1."""

    name: str
    first: int
    size: int


@dataclass(frozen=True, eq=False)
class Spikes:
    """All spikes of a run in canonical order: by time step, then by neuron.

    A spike is (neuron, step): its neuron's canonical index, and its time in steps of `dt_ms`.
    """

    neuron: Integers
    step: Integers
    dt_ms: float
    duration_ms: float
    populations: tuple[Population, ...]

    def __len__(self) -> int:
        return len(self.neuron)

    @property
    def size(self) -> int:
        """How many neurons were recorded."""
        return sum(population.size for population in self.populations)

    @cached_property
    def digest(self) -> Digest:
        """sha256 over the canonical bytes; how the file was packed does not matter."""
        hasher = hashlib.sha256(json.dumps(about_spikes(self), sort_keys=True).encode())
        for array in (self.step, self.neuron):
            hasher.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        return Digest(f"sha256:{hasher.hexdigest()}")

    def population_of(self, neuron: int) -> Population:
        """The population that a neuron belongs to."""
        for population in self.populations:
            if population.first <= neuron < population.first + population.size:
                return population
        raise IndexError(neuron)


def read_spikes(folder: Path) -> Spikes:
    """The spikes of a run's output folder, merged from all ranks.

    `folder` has the ranks' files, or is the run's folder with `parameters.json` and `output/`.
    Raises NoVerdict with every fault of every file: missing ranks, cut files, files of another
    world, wrong types, negative or late times, unknown neurons, spikes given twice.
    """
    run, output = (folder, folder / "output") if (folder / "output").is_dir() else (
        folder.parent,
        folder,
    )  # fmt: skip
    faults: list[Fault] = []
    ranks = _read_ranks(output, faults)
    parameters = _read_parameters(run / "parameters.json", faults)
    if faults:
        raise NoVerdict.from_faults(faults)
    faults += _find_world_faults(ranks, output)
    parts = [part for rank in ranks for part in _read_part(output, rank, faults)]
    if faults:
        raise NoVerdict.from_faults(faults)
    populations = tuple(Population(**entry) for entry in ranks[0]["populations"])
    neuron = np.concatenate([part["neuron"] for part in parts])
    step = np.concatenate([part["step"] for part in parts])
    order = np.lexsort((neuron, step))
    spikes = Spikes(
        neuron[order], step[order], parameters["dt_ms"], parameters["duration_ms"], populations
    )
    return _checked(spikes, output)


def about_spikes(spikes: Spikes) -> dict[str, Any]:
    """What a file says of its spikes, and their digest covers."""
    return {
        "schema": SCHEMA,
        "dt_ms": float(spikes.dt_ms),
        "duration_ms": float(spikes.duration_ms),
        "populations": [
            {"name": each.name, "first": each.first, "size": each.size}
            for each in spikes.populations
        ],
    }


def _read_json(path: Path, faults: list[Fault]) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is no whole JSON text"
        faults.append(Fault(f"cannot read the file: {reason}", str(path)))
        return {}


def _read_parameters(path: Path, faults: list[Fault]) -> Mapping[str, float]:
    parameters: Mapping[str, float] = _read_json(path, faults).get("parameters", {})
    missing = [name for name in ("dt_ms", "duration_ms") if name not in parameters]
    if missing and not any(fault.where == str(path) for fault in faults):
        faults.append(Fault(f"the job does not give {' and '.join(missing)}", str(path)))
    return parameters


def _read_ranks(output: Path, faults: list[Fault]) -> list[dict[str, Any]]:
    found = [_read_json(path, faults) for path in sorted(output.glob("rank-*.json"))]
    if not found:
        faults.append(
            Fault("no rank wrote its file", str(output), "read the job's log: nothing started")
        )
    ranks = [rank for rank in found if {"rank", "size", "state"} <= rank.keys()]
    return sorted(ranks, key=lambda rank: int(rank["rank"]))


def _find_world_faults(ranks: Sequence[Mapping[str, Any]], output: Path) -> Iterator[Fault]:
    """Ranks that are missing, twice there, of other worlds, or that did not end."""
    where = str(output)
    sizes = sorted({int(rank["size"]) for rank in ranks})
    numbers = [int(rank["rank"]) for rank in ranks]
    if len(sizes) > 1:
        yield Fault(f"the ranks saw worlds of different sizes: {_words(sizes)}", where)
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        yield Fault(
            f"rank {_words(twice)} is there more than once: files of different runs, "
            "or processes that did not see each other",
            where,
            "run it again in an empty folder",
        )
    missing = sorted(set(range(max(sizes))) - set(numbers))
    if missing:
        yield Fault(f"the file of rank {_words(missing)} is missing", where, "fetch it again")
    unfinished = sorted(
        int(rank["rank"])
        for rank in ranks
        if rank["state"] != "finished" or "populations" not in rank
    )
    if unfinished:
        yield Fault(f"rank {_words(unfinished)} did not finish", where, "read the job's log")
    if len({json.dumps(rank.get("populations")) for rank in ranks}) > 1 and not unfinished:
        yield Fault("the ranks recorded different populations", where)
    known = {f"spikes-{number}.npz" for number in numbers}
    for path in sorted(output.glob("spikes-*.npz")):
        if RANK_FILE.fullmatch(path.name) and path.name not in known:
            yield Fault("spikes of a rank that is not in this run", str(path))


def _read_part(
    output: Path, rank: Mapping[str, Any], faults: list[Fault]
) -> list[dict[str, npt.NDArray[Any]]]:
    path = output / f"spikes-{rank['rank']}.npz"
    arrays = _load(path, ARRAYS)
    if isinstance(arrays, Fault):
        faults.append(arrays)
        return []
    found = list(_find_type_faults(arrays, str(path)))
    counted = rank.get("spikes")
    if not found and counted is not None and counted != len(arrays["neuron"]):
        found.append(
            Fault(f"{len(arrays['neuron'])} spikes, but the rank counted {counted}", str(path))
        )
    faults += found
    return [] if found else [arrays]


def _load(path: Path, names: Sequence[str]) -> dict[str, npt.NDArray[Any]] | Fault:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            missing = [name for name in names if name not in file.files]
            if missing:
                return Fault(f"the file has no array {_words(missing)}", str(path))
            return {name: file[name] for name in names}
    except FileNotFoundError:
        return Fault("the spikes are missing", str(path), "fetch them again")
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error) as err:
        return Fault(
            f"the file is cut or damaged ({type(err).__name__})", str(path), "fetch it again"
        )


def _find_type_faults(arrays: Mapping[str, npt.NDArray[Any]], where: str) -> Iterator[Fault]:
    for name in ARRAYS:
        array = arrays[name]
        if array.dtype != np.int64 or array.ndim != 1:
            yield Fault(f"{name} is {array.dtype} with {array.ndim} axes, not int64 with 1", where)
    if arrays["neuron"].shape != arrays["step"].shape:
        yield Fault("neuron and step are not of the same length", where)


def _checked(spikes: Spikes, path: Path) -> Spikes:
    checker = SpikeChecker(spikes.dt_ms, spikes.duration_ms, spikes.size)
    checker.add(spikes.neuron, spikes.step)
    faults = list(checker.faults(str(path)))
    if faults:
        raise NoVerdict.from_faults(faults)
    return spikes


class SpikeChecker:
    """Looks for impossible spikes in pieces of a run, and counts each kind."""

    def __init__(self, dt_ms: float, duration_ms: float, size: int) -> None:
        self.last_step = round(duration_ms / dt_ms)
        self.size = size
        self.before = (np.full(1, -1, np.int64), np.full(1, -1, np.int64))
        self.late = f"after the end of the run ({duration_ms:g} ms)"
        self.found: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}
        self.ordered = True

    def add(self, neuron: Integers, step: Integers) -> None:
        """Look at the next piece."""
        unknown = (neuron < 0) | (neuron >= self.size)
        self._count("at a negative time", step < 0, neuron, step)
        self._count(self.late, step > self.last_step, neuron, step)
        what = f"of a neuron that is not among the {self.size} recorded"
        self._count(what, unknown, neuron, step)
        later = np.diff(step, prepend=self.before[1])
        higher = np.diff(neuron, prepend=self.before[0])
        self._count("twice", (later == 0) & (higher == 0), neuron, step)
        # A negative step stands before the first of all; it is told above.
        wrong = (later < 0) | ((later == 0) & (higher < 0))
        self.ordered &= not (wrong & (step >= 0)).any()
        if len(step):
            self.before = (neuron[-1:], step[-1:])

    def faults(self, where: str) -> Iterator[Fault]:
        """Everything that was found."""
        for what, count in self.found.items():
            said = "are there twice" if what == "twice" else what
            more = ", ..." if count > FIRST_FEW else ""
            yield Fault(f"{count} spikes {said}: {', '.join(self.examples[what])}{more}", where)
        if not self.ordered:
            yield Fault("the spikes are not in canonical order (step, then neuron)", where)

    def _count(
        self, what: str, wrong: npt.NDArray[np.bool_], neuron: Integers, step: Integers
    ) -> None:
        places = np.flatnonzero(wrong)
        if len(places):
            self.found[what] = self.found.get(what, 0) + len(places)
            examples = self.examples.setdefault(what, [])
            some = places[: FIRST_FEW - len(examples)]
            examples += [f"neuron {neuron[i]} at step {step[i]}" for i in some]


def _words(items: Sequence[object]) -> str:
    return ", ".join(str(item) for item in items)
