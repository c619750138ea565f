"""Spikes as text for other tools."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagefactory.base.errors import NoVerdict
from imagefactory.model import Population, Spikes, open_spikes, write_gdf, write_spikes


def written(folder: Path, dt_ms: float, steps: list[int], neurons: list[int]) -> str:
    population = Population("all", 0, 5)
    spikes = Spikes(np.array(neurons), np.array(steps), dt_ms, 100.0, (population,))
    write_spikes(spikes, folder / "spikes.npz")
    write_gdf(open_spikes(folder / "spikes.npz"), folder / "spikes.gdf")
    return (folder / "spikes.gdf").read_text("ascii")


@pytest.mark.parametrize(
    ("dt_ms", "text"),
    [(0.1, "4\t0.3\n0\t70.1\n"), (0.05, "4\t0.15\n0\t35.05\n"), (0.125, "4\t0.375\n0\t87.625\n")],
)
def test_times_have_the_digits_of_a_step(tmp_path: Path, dt_ms: float, text: str) -> None:
    assert written(tmp_path, dt_ms, [3, 701], [4, 0]) == text


def test_bad_spikes_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoVerdict):
        written(tmp_path, 0.1, [3, 3], [4, 4])
    assert not (tmp_path / "spikes.gdf").exists()
