"""What is measured of a run: rate, CV, LV, pair correlation, population Fano, and distributions.

Definitions are those of Elephant 1.2 (a test holds them together); sources are named in
docs/equivalence.md. Spikes are read once, in pieces, so that memory does not grow with their
number: a piece of 2^20 spikes, and a few numbers for each neuron, pair and bin (about 150 MB, for
any number of spikes).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagefactory.base.errors import Fault, NoVerdict

if TYPE_CHECKING:
    from imagefactory.model import Population, Spikes

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Piece = tuple[Integers, Integers]  # neuron, step; in canonical order

CORRELATION_BIN_MS = 2.0  # Gutzen et al. 2018
FANO_BIN_MS = 5.0
PAIR_CELLS = 200  # of a population, evenly chosen: 19 900 pairs
LEAST_SPIKES = 10  # of a neuron, for its CV and LV
PIECE = 1 << 20  # spikes


@dataclass(frozen=True)
class Window:
    """What is measured: after `start_ms`, up to and with `end_ms`.

    A spike at step s was found at the end of that step, so intervals are open on the left.
    """

    start_ms: float
    end_ms: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end_ms - self.start_ms) / 1000


@dataclass(frozen=True, eq=False)
class PopulationMeasures:
    """One population in one run: a value a neuron (NaN where it has too few spikes), or a pair.

    `rate` is in Hz; `correlation` has one value for each pair of the chosen neurons, in the order
    of NumPy's triu_indices; `fano` is one number.
    """

    name: str
    rate: Floats
    cv: Floats
    lv: Floats
    correlation: Floats
    fano: float

    def mean(self, measure: str) -> float:
        """The run's one number for a measure: the mean over neurons or pairs that have a value."""
        values = np.atleast_1d(np.asarray(getattr(self, measure), dtype=np.float64))
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else float("nan")


def measure(spikes: Spikes, window: Window) -> tuple[PopulationMeasures, ...]:
    """Measure a run that is in memory, population by population.

    Raises NoVerdict for a window that is not inside the run, or of which a bin is no whole number
    of time steps.
    """
    pieces = (
        (spikes.neuron[first : first + PIECE], spikes.step[first : first + PIECE])
        for first in range(0, len(spikes), PIECE)
    )
    return measure_pieces(pieces, spikes.populations, spikes.dt_ms, spikes.duration_ms, window)


def measure_pieces(
    pieces: Iterable[Piece],
    populations: tuple[Population, ...],
    dt_ms: float,
    duration_ms: float,
    window: Window,
) -> tuple[PopulationMeasures, ...]:
    """As `measure`, from pieces of a run's spikes in canonical order."""
    faults = list(_find_window_faults(dt_ms, duration_ms, window))
    if faults:
        raise NoVerdict.from_faults(faults)
    first, last = round(window.start_ms / dt_ms), round(window.end_ms / dt_ms)
    size = sum(population.size for population in populations)
    trains = _Trains(size)
    bins = round(FANO_BIN_MS / dt_ms)
    counts = [_Counts(each, bins, last - first) for each in populations]
    pairs = [_Pairs(each, round(CORRELATION_BIN_MS / dt_ms), last - first) for each in populations]
    for neuron, step in pieces:
        begin, end = np.searchsorted(step, (first, last), side="right")
        # Counted from the window's start, so that step 1 is the first of it.
        inside_neuron, inside_step = neuron[begin:end], step[begin:end] - first
        trains.add(inside_neuron, inside_step)
        for count, pair in zip(counts, pairs, strict=True):
            count.add(inside_neuron, inside_step)
            pair.add(inside_neuron, inside_step)
    return tuple(
        PopulationMeasures(
            population.name,
            trains.spikes[place] / window.seconds,
            trains.cv(place),
            trains.lv(place),
            pair.correlation(),
            count.fano(),
        )
        for population, count, pair in zip(populations, counts, pairs, strict=True)
        for place in (slice(population.first, population.first + population.size),)
    )


