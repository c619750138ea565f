"""SpiNNaker's arithmetic in whole numbers, behind PyNN's names. EMULATED: no SpiNNaker takes part.

What it is for: to tell what fixed point, 16-bit weights and a step of 1 ms alone do to a network,
before a site does anything. It knows the cell IF_curr_exp, sources of given spikes, lists of
connections and static synapses; anything else is an AttributeError of this module.

Order and rounding of one step are those of sPyNNaker's C code (neuron_impl_standard.h,
neuron_model_lif_impl.h, exp_synapse_utils.h, decay.h):

1. what the ring buffer holds for this step is taken in: current += (weight << shift) * init >> 32;
2. outside the refractory time the membrane goes to alpha - exp(-dt / tau_m) * (alpha - v), alpha =
   current * R + v_rest, both products rounded to nearest; within it the counter counts down;
3. at or above the threshold there is a spike: v_reset, and the counter is set;
4. currents decay: current = current * decay >> 32; spikes go into the ring buffer, delay steps on.

Assumed, for no board was there to ask: its exp and division are correctly rounded; no packet is
late or lost; several spikes of one source in one step all arrive (on a board they are one). The
load of a ring buffer is estimated as sPyNNaker 7.4.1 does (population_vertex.py); its own shifts,
asked on a virtual board, are equal. A spike of tick t is told as step t + 1, the end of the
interval that the tick computes, which is NEST's name for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Whole = np.ndarray  # of int64
ONE = 1 << 15  # of S16.15
LIMIT = 1 << 31
TYPES = ("excitatory", "inhibitory")
STEP_MS = 1.0
USUAL_RATE = 30.0  # Hz, sPyNNaker's plan for a neuron
SIGMA = 5.0  # its ring_buffer_sigma
MOST_WEIGHT = 0xFFFF


def fixed(value: Any) -> Whole:
    """Numbers as S16.15, rounded to nearest; OverflowError beyond +-65536."""
    bits: Whole = np.rint(np.asarray(value, dtype=float) * ONE).astype(np.int64)
    if np.any(np.abs(bits) >= LIMIT):
        raise OverflowError(f"{np.max(np.abs(value)):g} does not fit in S16.15")
    return bits


def times_nearest(a: Whole, b: Whole | int) -> Whole:
    """The product of two S16.15, rounded to nearest."""
    product: Whole = (a * b + (ONE >> 1)) >> 15
    return product


def decayed(value: Whole, factor: Whole | int) -> Whole:
    """An S16.15 times an unsigned 0.32, cut towards minus infinity."""
    product: Whole = (value * factor) >> 32
    return product


def quotient(a: float, b: float) -> int:
    """a / b as S16.15."""
    return int(fixed(float(fixed(a)) / float(fixed(b))))


@dataclass(frozen=True)
class Decay:
    """A current's factor each step, and what of a weight is taken in, as unsigned 0.32."""

    factor: int
    taken: int

    @classmethod
    def of(cls, tau_ms: float) -> Decay:
        """For a time constant; the step is 1 ms."""
        factor = min(round(math.exp(-quotient(STEP_MS, tau_ms) / ONE) * 2**32), 2**32 - 1)
        return cls(factor, (quotient(tau_ms, STEP_MS) * (2**32 - factor)) >> 15)


# --- PyNN's names ------------------------------------------------------------------------------


@dataclass
class IF_curr_exp:
    """PyNN's current-based cell; ms, mV, nF, nA; a list gives each neuron its own i_offset."""

    v_rest: float = -65.0
    v_reset: float = -65.0
    v_thresh: float = -50.0
    cm: float = 1.0
    tau_m: float = 20.0
    tau_refrac: float = 0.1
    tau_syn_E: float = 5.0
    tau_syn_I: float = 5.0
    i_offset: Any = 0.0


@dataclass
class SpikeSourceArray:
    """Sources of given spikes: for each neuron its times in ms."""

    spike_times: Any


@dataclass
class StaticSynapse:
    """A weight (nA) and a delay (ms), where the connector gives none."""

    weight: float = 0.0
    delay: float = STEP_MS


@dataclass
class FromListConnector:
    """Rows of source, target, weight and delay."""

    rows: Any
    column_names: Any = ("weight", "delay")

    def table(self, pre: Population, post: Population, synapse: StaticSynapse) -> np.ndarray:
        """The rows; `column_names` must be weight and delay."""
        if tuple(self.column_names) != ("weight", "delay"):
            raise ValueError(f"columns {self.column_names}, not weight and delay")
        return np.asarray(self.rows, dtype=float).reshape(-1, 4)


@dataclass
class OneToOneConnector:
    """Each source to the target of its number."""

    def table(self, pre: Population, post: Population, synapse: StaticSynapse) -> np.ndarray:
        """The rows."""
        each = np.arange(min(pre.size, post.size), dtype=float)
        return np.column_stack(
            [each, each, np.full_like(each, synapse.weight), np.full_like(each, synapse.delay)]
        )


@dataclass
class _Trains:
    """What PyNN gives of recorded spikes, as far as the models ask."""

    multiplexed: tuple[np.ndarray, np.ndarray]

    @property
    def segments(self) -> list[Any]:
        return [self]

    @property
    def spiketrains(self) -> _Trains:
        return self


