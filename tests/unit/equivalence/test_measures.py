"""Measures: by the definitions, however the spikes are cut, and true where truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from imagefactory.base.errors import NoVerdict
from imagefactory.equivalence import measures
from imagefactory.equivalence.measures import PopulationMeasures, Window, measure, measure_pieces
from imagefactory.model import Population, Spikes
from tests.unit.equivalence.trains import make_trains

WINDOW = Window(200.0, 2000.0)


def same(a: PopulationMeasures, b: PopulationMeasures) -> None:
    for name in ("rate", "cv", "lv", "correlation"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-9, atol=1e-12)
    assert a.fano == pytest.approx(b.fano, rel=1e-9, nan_ok=True)


def test_equal_to_the_definitions() -> None:
    """One neuron and one pair at a time, as the formulas are written; Elephant: see integration."""
    spikes = make_trains(3, sizes=(12, 4), shared=0.3, cv=0.7, spread=0.6)
    for population, ours in zip(spikes.populations, measure(spikes, WINDOW), strict=True):
        members = range(population.first, population.first + population.size)
        steps = [spikes.step[(spikes.neuron == each) & (spikes.step > 2000)] for each in members]
        binned = np.array(
            [np.histogram(each, np.arange(2000, 20001, 20) + 0.5)[0] for each in steps]
        )
        whole = np.histogram(np.concatenate(steps), np.arange(2000, 20001, 50) + 0.5)[0]
        intervals = [np.diff(each) if len(each) >= 10 else np.full(9, np.nan) for each in steps]
        theirs = PopulationMeasures(
            population.name,
            np.array([len(each) / 1.8 for each in steps]),
            np.array([each.std() / each.mean() for each in intervals]),
            np.array([
                3 * np.mean(((each[1:] - each[:-1]) / (each[1:] + each[:-1])) ** 2)
                for each in intervals
            ]),
            np.corrcoef(binned)[np.triu_indices(len(steps), 1)],
            float(whole.var() / whole.mean()),
        )  # fmt: skip
        assert not np.isnan(ours.cv).all()
        same(ours, theirs)


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_pieces_do_not_matter(piece: int) -> None:
    spikes = make_trains(5, sizes=(12, 4), shared=0.2, duration_ms=500.0, rate_hz=60)
    window = Window(100.0, 500.0)
    whole = measure(spikes, window)
    pieces = (
        (spikes.neuron[at : at + piece], spikes.step[at : at + piece])
        for at in range(0, len(spikes), piece)
    )
    cut = measure_pieces(pieces, spikes.populations, 0.1, 500.0, window)
    for one, other in zip(whole, cut, strict=True):
        same(one, other)


def test_pairs_of_a_large_population_are_of_evenly_chosen_cells() -> None:
    cells = measures.choose_cells(Population("p", 100, 1000))
    assert len(cells) == 200
    assert set(np.diff(cells)) == {5}
    assert (cells[0], cells[-1]) == (100, 1095)


@pytest.mark.parametrize("cv", [0.3, 1.0])
def test_known_truth(cv: float) -> None:
    spikes = make_trains(1, sizes=(30,), rate_hz=40.0, cv=cv, duration_ms=5000.0)
    (found,) = measure(spikes, Window(0.0, 5000.0))
    assert found.mean("rate") == pytest.approx(40.0, rel=0.03)
    assert found.mean("cv") == pytest.approx(cv, rel=0.04)
    # A gamma process of shape 1/CV^2 has LV = 3 / (2 shape + 1): Shinomoto et al. 2003.
    assert found.mean("lv") == pytest.approx(3 / (2 / cv**2 + 1), rel=0.05)
    assert abs(found.mean("correlation")) < 0.005
    # Independent trains: the population's counts are as those of a Poisson process or below.
    assert found.fano < 1.15


def test_shared_input_shows_in_correlation_and_fano() -> None:
    spikes = make_trains(2, sizes=(20,), rate_hz=40.0, shared=0.4, duration_ms=5000.0)
    (found,) = measure(spikes, Window(0.0, 5000.0))
    # Each common spike is kept by half of the neurons: covariance 0.4/2 of the variance.
    assert found.mean("correlation") == pytest.approx(0.2, rel=0.1)
    assert found.fano > 3


def test_few_spikes_give_no_interval_measures() -> None:
    step = np.arange(1, 20, dtype=np.int64) * 100
    neuron = np.where(np.arange(19) < 9, 0, 1).astype(np.int64)
    spikes = Spikes(neuron, step, 0.1, 200.0, (Population("p", 0, 3),))
    (found,) = measure(spikes, Window(0.0, 200.0))
    assert found.rate.tolist() == [45.0, 50.0, 0.0]
    assert np.isnan(found.cv).tolist() == [True, False, True]
    assert (found.cv[1], found.lv[1]) == (0.0, 0.0)
    assert np.isnan(found.correlation).tolist() == [False, True, True]


def test_silence_has_no_measures() -> None:
    none = np.zeros(0, np.int64)
    (found,) = measure(Spikes(none, none, 0.1, 200.0, (Population("p", 0, 3),)), Window(0.0, 200.0))
    assert found.mean("rate") == 0.0
    assert all(np.isnan(found.mean(name)) for name in ("cv", "lv", "correlation", "fano"))


def test_window_is_open_on_the_left_and_closed_on_the_right() -> None:
    step = np.array([500, 501, 1000, 1001], dtype=np.int64)
    spikes = Spikes(np.zeros(4, np.int64), step, 0.1, 200.0, (Population("p", 0, 1),))
    (found,) = measure(spikes, Window(50.0, 100.0))
    assert found.rate[0] == 2 / 0.05


@pytest.mark.parametrize(
    ("window", "dt", "said"),
    [
        (Window(200.0, 200.0), 0.1, "not inside the run"),
        (Window(0.0, 2001.0), 0.1, "not inside the run"),
        (Window(0.0, 2000.0), 0.3, "no whole number of steps"),
        (Window(0.05, 2000.0), 0.1, "0.05 ms is no whole number"),
    ],
)
def test_windows_that_cannot_be(window: Window, dt: float, said: str) -> None:
    with pytest.raises(NoVerdict, match=said):
        measure_pieces([], (Population("p", 0, 2),), dt, 2000.0, window)