def choose_cells(population: Population) -> Integers:
    """The neurons whose pairs are correlated: evenly spread over the population."""
    chosen = min(population.size, PAIR_CELLS)
    return population.first + np.arange(chosen, dtype=np.int64) * population.size // chosen


def _find_window_faults(dt_ms: float, duration_ms: float, window: Window) -> Iterator[Fault]:
    if not 0 <= window.start_ms < window.end_ms <= duration_ms:
        yield Fault(
            f"the window from {window.start_ms:g} to {window.end_ms:g} ms is not inside the run "
            f"of {duration_ms:g} ms",
            fix="make the run longer, or its warm-up shorter",
        )
    for bin_ms in (CORRELATION_BIN_MS, FANO_BIN_MS):
        if abs(bin_ms / dt_ms - round(bin_ms / dt_ms)) > 1e-6:
            yield Fault(f"a bin of {bin_ms:g} ms is no whole number of steps of {dt_ms:g} ms")
    for edge in (window.start_ms, window.end_ms):
        if abs(edge / dt_ms - round(edge / dt_ms)) > 1e-6:
            yield Fault(f"{edge:g} ms is no whole number of steps of {dt_ms:g} ms")


class _Trains:
    """What is known of each neuron's train so far.

    Intervals are summed as their difference from the neuron's first one, in whole steps: exact,
    and without cancellation for trains that are nearly regular.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.spikes = np.zeros(size, np.int64)
        self.last = np.full(size, -1, np.int64)
        self.last_interval = np.zeros(size, np.int64)  # 0: none yet
        self.first_interval = np.zeros(size, np.int64)
        self.sum = np.zeros(size)
        self.squares = np.zeros(size)
        self.local = np.zeros(size)  # sum of LV's terms

    def add(self, neuron: Integers, step: Integers) -> None:
        """Take in a piece of spikes in canonical order."""
        if not len(neuron):
            return
        order = _by_neuron(neuron, self.size)
        neuron, step = neuron[order], step[order]
        self.spikes += np.bincount(neuron, minlength=self.size)
        before = _previous(neuron, step, self.last)
        closes = _closes(neuron)
        self.last[neuron[closes]] = step[closes]
        known = before >= 0
        self._add_intervals(neuron[known], (step - before)[known])

    def _add_intervals(self, neuron: Integers, interval: Integers) -> None:
        if not len(neuron):
            return
        before = _previous(neuron, interval, self.last_interval)
        fresh = before == 0
        self.first_interval[neuron[fresh]] = interval[fresh]
        closes = _closes(neuron)
        self.last_interval[neuron[closes]] = interval[closes]
        moved = (interval - self.first_interval[neuron]).astype(np.float64)
        self.sum += np.bincount(neuron, moved, self.size)
        self.squares += np.bincount(neuron, moved * moved, self.size)
        neuron, interval, before = neuron[~fresh], interval[~fresh], before[~fresh]
        terms = ((interval - before) / (interval + before)) ** 2
        self.local += np.bincount(neuron, terms, self.size)

    def cv(self, place: slice) -> Floats:
        """Standard deviation over mean of the intervals (Elephant's cv); NaN with few spikes."""
        count = self._intervals(place)
        shift = self.sum[place] / count
        variance = np.maximum(self.squares[place] / count - shift * shift, 0.0)
        found: Floats = np.sqrt(variance) / (self.first_interval[place] + shift)
        return found

    def lv(self, place: slice) -> Floats:
        """Shinomoto's local variation (Elephant's lv); NaN where a neuron has too few spikes."""
        found: Floats = 3.0 * self.local[place] / (self._intervals(place) - 1)
        return found

    def _intervals(self, place: slice) -> Floats:
        count = self.spikes[place].astype(np.float64)
        return np.where(count >= LEAST_SPIKES, count - 1, np.nan)


class _Counts:
    """Spikes of a whole population in bins."""

    def __init__(self, population: Population, bin_steps: int, steps: int) -> None:
        self.first, self.end = population.first, population.first + population.size
        self.bin_steps, self.bins = bin_steps, steps // bin_steps
        self.counts = np.zeros(self.bins, np.int64)

    def add(self, neuron: Integers, step: Integers) -> None:
        """Take in a piece; what lies after the last whole bin is left out."""
        inside = step[(neuron >= self.first) & (neuron < self.end)]
        place = (inside - 1) // self.bin_steps
        self.counts += np.bincount(place[place < self.bins], minlength=self.bins)

    def fano(self) -> float:
        """Variance over mean of the counts; NaN where there is no spike."""
        mean = self.counts.mean() if self.bins else 0.0
        return float(self.counts.var() / mean) if mean else float("nan")


class _Pairs:
    """Spike counts of a population's chosen neurons in bins: their sums, and of their products.

    The spikes of the last bin seen are kept back until the next piece: more may come.
    """

    def __init__(self, population: Population, bin_steps: int, steps: int) -> None:
        chosen = choose_cells(population)
        self.cells = len(chosen)
        self.column = np.full(population.first + population.size + 1, -1, np.int64)
        self.column[chosen] = np.arange(self.cells)
        self.bin_steps, self.bins = bin_steps, steps // bin_steps
        self.kept = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self.products = np.zeros((self.cells, self.cells))
        self.sums = np.zeros(self.cells)

    def add(self, neuron: Integers, step: Integers) -> None:
        """Take in a piece; what lies after the last whole bin is left out."""
        column = self.column[np.minimum(neuron, len(self.column) - 1)]
        ours = column >= 0
        place = (step[ours] - 1) // self.bin_steps
        column, place = column[ours][place < self.bins], place[place < self.bins]
        column, place = np.append(self.kept[0], column), np.append(self.kept[1], place)
        whole = np.searchsorted(place, place[-1]) if len(place) else 0
        self._count(column[:whole], place[:whole])
        self.kept = (column[whole:], place[whole:])

    def _count(self, column: Integers, place: Integers) -> None:
        from scipy.sparse import csr_array

        if len(place):
            shape = (self.cells, int(place[-1] - place[0]) + 1)
            counts = csr_array((np.ones(len(place)), (column, place - place[0])), shape)
            self.products += (counts @ counts.T).toarray()
            self.sums += np.bincount(column, minlength=self.cells)

    def correlation(self) -> Floats:
        """Pearson's coefficient of each pair; NaN for a neuron whose counts are all equal."""
        self._count(*self.kept)
        bins = self.bins or float("nan")
        mean = self.sums / bins
        covariance = self.products / bins - np.outer(mean, mean)
        spread = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        spread[spread < 1e-12] = np.nan
        found: Floats = (covariance / np.outer(spread, spread))[np.triu_indices(self.cells, 1)]
        return found


def _by_neuron(neuron: Integers, size: int) -> npt.NDArray[np.intp]:
    # NumPy sorts 16-bit numbers by radix, several times as fast as the others.
    return np.argsort(neuron.astype(np.uint16) if size <= 1 << 16 else neuron, kind="stable")


def _closes(neuron: Integers) -> npt.NDArray[np.bool_]:
    """Where a neuron's values end, in a sorted list of neurons."""
    return np.append(neuron[1:] != neuron[:-1], True)


def _previous(neuron: Integers, value: Integers, kept: Integers) -> Integers:
    """For each value the one before it of the same neuron; `kept` is of earlier pieces.

    `neuron` is sorted; within a neuron values are in order of time.
    """
    before = np.empty_like(value)
    before[1:] = value[:-1]
    opens = np.append(True, neuron[1:] != neuron[:-1])
    before[opens] = kept[neuron[opens]]
    return before