class Population:
    """Neurons of one cell, or sources; `state` is theirs, in S16.15."""

    def __init__(self, size: int, cell: Any, label: str = "") -> None:
        self.size, self.cell, self.label = size, cell, label
        self.first_id = 0
        self.v = fixed(np.full(size, getattr(cell, "v_rest", 0.0)))
        self.incoming: list[Projection] = []
        self.spiked: list[tuple[int, Whole]] = []
        _world.populations.append(self)

    def initialize(self, v: Any) -> None:
        """Set the membranes (mV)."""
        self.v = fixed(np.broadcast_to(np.asarray(v, dtype=float), self.size).copy())

    def record(self, what: str) -> None:
        """Spikes are always recorded, and nothing else can be."""
        if what != "spikes":
            raise ValueError(f"{what} cannot be recorded here, only spikes")

    def get_data(self, what: str, gather: bool = False) -> _Trains:
        """The spikes, as neurons and ms."""
        ids = [neurons for _, neurons in self.spiked]
        times = [np.full(len(neurons), (tick + 1) * STEP_MS) for tick, neurons in self.spiked]
        nothing = np.zeros(0)
        return _Trains((np.concatenate([nothing, *ids]), np.concatenate([nothing, *times])))


class Projection:
    """Connections of one receptor, by source."""

    def __init__(
        self, pre: Population, post: Population, connector: Any, synapse: StaticSynapse,
        receptor_type: str = "excitatory",
    ) -> None:  # fmt: skip
        self.pre, self.post, self.kind = pre, post, TYPES.index(receptor_type)
        table = connector.table(pre, post, synapse)
        self.table = table[np.argsort(table[:, 0], kind="stable")]
        self.first = np.searchsorted(self.table[:, 0], np.arange(pre.size + 1))
        self.target = self.table[:, 1].astype(np.int64)
        self.delay = np.maximum(1, np.rint(self.table[:, 3] / STEP_MS)).astype(np.int64)
        post.incoming.append(self)

    def get(self, names: Any, format: str) -> list[tuple[float, ...]]:
        """The rows as they were asked for, before weights are rounded."""
        if (tuple(names), format) != (("weight", "delay"), "list"):
            raise ValueError("only weight and delay as a list")
        return [tuple(row) for row in self.table]

    def rows_of(self, sources: Whole) -> Whole:
        """The rows of these sources, in order; of a source that is there twice, twice."""
        first, count = self.first[sources], self.first[sources + 1] - self.first[sources]
        ends = np.cumsum(count)
        total = int(ends[-1]) if len(ends) else 0
        return np.repeat(first - ends + count, count) + np.arange(total)


@dataclass
class _World:
    """All that was made since `setup`."""

    populations: list[Population] = field(default_factory=list)
    cores: list[_Core] = field(default_factory=list)
    tick: int = 0


_world = _World()


def setup(timestep: float = STEP_MS, **_: Any) -> None:
    """Begin anew. The step is 1 ms, SpiNNaker's real time."""
    if timestep != STEP_MS:
        raise ValueError(f"a step of {timestep:g} ms: SpiNNaker's real time is 1 ms")
    _world.populations, _world.cores, _world.tick = [], [], 0


def end() -> None:
    """Nothing is left open."""


def run(duration_ms: float) -> None:
    """Go on for so long; what was connected after the first call takes no part."""
    if not _world.cores:
        cells = [each for each in _world.populations if isinstance(each.cell, IF_curr_exp)]
        _world.cores = [_Core(each) for each in cells]
    sources = {
        id(each): _trains(each)
        for each in _world.populations
        if isinstance(each.cell, SpikeSourceArray)
    }
    last = _world.tick + round(duration_ms / STEP_MS)
    while _world.tick < last:
        sent = {key: trains.get(_world.tick, _NOBODY) for key, trains in sources.items()}
        sent |= {id(core.population): core.step(_world.tick) for core in _world.cores}
        for core in _world.cores:
            core.receive(_world.tick, sent)
        _world.tick += 1


def facts() -> dict[str, Any]:
    """How weights were scaled: the left shift of each receptor's ring buffer, by population."""
    return {
        each.label: dict(zip(TYPES, ring_shifts(each), strict=True))
        for each in _world.populations
        if isinstance(each.cell, IF_curr_exp)
    }


_NOBODY = np.zeros(0, dtype=np.int64)


def _trains(population: Population) -> dict[int, Whole]:
    """The sources that fire, by tick."""
    times = [np.atleast_1d(getattr(each, "value", each)) for each in population.cell.spike_times]
    neurons = np.repeat(np.arange(population.size), [len(each) for each in times])
    ticks = np.rint(np.concatenate([np.zeros(0), *times]) / STEP_MS).astype(np.int64)
    order = np.argsort(ticks, kind="stable")
    cuts = np.flatnonzero(np.diff(ticks[order])) + 1
    return {int(ticks[part[0]]): neurons[part] for part in np.split(order, cuts) if len(part)}


