"""Neurons by themselves: each shows one thing, so that a difference of networks has a name.

- step current: constant currents around and above the least that makes a neuron fire;
- one EPSP: one input spike each, the weights a ladder of 0.2 % around the threshold: how many fire
  is the height of an EPSP, and when is its shape;
- refractory edge: currents that make it fire as soon as it may, and pairs of inputs of which the
  second comes within, at or after the refractory time;
- delivery: 40 sources of one spike each, five to a target, each to be answered by one spike; a look
  at the connections lies between two projections (facts of NEST's delivery defect: docs/model.md).

Nothing is drawn. The neuron is that of the balanced network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from balanced_random import (
    MIN_DELAY,
    STATIONARY_CELL,
    Drawn,
    Network,
    populations,
    sequence,
    setup,
    spikes,
)

__all__ = ["build", "draw", "populations", "setup", "simulate", "spikes"]

LEAST_CURRENT = 0.375  # nA: 15 mV to the threshold, over the membrane's resistance of 40 MOhm
CURRENTS = (0.98, 1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0, 3.0, 5.0)  # of LEAST_CURRENT
# nA of one input that just reaches the threshold from rest: 15 mV over the peak of a PSP of 1 nA,
# (tau_syn / cm) * (tau_syn / tau_m) ** (tau_syn / (tau_m - tau_syn)) = 5.35 mV.
LEAST_WEIGHT = 15.0 / (2.0 / 0.25 * 0.2**0.25)
LADDER = 0.98 + 0.002 * np.arange(21)  # of LEAST_WEIGHT
HARD_CURRENTS = (4.0, 8.0, 16.0, 32.0, 64.0)  # nA
INTERVALS = (1.0, 2.0, 3.0, 4.0, 5.0)  # ms between two inputs; the refractory time is 2 ms
PULSE = 6.0  # nA: one of these fires a neuron at rest
TARGETS, SOURCES_EACH = 40, 5
LATE = 1e6  # ms
WHEN, APART = 20.0, 5.0  # ms: the first input, and between those of two sources


def draw(parameters: dict[str, Any]) -> Drawn:
    """Nothing is random; only the start is told."""
    return Drawn({"all": np.array([STATIONARY_CELL["v_rest"]])}, {}, {})


def build(sim: Any, parameters: dict[str, Any], drawn: Drawn | None = None) -> Network:
    """Create and connect the neurons."""
    scale = parameters["weight_scale"]
    step = cells(sim, "step current", [LEAST_CURRENT * share for share in CURRENTS])
    epsp = cells(sim, "one EPSP", [0.0] * len(LADDER))
    edge = cells(sim, "refractory edge", [*HARD_CURRENTS, *[0.0] * len(INTERVALS)])
    target = cells(sim, "delivery", [0.0] * TARGETS)
    single = source(sim, [[WHEN]] * len(LADDER), "one spike each")
    answers = join(
        sim, single, epsp, [(i, i, LEAST_WEIGHT * w * scale) for i, w in enumerate(LADDER)]
    )
    pair = source(sim, [[WHEN, WHEN + wait] for wait in INTERVALS], "pairs")
    first = len(HARD_CURRENTS)
    pairs = join(sim, pair, edge, [(i, first + i, PULSE * scale) for i in range(len(INTERVALS))])
    many = source(sim, [[WHEN + APART * i] for i in range(TARGETS)], "one by one")
    rows = [
        ((i + 7 * k) % TARGETS, i, PULSE * scale)
        for i in range(TARGETS)
        for k in range(SOURCES_EACH)
    ]
    fan = join(sim, many, target, rows)
    silent = source(sim, [[] for _ in range(TARGETS)], "silent")
    last = join(sim, silent, target, [(i, i, PULSE * scale) for i in range(TARGETS)])
    drives, made = [single, pair, many, silent], [answers, pairs, fan, last]
    return Network([step, epsp, edge, target], drives, None, made)


def cells(sim: Any, label: str, currents: list[float]) -> Any:
    """Neurons at rest under constant currents (nA), recorded."""
    cell = sim.IF_curr_exp(**STATIONARY_CELL, i_offset=currents)
    population = sim.Population(len(currents), cell, label=label)
    population.initialize(v=STATIONARY_CELL["v_rest"])
    population.record("spikes")
    return population


def source(sim: Any, times: list[list[float]], label: str) -> Any:
    """Sources that fire at these times (ms)."""
    if sim.__name__ == "pyNN.spiNNaker" and not any(times):
        # sPyNNaker 7.4.1: IndexError where no source ever fires; this is after every run's end.
        times = [[LATE], *times[1:]]
    cell = sim.SpikeSourceArray(spike_times=[sequence(sim, np.array(each)) for each in times])
    return sim.Population(len(times), cell, label=label)


def join(sim: Any, pre: Any, post: Any, rows: list[tuple[int, int, float]]) -> Any:
    """Connect by rows of source, target, weight (nA)."""
    return sim.Projection(
        pre,
        post,
        sim.FromListConnector(
            np.array([(*row, MIN_DELAY) for row in rows]), column_names=["weight", "delay"]
        ),
        sim.StaticSynapse(weight=0.0, delay=MIN_DELAY),
        receptor_type="excitatory",
    )


def simulate(sim: Any, parameters: dict[str, Any], network: Network) -> None:
    """Run to duration_ms."""
    sim.run(parameters["duration_ms"])
