"""Output folders as the ranks of a run leave them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

POPULATIONS = [
    {"name": "excitatory", "first": 0, "size": 8},
    {"name": "inhibitory", "first": 8, "size": 2},
]
# Two ranks: (neuron, step) of each, in no order.
SPIKES = [[(0, 5), (4, 3), (8, 3)], [(9, 1), (1, 5), (3, 100)]]

MakeOutput = Callable[..., Path]


def write_rank(output: Path, rank: int, size: int, spikes: list[tuple[int, int]]) -> None:
    """One rank's two files."""
    neuron, step = (np.array([s[i] for s in spikes], dtype=np.int64) for i in (0, 1))
    np.savez(output / f"spikes-{rank}.npz", neuron=neuron, step=step)
    seen = {
        "rank": rank, "size": size, "host": "c1", "pid": 100 + rank, "state": "finished",
        "populations": POPULATIONS, "spikes": len(spikes),
    }  # fmt: skip
    (output / f"rank-c1-{100 + rank}.json").write_text(json.dumps(seen))


def change_rank(output: Path, written_by: int, **changed: Any) -> None:
    """Change what a rank's JSON file says."""
    path = output / f"rank-c1-{100 + written_by}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))


@pytest.fixture
def make_output(tmp_path: Path) -> MakeOutput:
    """Make a run's folder with the output of as many ranks as there are lists of spikes."""

    def make(name: str = "run", spikes: list[list[tuple[int, int]]] | None = None) -> Path:
        spikes = SPIKES if spikes is None else spikes
        folder = tmp_path / name
        (folder / "output").mkdir(parents=True)
        parameters = {"parameters": {"dt_ms": 0.1, "duration_ms": 10.0}}
        (folder / "parameters.json").write_text(json.dumps(parameters))
        for rank, part in enumerate(spikes):
            write_rank(folder / "output", rank, len(spikes), part)
        return folder

    return make
