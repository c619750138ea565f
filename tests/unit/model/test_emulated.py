"""SpiNNaker's arithmetic: constants and single cells against what can be derived by hand, and whole
runs against a second, plain program."""

from __future__ import annotations

import math
from importlib import import_module
from typing import Any

import numpy as np
import pytest

from imagefactory.model import find_model, resolve_parameters
from imagefactory.model.inside import emulated as sim

CELL: dict[str, float] = {
    "v_rest": -70.0, "v_reset": -70.0, "v_thresh": -55.0, "cm": 0.25, "tau_m": 10.0,
    "tau_refrac": 2.0, "tau_syn_E": 2.0, "tau_syn_I": 2.0,
}  # fmt: skip
ONE = 32768


def one_cell(
    times: list[float], weight: float = 1.0, kind: str = "excitatory", **cell: Any
) -> sim.Population:
    """One cell at rest, and a source that fires at these times (ms)."""
    sim.setup(timestep=1.0)
    population = sim.Population(1, sim.IF_curr_exp(**{**CELL, **cell}), "cell")
    source = sim.Population(1, sim.SpikeSourceArray([np.array(times)]), "source")
    synapse = sim.StaticSynapse(weight=weight, delay=1.0)
    sim.Projection(source, population, sim.OneToOneConnector(), synapse, kind)
    return population


def steps_of(population: sim.Population) -> list[int]:
    _, times = population.get_data("spikes").segments[0].spiketrains.multiplexed
    return [int(time) for time in times]


def membrane(population: sim.Population, ticks: int) -> list[int]:
    """The membrane after each tick, S16.15."""
    found = []
    for _ in range(ticks):
        sim.run(1.0)
        found.append(int(population.v[0]))
    return found


# --- rounding ----------------------------------------------------------------------------------


def test_numbers_in_fixed_point() -> None:
    assert sim.fixed([1.0, -1.0, 2**-15, 2**-17]).tolist() == [ONE, -ONE, 1, 0]
    with pytest.raises(OverflowError, match="does not fit"):
        sim.fixed(65536.0)


