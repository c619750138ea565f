"""Two canonical spike lists, spike by spike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from imagefactory.model import Spikes


@dataclass(frozen=True)
class Divergence:
    """The first spike that only one run has. `index` counts inside the population."""

    time_ms: float
    step: int
    neuron: int
    population: str
    index: int
    only_in: str  # run id


@dataclass(frozen=True)
class Counts:
    """How much of two spike lists is shared."""

    spikes_a: int
    spikes_b: int
    shared: int
    neurons: int
    neurons_that_differ: int


def keys(spikes: Spikes) -> npt.NDArray[np.int64]:
    """One number a spike, in canonical order and unique."""
    return spikes.step * np.int64(spikes.size) + spikes.neuron


def count(a: Spikes, b: Spikes) -> Counts:
    """What the two lists share; both must be of the same populations."""
    left, right = keys(a), keys(b)
    unshared = np.setxor1d(left, right, assume_unique=True)
    return Counts(
        spikes_a=len(left),
        spikes_b=len(right),
        shared=(len(left) + len(right) - len(unshared)) // 2,
        neurons=a.size,
        neurons_that_differ=len(np.unique(unshared % a.size)),
    )


def find_divergence(a: Spikes, b: Spikes, names: tuple[str, str]) -> Divergence | None:
    """The earliest spike (then the lowest neuron) that only one of the two has."""
    left, right = keys(a), keys(b)
    unshared = np.setxor1d(left, right, assume_unique=True)
    if not len(unshared):
        return None
    step, neuron = divmod(int(unshared[0]), a.size)
    population = a.population_of(neuron)
    return Divergence(
        time_ms=round(step * a.dt_ms, 9),
        step=step,
        neuron=neuron,
        population=population.name,
        index=neuron - population.first,
        only_in=names[0] if unshared[0] in left else names[1],
    )
