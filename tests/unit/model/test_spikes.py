"""Spikes: merged in canonical order, refused with all faults where they are not whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from imagefactory.base.errors import NoVerdict
from imagefactory.model import load_spikes, read_spikes, write_spikes
from tests.unit.model.conftest import SPIKES, MakeOutput, change_rank, write_rank


def refusal(folder: Path) -> str:
    with pytest.raises(NoVerdict) as caught:
        read_spikes(folder)
    return str(caught.value)


def test_ranks_are_merged_in_canonical_order(make_output: MakeOutput) -> None:
    spikes = read_spikes(make_output())
    pairs = list(zip(spikes.step.tolist(), spikes.neuron.tolist(), strict=True))
    assert pairs == [(1, 9), (3, 4), (3, 8), (5, 0), (5, 1), (100, 3)]
    assert (spikes.dt_ms, spikes.duration_ms, spikes.size, len(spikes)) == (0.1, 10.0, 10, 6)
    assert spikes.population_of(9).name == "inhibitory"


def test_digest_does_not_know_how_ranks_shared_the_neurons(make_output: MakeOutput) -> None:
    together = [[pair for part in SPIKES for pair in part]]
    shuffled = [SPIKES[1][::-1], [], SPIKES[0]]
    digests = {
        read_spikes(make_output(name, spikes)).digest
        for name, spikes in (("two", SPIKES), ("one", together), ("three", shuffled))
    }
    assert len(digests) == 1


def test_digest_knows_every_spike_and_the_grid(make_output: MakeOutput) -> None:
    whole = read_spikes(make_output())
    fewer = read_spikes(make_output("fewer", [SPIKES[0], SPIKES[1][:2]]))
    folder = make_output("grid")
    job = folder / "parameters.json"
    job.write_text(job.read_text().replace("0.1", "0.05"))
    assert len({whole.digest, fewer.digest, read_spikes(folder).digest}) == 3


def test_output_folder_alone_will_do(make_output: MakeOutput) -> None:
    folder = make_output()
    assert read_spikes(folder / "output").digest == read_spikes(folder).digest


def test_merged_file_keeps_all(make_output: MakeOutput, tmp_path: Path) -> None:
    spikes = read_spikes(make_output())
    write_spikes(spikes, tmp_path / "spikes.npz")
    again = load_spikes(tmp_path / "spikes.npz")
    assert again.digest == spikes.digest
    assert again.populations == spikes.populations


def test_packing_does_not_matter(make_output: MakeOutput, tmp_path: Path) -> None:
    spikes = read_spikes(make_output())
    write_spikes(spikes, tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as file:
        np.savez(tmp_path / "b.npz", **{name: file[name] for name in file.files})
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "b.npz").read_bytes()
    assert load_spikes(tmp_path / "b.npz").digest == spikes.digest


def test_missing_rank(make_output: MakeOutput) -> None:
    folder = make_output()
    (folder / "output" / "rank-c1-100.json").unlink()
    text = refusal(folder)
    assert "the file of rank 0 is missing" in text
    assert "spikes of a rank that is not in this run" in text


def test_ranks_of_different_worlds(make_output: MakeOutput) -> None:
    folder = make_output()
    change_rank(folder / "output", 1, size=4)
    text = refusal(folder)
    assert "worlds of different sizes: 2, 4" in text
    assert "rank 2, 3 is missing" in text


def test_singletons_are_no_run(make_output: MakeOutput) -> None:
    folder = make_output()
    change_rank(folder / "output", 0, size=1)
    change_rank(folder / "output", 1, size=1, rank=0)
    assert "rank 0 is there more than once" in refusal(folder)


def test_rank_that_did_not_finish(make_output: MakeOutput) -> None:
    folder = make_output()
    change_rank(folder / "output", 1, state="started")
    assert "rank 1 did not finish" in refusal(folder)


def test_nothing_started(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    text = refusal(tmp_path)
    assert "no rank wrote its file" in text
    assert "cannot read the file" in text


def test_cut_files_are_all_named(make_output: MakeOutput) -> None:
    folder = make_output()
    for rank in (0, 1):
        path = folder / "output" / f"spikes-{rank}.npz"
        path.write_bytes(path.read_bytes()[: 60 * (rank + 1)])
    text = refusal(folder)
    assert text.count("cut or damaged") == 2


def test_empty_and_missing_files(make_output: MakeOutput) -> None:
    folder = make_output()
    (folder / "output" / "spikes-0.npz").write_bytes(b"")
    (folder / "output" / "spikes-1.npz").unlink()
    text = refusal(folder)
    assert "cut or damaged" in text
    assert "the spikes are missing" in text


def test_pickles_are_refused(make_output: MakeOutput) -> None:
    folder = make_output()
    np.savez(folder / "output" / "spikes-0.npz", neuron=np.array([{}]), step=np.array([1]))
    assert "cut or damaged (ValueError)" in refusal(folder)


def test_wrong_types_and_lengths(make_output: MakeOutput) -> None:
    folder = make_output()
    np.savez(folder / "output" / "spikes-0.npz", neuron=np.zeros(3), step=np.zeros((1, 3), int))
    np.savez(folder / "output" / "spikes-1.npz", step=np.zeros(3, int))
    text = refusal(folder)
    assert "neuron is float64 with 1 axes" in text
    assert "step is int64 with 2 axes" in text
    assert "not of the same length" in text
    assert "the file has no array neuron" in text


def test_count_of_the_rank_is_held_against_its_file(make_output: MakeOutput) -> None:
    folder = make_output()
    change_rank(folder / "output", 0, spikes=4)
    assert "3 spikes, but the rank counted 4" in refusal(folder)


@pytest.mark.parametrize(
    ("spike", "said"),
    [
        ((0, -1), "1 spikes at a negative time: neuron 0 at step -1"),
        ((0, 101), "1 spikes after the end of the run (10 ms)"),
        ((10, 5), "1 spikes of a neuron that is not among the 10 recorded"),
        ((-1, 5), "1 spikes of a neuron that is not among the 10 recorded"),
        ((9, 1), "1 spikes are there twice: neuron 9 at step 1"),
    ],
)
def test_impossible_spikes(make_output: MakeOutput, spike: tuple[int, int], said: str) -> None:
    folder = make_output()
    write_rank(folder / "output", 0, 2, [*SPIKES[0], spike])
    assert said in refusal(folder)


def test_all_impossible_spikes_come_at_once(make_output: MakeOutput) -> None:
    folder = make_output()
    write_rank(folder / "output", 0, 2, [(0, -1), (0, 200), (77, 3), (9, 1)])
    assert len(refusal(folder).splitlines()) == 4


def test_file_out_of_order_is_refused(make_output: MakeOutput, tmp_path: Path) -> None:
    write_spikes(read_spikes(make_output()), tmp_path / "s.npz")
    with np.load(tmp_path / "s.npz") as file:
        arrays = {name: file[name] for name in file.files}
    arrays["step"], arrays["neuron"] = arrays["step"][::-1], arrays["neuron"][::-1]
    np.savez(tmp_path / "s.npz", **arrays)
    with pytest.raises(NoVerdict, match="not in canonical order"):
        load_spikes(tmp_path / "s.npz")


def test_file_that_does_not_say_what_it_is_of(make_output: MakeOutput, tmp_path: Path) -> None:
    shutil.copy(make_output() / "output" / "spikes-0.npz", tmp_path / "s.npz")
    with pytest.raises(NoVerdict, match="no array about"):
        load_spikes(tmp_path / "s.npz")
    np.savez(tmp_path / "s.npz", neuron=[1], step=[1], about=np.frombuffer(b"{}", np.uint8))
    with pytest.raises(NoVerdict, match="does not say what its spikes belong to"):
        load_spikes(tmp_path / "s.npz")
