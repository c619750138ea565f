"""The model few-cells: neurons that show one thing each, so that a difference has a name. Pure.

Equal spikes are expected of equal steps and one NEST. Of another step or simulator each spike is
expected within one step of the coarser grid (Trensch et al. 2018: single neurons first, networks
then).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from imagefactory.model import Population, Spikes

    Times = list[npt.NDArray[np.float64]]

RUNG = 0.002  # of the threshold's weight, between two neurons of "one EPSP"
ARRIVALS = 5  # at each neuron of "delivery"


def find_differences(a: Spikes, b: Spikes) -> list[str]:
    """What differs by more than one step of the coarser grid, fixture by fixture; in order.

    Both are of the same populations.
    """
    step = max(a.dt_ms, b.dt_ms)
    found = []
    for population in a.populations:
        one, other = _trains(a, population), _trains(b, population)
        apart = [
            place
            for place, trains in enumerate(zip(one, other, strict=True))
            if _apart(*trains, step)
        ]
        if apart:
            what = "; ".join(_say(population.name, one, other, apart[0]))
            number = f"{len(apart)} of {population.size} neurons differ"
            found.append(f"{population.name}: {number}; {what}")
    return found


def _trains(spikes: Spikes, population: Population) -> Times:
    ours = spikes.neuron - population.first
    return [spikes.step[ours == place] * spikes.dt_ms for place in range(population.size)]


def _apart(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], step: float) -> bool:
    return len(a) != len(b) or bool((np.abs(a - b) > step * (1 + 1e-9)).any())


def _say(name: str, a: Times, b: Times, first: int) -> Iterator[str]:
    """What the fixture tells, and its first neuron that differs."""
    if name == "one EPSP":
        fired = [sum(len(train) > 0 for train in side) for side in (a, b)]
        if fired[0] != fired[1]:
            share = 100 * RUNG * (fired[1] - fired[0])
            yield f"{fired[0]} and {fired[1]} fire: the heights of an EPSP differ by {share:+.1f} %"
    if name == "delivery":
        heard = [sum(len(train) for train in side) for side in (a, b)]
        yield f"{heard[0]} and {heard[1]} spikes came of {ARRIVALS * len(a)} that were sent"
    counts = f"{len(a[first])} and {len(b[first])} spikes"
    shared = min(len(a[first]), len(b[first]))
    moved = np.abs(a[first][:shared] - b[first][:shared])
    worst = f", up to {moved.max():.3g} ms apart" if shared else ""
    yield f"neuron {first} has {counts}{worst}"