@pytest.mark.parametrize(
    ("a", "b", "product"),
    [(ONE, 5, 5), (ONE // 2, 1, 1), (ONE // 2, -1, 0), (ONE // 4, 1, 0), (-ONE // 4, 3, -1)],
)
def test_products_are_rounded_to_nearest(a: int, b: int, product: int) -> None:
    assert int(sim.times_nearest(np.array(a), np.array(b))) == product


def test_decays_are_cut_downwards() -> None:
    half = np.array(1 << 31)
    assert [int(sim.decayed(np.array(value), half)) for value in (3, 1, -1, -3)] == [1, 0, -1, -2]


def test_constants_of_a_current() -> None:
    decay = sim.Decay.of(2.0)
    assert decay.factor == round(math.exp(-0.5) * 2**32)
    # tau / dt * (1 - exp(-dt / tau)): the mean of a step's current.
    assert decay.taken / 2**32 == pytest.approx(2 * (1 - math.exp(-0.5)), abs=2**-31)


# --- single cells ------------------------------------------------------------------------------


def test_a_cell_at_rest_stays_there() -> None:
    assert set(membrane(one_cell([]), 20)) == {-70 * ONE}


def test_an_epsp_is_the_one_that_its_recurrence_gives() -> None:
    """v_n = R w init (1 - a) (a^n - d^n) / (a - d), a and d the decays of membrane and current."""
    a, d = math.exp(-0.1), math.exp(-0.5)
    scale = 40.0 * 1.0 * 2 * (1 - d) * (1 - a) / (a - d)
    found = membrane(one_cell([5.0]), 30)
    for n in range(1, 24):
        expected = scale * (a**n - d**n)
        assert found[5 + n] / ONE + 70.0 == pytest.approx(expected, abs=0.005)
    assert set(found[:6]) == {-70 * ONE}  # a delay of 1 ms: it acts from tick 6 on


def test_an_inhibitory_weight_is_its_size() -> None:
    up = membrane(one_cell([5.0], 1.0), 12)
    down = membrane(one_cell([5.0], -1.0, "inhibitory"), 12)
    assert [value + 70 * ONE for value in up] == pytest.approx(
        [-(value + 70 * ONE) for value in down], abs=2
    )


def test_the_first_spike_under_a_current() -> None:
    """v(t) = I R (1 - exp(-t / tau)) reaches 15 mV."""
    for current in (0.4, 0.5, 1.0, 5.0):
        population = one_cell([], i_offset=current)
        sim.run(60.0)
        expected = math.ceil(-10.0 * math.log(1 - 15.0 / (40.0 * current)))
        assert abs(steps_of(population)[0] - expected) <= 1


def test_below_the_least_current_nothing_fires() -> None:
    population = one_cell([], i_offset=0.374)
    sim.run(500.0)
    assert steps_of(population) == []


@pytest.mark.parametrize(("wait", "apart"), [(0.0, 1), (1.0, 2), (2.0, 3), (2.5, 4)])
def test_the_refractory_time_in_ticks(wait: float, apart: int) -> None:
    """A current that fires it in one step: steps apart are one and the ticks of the wait, rounded
    up."""
    population = one_cell([], i_offset=50.0, tau_refrac=wait)
    sim.run(30.0)
    assert set(np.diff(steps_of(population)).tolist()) == {apart}


def test_a_current_for_each_neuron() -> None:
    sim.setup()
    population = sim.Population(2, sim.IF_curr_exp(**CELL, i_offset=[0.0, 50.0]), "cells")
    sim.run(5.0)
    ids, _ = population.get_data("spikes").segments[0].spiketrains.multiplexed
    assert set(ids.tolist()) == {1}


# --- weights and the ring buffer ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("weight", "shift"), [(0.5, 0), (0.999, 0), (1.0, 1), (3.9, 2), (4.0, 3), (100.0, 7)]
)
def test_the_shift_is_the_power_of_two_above_the_load(weight: float, shift: int) -> None:
    assert sim.ring_shifts(one_cell([5.0], weight))[0] == shift


@pytest.mark.parametrize(
    ("given", "shifts"),
    [
        ({"n_exc": 120, "n_inh": 30, "duration_ms": 200.0, "external_rate_hz": 5000.0}, (0, 1)),
        ({"n_exc": 400, "n_inh": 100, "duration_ms": 200.0, "weight_scale": 3.0}, (2, 4)),
    ],
)
def test_the_shifts_of_a_network_are_those_of_spynnaker(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], shifts: tuple[int, int]
) -> None:
    """sPyNNaker 7.4.1's own get_ring_buffer_shifts() on a virtual board, for the same networks."""
    network = import_module("imagefactory.model.inside.balanced_random")
    model = find_model("balanced-random")
    fixed = {"frozen": True, "dt_ms": 1, "warmup_ms": 50.0}
    parameters = resolve_parameters(model, fixed | given)
    monkeypatch.setattr(network, "sequence", lambda _, times: times)  # no PyNN here
    network.setup(sim, parameters)
    # Sources of given spikes tell sPyNNaker no rate: their times change nothing.
    drawn = network.draw(parameters | {"external_rate_hz": 10.0})
    built = network.build(sim, parameters, drawn)
    assert [sim.ring_shifts(each) for each in built.recorded] == [shifts, shifts]


def test_weights_have_sixteen_bits() -> None:
    """With a shift of 7 a weight is a multiple of 2^-8 nA."""
    population = one_cell([5.0], 100.001)
    sim.run(7.0)
    core_weight = round(100.001 * 2**8) / 2**8
    again = one_cell([5.0], core_weight)
    sim.run(7.0)
    assert population.v.tolist() == again.v.tolist()


