"""Spikes read in pieces: the same spikes, the same digest, the same faults."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imagefactory.base.errors import NoVerdict
from imagefactory.model import Population, Spikes, load_spikes, open_spikes, write_spikes


def spikes_of(pairs: list[tuple[int, int]]) -> Spikes:
    """Spikes of (step, neuron) as they are given."""
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return Spikes(table[:, 1], table[:, 0], 0.1, 10.0, (Population("p", 0, 10),))


def written(tmp_path: Path, pairs: list[tuple[int, int]]) -> Path:
    path = tmp_path / "spikes.npz"
    write_spikes(spikes_of(pairs), path)
    return path


PAIRS = [(step, neuron) for step in range(1, 40) for neuron in (step % 3, 5)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pieces_are_the_whole(tmp_path: Path, size: int) -> None:
    file = open_spikes(written(tmp_path, PAIRS))
    pieces = list(file.pieces(size))
    assert all(len(neuron) == len(step) <= size for neuron, step in pieces)
    assert np.concatenate([step for _, step in pieces]).tolist() == [step for step, _ in PAIRS]
    assert np.concatenate([one for one, _ in pieces]).tolist() == [neuron for _, neuron in PAIRS]
    assert file.count == len(PAIRS)
    assert file.size == 10


def test_the_digest_is_that_of_the_spikes(tmp_path: Path) -> None:
    path = written(tmp_path, PAIRS)
    assert open_spikes(path).read_digest() == spikes_of(PAIRS).digest == load_spikes(path).digest


def test_no_spikes_are_spikes_too(tmp_path: Path) -> None:
    path = written(tmp_path, [])
    assert len(load_spikes(path)) == 0
    assert open_spikes(path).read_digest() == spikes_of([]).digest


@pytest.mark.parametrize("size", [1, 2, 3])
@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([(1, 1), (2, 2), (2, 2)], "1 spikes are there twice: neuron 2 at step 2"),
        ([(1, 1), (3, 2), (2, 2)], "not in canonical order"),
        ([(1, 1), (2, 3), (2, 2)], "not in canonical order"),
        ([(-4, 1), (-4, 1), (2, 2)], "2 spikes at a negative time"),
        ([(1, 1), (2, 10), (101, 2)], "after the end of the run"),
        ([(1, 1), (2, 10), (101, 2)], "not among the 10 recorded"),
    ],
)
def test_faults_are_found_over_the_edges_of_pieces(
    tmp_path: Path, size: int, pairs: list[tuple[int, int]], said: str
) -> None:
    file = open_spikes(written(tmp_path, pairs))
    with pytest.raises(NoVerdict, match=said):
        list(file.pieces(size))


def test_many_faults_are_counted_and_few_are_shown(tmp_path: Path) -> None:
    file = open_spikes(written(tmp_path, [(step, 12) for step in range(1, 60)]))
    with pytest.raises(NoVerdict) as caught:
        list(file.pieces(7))
    assert "59 spikes of a neuron" in str(caught.value)
    assert str(caught.value).count("neuron 12 at step") == 3


def test_a_flipped_byte_is_a_damaged_file(tmp_path: Path) -> None:
    path = written(tmp_path, PAIRS)
    data = bytearray(path.read_bytes())
    data[data.index(b"step.npy") + 40] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(NoVerdict, match="cut or damaged"):
        load_spikes(path)


def test_arrays_of_other_kinds_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, PAIRS)
    with np.load(path) as file:
        about = file["about"]
    np.savez(path, neuron=np.full(3, np.nan), step=np.zeros(4, np.int64), about=about)
    with pytest.raises(NoVerdict) as caught:
        open_spikes(path)
    assert "neuron is float64 with 1 axes, not int64" in str(caught.value)
    assert "not of the same length" in str(caught.value)
