"""Neurons by themselves: what differs has a name."""

from __future__ import annotations

import numpy as np
import pytest

from imagefactory.equivalence import Verdict, compare, explain
from imagefactory.equivalence.few_cells import find_differences
from imagefactory.equivalence.statement import state
from imagefactory.model import Population, Spikes
from tests.unit.equivalence.conftest import DURATION, MakeRun

PARTS = (Population("step current", 0, 2), Population("one EPSP", 2, 5),
         Population("delivery", 7, 2))  # fmt: skip
# ms; neuron 2 of "one EPSP" is the first to fire.
LONG = [10.0 * place for place in range(1, 20)]
TIMES = [LONG, [5.0, 9.0, 13.0], [], [], [24.7], [24.6], [24.5], [30.0] * 1, [40.0]]


def spikes_of(times: list[list[float]], dt: float = 0.1) -> Spikes:
    rows = sorted((round(time / dt), cell) for cell, train in enumerate(times) for time in train)
    step, neuron = np.array(rows, dtype=np.int64).T
    return Spikes(neuron.copy(), step.copy(), dt, DURATION, PARTS)


def changed(place: int, train: list[float]) -> list[list[float]]:
    return [*TIMES[:place], train, *TIMES[place + 1 :]]


def test_equal_spikes_differ_in_nothing() -> None:
    assert find_differences(spikes_of(TIMES), spikes_of(TIMES)) == []


@pytest.mark.parametrize(("moved", "apart"), [(10.5, False), (11.5, True)])
def test_one_step_of_the_coarser_grid_is_allowed(moved: float, apart: bool) -> None:
    other = spikes_of(changed(0, [moved, *LONG[1:]]))
    coarse = Spikes(*_coarse(), 1.0, DURATION, PARTS)
    assert bool(find_differences(coarse, other)) is apart


def _coarse() -> tuple[np.ndarray, np.ndarray]:
    spikes = spikes_of([[round(time) for time in train] for train in TIMES], 1.0)
    return spikes.neuron, spikes.step


@pytest.mark.parametrize(
    ("place", "train", "said"),
    [
        (0, [*LONG[:-1], 190.2], "step current: 1 of 2 neurons differ; neuron 0 has 19 and 19 "
         "spikes, up to 0.2 ms apart"),
        (3, [25.0], "one EPSP: 1 of 5 neurons differ; 3 and 4 fire: the heights of an EPSP differ "
         "by +0.2 %; neuron 1 has 0 and 1 spikes"),
        (8, [40.0, 45.0], "delivery: 1 of 2 neurons differ; 2 and 3 spikes came of 10 that were "
         "sent; neuron 1 has 1 and 2 spikes, up to 0 ms apart"),
    ],
)  # fmt: skip
def test_what_differs_is_named(place: int, train: list[float], said: str) -> None:
    assert find_differences(spikes_of(TIMES), spikes_of(changed(place, train))) == [said]


def test_the_verdict_on_two_runs(make_run: MakeRun) -> None:
    a = make_run("run-a", spikes_of(TIMES), model="few-cells")
    b = make_run("run-b", spikes_of(TIMES), model="few-cells")
    c = make_run("run-c", spikes_of(changed(3, [25.0])), model="few-cells")
    assert compare([a], [b]).verdict is Verdict.IDENTICAL
    found = compare([a], [c])
    assert found.verdict is Verdict.DIFFERENT
    assert "differ by +0.2 %" in explain(found)
    assert found.divergence is not None


@pytest.mark.parametrize(
    ("train", "verdict", "said"),
    [([5.1, 9.0, 13.0], Verdict.EQUIVALENT, "are equal within one time step"),
     ([5.1, 9.0], Verdict.DIFFERENT, "are farther apart than one time step")],
)  # fmt: skip
def test_another_step_is_allowed_one_step(
    make_run: MakeRun, train: list[float], verdict: Verdict, said: str
) -> None:
    a = make_run("run-a", spikes_of(TIMES), model="few-cells")
    fine = spikes_of(changed(1, train), 0.05)
    b = make_run("run-b", fine, model="few-cells", parameters__dt_ms=0.05)
    found = compare([a], [b])
    assert found.verdict is verdict
    assert said in found.headline
    assert "one time step" in state(found)
    assert "few cells" in explain(found)


def test_nothing_is_random_so_seed_and_split_do_not_matter(make_run: MakeRun) -> None:
    a = make_run("run-a", spikes_of(TIMES), model="few-cells")
    changed_facts = {
        "parameters__seed": 8, "network__rng": "Philox_64", "geometry__virtual_processes": 4,
    }  # fmt: skip
    b = make_run("run-b", spikes_of(TIMES), model="few-cells", **changed_facts)
    assert compare([a], [b]).verdict is Verdict.IDENTICAL
    c = make_run("run-c", spikes_of(changed(1, [5.1, 9.0, 13.0])), model="few-cells")
    assert compare([a], [c]).verdict is Verdict.DIFFERENT