def test_a_full_ring_buffer_saturates() -> None:
    """Delays differ, so the mean load is planned for; all at once is more."""
    sim.setup()
    population = sim.Population(1, sim.IF_curr_exp(**CELL), "cell")
    source = sim.Population(200, sim.SpikeSourceArray([np.array([5.0, 1e3])] * 200), "sources")
    rows = [(one, 0, 1.0, 1.0 if one else 2.0) for one in range(200)]
    sim.Projection(source, population, sim.FromListConnector(rows), sim.StaticSynapse())
    shift = sim.ring_shifts(population)[0]
    assert 2 ** (shift + 1) < 199
    core = sim._Core(population)
    core.receive(5, {id(source): np.arange(1, 200)})
    core.step(6)
    full = (0xFFFF << shift) * core.decays[0].taken >> 32
    assert core.currents[0, 0] == full * core.decays[0].factor >> 32


def test_several_spikes_in_a_step_all_arrive() -> None:
    once, twice = one_cell([5.0], 1.0), None
    sim.run(8.0)
    height = int(once.v[0]) + 70 * ONE
    twice = one_cell([5.0, 5.0], 1.0)
    sim.run(8.0)
    assert int(twice.v[0]) + 70 * ONE == pytest.approx(2 * height, abs=8)


# --- a whole run against a plain program ---------------------------------------------------------


def plain(
    rows: list[tuple[int, int, float, float]], times: list[list[int]], ticks: int, shift: int
) -> list[Any]:
    """Two cells by Python's own whole numbers, written from the text of emulated.py alone."""
    decay = round(math.exp(-0.5) * 2**32)
    taken = (2 * ONE * (2**32 - decay)) >> 15
    leak = round(math.exp(-round(0.1 * ONE) / ONE) * ONE)
    v, current, wait = [-70 * ONE] * 2, [0, 0], [0, 0]
    due: dict[int, list[int]] = {}
    fired = []
    for tick in range(ticks):
        came = due.pop(tick, [0, 0])
        for cell in (0, 1):
            current[cell] += ((min(came[cell], 65535) << shift) * taken) >> 32
            if wait[cell] <= 0:
                alpha = -70 * ONE + ((current[cell] * 40 * ONE + 16384) >> 15)
                v[cell] = alpha - ((leak * (alpha - v[cell]) + 16384) >> 15)
            else:
                wait[cell] -= 1
            if v[cell] >= -55 * ONE:
                v[cell], wait[cell] = -70 * ONE, 2
                fired.append((tick + 1, cell))
            current[cell] = (current[cell] * decay) >> 32
        for source, target, weight, delay in rows:
            for _ in range(times[source].count(tick)):
                slot = due.setdefault(tick + int(delay), [0, 0])
                slot[target] += round(weight * 2 ** (15 - shift))
    return fired


def test_a_run_is_that_of_a_plain_program() -> None:
    rng = np.random.default_rng(7)
    times = [sorted(rng.integers(1, 400, 90).tolist()) for _ in range(6)]
    rows = [(source, target, float(rng.uniform(0.5, 4.0)), float(rng.integers(1, 4)))
            for source in range(6) for target in (0, 1)]  # fmt: skip
    sim.setup()
    cells = sim.Population(2, sim.IF_curr_exp(**CELL), "cells")
    given = [np.array(each, dtype=float) for each in times]
    source = sim.Population(6, sim.SpikeSourceArray(given), "sources")
    sim.Projection(source, cells, sim.FromListConnector(rows), sim.StaticSynapse())
    shift = sim.ring_shifts(cells)[0]
    sim.run(400.0)
    ids, labels = cells.get_data("spikes").segments[0].spiketrains.multiplexed
    found = sorted(zip(labels.astype(int).tolist(), ids.astype(int).tolist(), strict=True))
    assert len(found) > 50
    assert found == plain(rows, times, 400, shift)


def test_what_it_cannot_do_is_no_silent_other_thing() -> None:
    with pytest.raises(ValueError, match="real time is 1 ms"):
        sim.setup(timestep=0.1)
    assert not hasattr(sim, "SpikeSourcePoisson")
    population = one_cell([])
    with pytest.raises(ValueError, match="only spikes"):
        population.record("v")
    with pytest.raises(ValueError, match="columns"):
        sim.FromListConnector([], ("weight",)).table(population, population, sim.StaticSynapse())
