"""Runs made for the tests: records with complete provenance, and spikes to the test's liking."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagefactory.model import Spikes, write_spikes
from imagefactory.model.spikes import Population
from imagefactory.run.record import RunRecord

POPULATIONS = (Population("excitatory", 0, 40), Population("inhibitory", 40, 10))
DT, DURATION = 0.1, 200.0

MakeRun = Callable[..., RunRecord]


def spikes_from(pairs: list[tuple[int, int]], dt: float = DT) -> Spikes:
    """Spikes from (step, neuron) pairs in any order."""
    ordered = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    return Spikes(ordered[:, 1].copy(), ordered[:, 0].copy(), dt, DURATION, POPULATIONS)


def random_pairs(seed: int, count: int = 300) -> list[tuple[int, int]]:
    """Distinct spikes of 50 neurons in 2000 steps."""
    chosen = np.random.default_rng(seed).choice(50 * 2000, count, replace=False)
    return [(int(key) // 50 + 1, int(key) % 50) for key in chosen]


def record_of(name: str, **changed: Any) -> RunRecord:
    """A record with all that a comparison needs; `changed` replaces dotted facts."""
    record = RunRecord(
        id=name,
        state="FINISHED",
        site="here",
        model="balanced-random",
        backend="nest",
        image={"reference": "oras://h/p/nest:1", "sif": f"sha256:{'a' * 64}", "size": 1},
        geometry={"nodes": 1, "ranks": 2, "threads": 1, "virtual_processes": 2},
        parameters={
            "seed": 7, "dt_ms": DT, "duration_ms": DURATION, "warmup_ms": 50.0,
            "weight_scale": 1.0, "delivery_guard": True,
        },
        launcher={"name": "srun", "argv": ["srun", "--mpi=pmix"]},
        versions={"nest": "3.10.0", "pynn": "0.13.0", "numpy": "2.4.6"},
        machine={"cpu": "AMD EPYC", "libm": "glibc 2.36"},
        network={
            "digest": "ab" * 16, "connections": 1000, "rng": "mt19937_64",
            "spike_precision": "on_grid", "use_compressed_spikes": False,
        },
        commands=[["srun", "--mpi=pmix", "apptainer", "exec", "image.sif"]],
    )  # fmt: skip
    return _with(record, changed)


def _with(record: RunRecord, changed: dict[str, Any]) -> RunRecord:
    for dotted, value in changed.items():
        section, _, key = dotted.partition(".")
        if key:
            inside = {k: v for k, v in getattr(record, section).items() if k != key}
            if value is not None:
                inside[key] = value
            value = inside
        record = replace(record, **{section: value})
    return record


def records_of(letter: str, seeds: Iterable[int], make: MakeRun, **changed: Any) -> list[RunRecord]:
    """Runs that differ by their seed, each with a network of its own; spikes are of the seed."""
    found = []
    for seed in seeds:
        facts = {"parameters__seed": seed, "network__digest": f"{seed:032x}"} | changed
        found.append(make(f"run-{letter}{seed}", spikes_from(random_pairs(seed)), **facts))
    return found


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run folder with spikes; keywords with `__` for the dot change facts."""

    def make(name: str, spikes: Spikes | None = None, **changed: Any) -> RunRecord:
        spikes = spikes if spikes is not None else spikes_from(random_pairs(1))
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        write_spikes(spikes, folder / "spikes.npz")
        told = {"file": "spikes.npz", "digest": str(spikes.digest), "count": len(spikes)}
        facts = {key.replace("__", "."): value for key, value in changed.items()}
        return _with(replace(record_of(name), folder=folder, spikes=told), facts)

    return make