def ring_shifts(population: Population) -> tuple[int, int]:
    """How far the 16 bits of each receptor's ring buffer are shifted: the power of two above the
    load that is expected of one step."""
    found = []
    for kind in range(len(TYPES)):
        load = _expected_load([one for one in population.incoming if one.kind == kind])
        power = 0 if load <= 0 else math.ceil(max(0.0, math.log2(load)))
        found.append(power + 1 if 2**power <= load else power)
    return found[0], found[1]


def _expected_load(projections: list[Projection]) -> float:
    """The weight (nA) that may come together in one step.

    As sPyNNaker: the projections' synapses are one pool, each source fires at its plan's rate,
    those of given spikes too (they tell no rate of their own), and once in a step.
    """
    most, total, spread = 0.0, 0.0, False
    synapses, mean, squares = 0, 0.0, 0.0
    for one in projections:
        if not len(one.table):
            continue
        weights, fan_in = np.abs(one.table[:, 2]), int(np.bincount(one.target).max())
        heaviest, average = float(weights.max()), float(weights.mean())
        most = max(most, heaviest)
        total += heaviest * fan_in
        both = synapses + fan_in
        squares += float(weights.var()) * (fan_in - 1)
        squares += (average - mean) ** 2 * synapses * fan_in / both
        mean, synapses = (synapses * mean + fan_in * average) / both, both
        spread |= bool(one.table[:, 3].var())
    if not spread:
        return max(total, most)
    variance = squares / (synapses - 1) if synapses > 1 else 0.0
    expected = synapses * USUAL_RATE * STEP_MS / 1000
    height = expected * mean + SIGMA * math.sqrt(
        expected * mean**2 + expected * variance * _share_summed(expected)
    )
    return max(min(height, total), most)


def _share_summed(expected: float) -> float:
    """The chance that a Poisson number is below the last that sPyNNaker sums; its sum for the
    weights' variance stops three deviations above the mean."""
    last = round(expected + 3.0 * math.sqrt(expected))
    log_last = last * math.log(expected) - math.lgamma(1 + last)
    if not -701.0 < log_last < 701.0 or log_last == 0.0:
        return 0.0  # as it does
    terms = (i * math.log(expected) - math.lgamma(1 + i) - expected for i in range(last))
    return math.fsum(math.exp(term) for term in terms)


class _Core:
    """One population while it runs."""

    def __init__(self, population: Population) -> None:
        cell = population.cell
        self.population, self.cell = population, cell
        self.decays = (Decay.of(cell.tau_syn_E), Decay.of(cell.tau_syn_I))
        self.shifts = ring_shifts(population)
        self.leak = int(fixed(math.exp(-quotient(STEP_MS, cell.tau_m) / ONE)))
        self.resistance = quotient(cell.tau_m, cell.cm)
        self.offset = np.broadcast_to(fixed(cell.i_offset), population.size)
        self.rest, self.reset, self.threshold = (
            int(fixed(value)) for value in (cell.v_rest, cell.v_reset, cell.v_thresh)
        )
        self.wait = math.ceil(quotient(cell.tau_refrac, STEP_MS) / ONE)
        self.currents = np.zeros((2, population.size), dtype=np.int64)
        self.counter = np.zeros(population.size, dtype=np.int64)
        longest = max([1, *(int(one.delay.max()) for one in population.incoming if len(one.delay))])
        self.ring = np.zeros((longest + 1, 2, population.size), dtype=np.int64)
        self.weights = [
            np.minimum(
                np.rint(np.abs(one.table[:, 2]) * 2.0 ** (15 - self.shifts[one.kind])), MOST_WEIGHT
            ).astype(np.int64)
            for one in population.incoming
        ]

    def step(self, tick: int) -> Whole:
        """Compute one step; the neurons that fire."""
        slot = self.ring[tick % len(self.ring)]
        for kind, decay in enumerate(self.decays):
            came = np.minimum(slot[kind], MOST_WEIGHT) << self.shifts[kind]
            self.currents[kind] += decayed(came, decay.taken)
        slot[:] = 0
        free = self.counter <= 0
        alpha = self.rest + times_nearest(
            self.currents[0] - self.currents[1] + self.offset, self.resistance
        )
        moved = alpha - times_nearest(alpha - self.population.v, self.leak)
        self.population.v = np.where(free, moved, self.population.v)
        self.counter = np.where(free, self.counter, self.counter - 1)
        fired = np.flatnonzero(self.population.v >= self.threshold)
        self.population.v[fired] = self.reset
        self.counter[fired] = self.wait
        for kind, decay in enumerate(self.decays):
            self.currents[kind] = decayed(self.currents[kind], decay.factor)
        if len(fired):
            self.population.spiked.append((tick, fired))
        return fired

    def receive(self, tick: int, sent: dict[int, Whole]) -> None:
        """Put the spikes of this tick into the ring buffer."""
        for one, weights in zip(self.population.incoming, self.weights, strict=True):
            sources = sent[id(one.pre)]
            if len(sources):
                rows = one.rows_of(sources)
                slots = (tick + one.delay[rows]) % len(self.ring)
                np.add.at(self.ring, (slots, one.kind, one.target[rows]), weights[rows])
