"""The statistical tier: are two ensembles of runs equivalent within the margins? Pure.

All means and all distances must lie within their margins (an intersection of tests: no correction
for their number is needed, Berger 1982), and one that is shown to be beyond its margin makes the
sides DIFFERENT (a union: there the level is divided by the number of tests). In between nothing is
shown, and what is missing is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from imagefactory.equivalence.distances import (
    PERMUTATIONS,
    Excess,
    find_excess,
    mean_excess,
    measure_distances,
    measure_patterns,
)
from imagefactory.equivalence.margins import Margins
from imagefactory.equivalence.measures import PopulationMeasures
from imagefactory.equivalence.tost import Finding, Interval, Levels, compare_means

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Measured = tuple[PopulationMeasures, ...]  # one run
Key = tuple[str, str]  # population, measure

MEANS = ("rate", "cv", "lv", "correlation", "fano")
DISTRIBUTIONS = ("rate", "cv", "correlation")
PATTERN = "pattern"
QUANTILES = 101
FEWEST_RUNS = 3  # a side; with fewer there is no spread to speak of


@dataclass(frozen=True)
class MeanResult:
    """A measure's mean on both sides; the interval is relative to side A's mean."""

    population: str
    measure: str
    mean_a: float
    mean_b: float
    sd_a: float
    sd_b: float
    interval: Interval


@dataclass(frozen=True)
class DistanceResult:
    """A distance of distributions; `moved` is the excess of the earth mover distance, in the
    measure's unit, and decides nothing (NaN for the pattern, which is no distribution)."""

    population: str
    measure: str
    excess: Excess
    moved: float


@dataclass(frozen=True)
class Statistics:
    """What the statistical tier found. `shortfalls` forbid EQUIVALENT whatever was found."""

    runs: tuple[int, int]
    frozen: bool
    means: tuple[MeanResult, ...]
    distances: tuple[DistanceResult, ...]
    shortfalls: tuple[str, ...] = ()

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """Everything that decides."""
        return (
            *(mean.interval for mean in self.means),
            *(each.excess.interval for each in self.distances),
        )

    @property
    def finding(self) -> Finding:
        """WITHIN: equivalent; BEYOND: different; OPEN: nothing is shown."""
        found = {interval.finding for interval in self.intervals}
        if Finding.BEYOND in found:
            return Finding.BEYOND
        return Finding.OPEN if self.shortfalls or Finding.OPEN in found else Finding.WITHIN

    @property
    def power(self) -> float:
        """The least chance to pass of all tests, for two sides that are the same."""
        return min(interval.power for interval in self.intervals)

    @property
    def needed(self) -> int | None:
        """Runs a side that all tests would need; None where that is not known."""
        wanted = [interval.needed for interval in self.intervals]
        known = [runs for runs in wanted if runs is not None]
        return max(known) if known and len(known) == len(wanted) else None


@dataclass(frozen=True, eq=False)
class Pool:
    """Runs, reduced to what the tests need: a mean a run, and distances of all pairs of runs."""

    runs: int
    means: Mapping[Key, Floats]
    distances: Mapping[Key, Floats]
    moved: Mapping[Key, Floats]
    quantiles: Mapping[Key, Floats] = field(default_factory=dict)  # a row a run, for drawing

    @property
    def frozen(self) -> bool:
        """True where the runs share one network: each neuron can be compared with itself."""
        return any(measure == PATTERN for _, measure in self.distances)


def gather(runs: Sequence[Measured], frozen: bool) -> Pool:
    """Reduce measured runs; all are of the same populations."""
    means, distances, moved, quantiles = {}, {}, {}, {}
    for place, first in enumerate(runs[0]):
        column = [run[place] for run in runs]
        for measure in MEANS:
            means[first.name, measure] = np.array([each.mean(measure) for each in column])
        for measure in DISTRIBUTIONS:
            key = (first.name, measure)
            samples = [getattr(each, measure) for each in column]
            distances[key], moved[key] = measure_distances(samples)
            quantiles[key] = np.array([_quantiles(sample) for sample in samples])
        if frozen:
            distances[first.name, PATTERN] = measure_patterns([each.rate for each in column])
    return Pool(len(runs), means, distances, moved, quantiles)


def _quantiles(sample: Floats) -> Floats:
    """QUANTILES quantiles from the least to the greatest; NaN for a sample without values."""
    known = sample[~np.isnan(sample)]
    if not len(known):
        return np.full(QUANTILES, np.nan)
    return np.quantile(known, np.linspace(0, 1, QUANTILES))


def judge(
    pool: Pool, a: Integers, b: Integers, margins: Margins, permutations: int = PERMUTATIONS
) -> Statistics:
    """Test the runs `a` of a pool against its runs `b`; at least FEWEST_RUNS on each side."""
    levels = levels_of(pool, margins)
    means = [
        judge_mean(key, (values[a], values[b]), margins, levels)
        for key, values in pool.means.items()
    ]
    chosen = np.concatenate([a, b])
    grid = np.ix_(chosen, chosen)
    distances, allowed = [], margins.excess_of(pool.frozen)
    for (population, measure), table in pool.distances.items():
        excess = find_excess(table[grid], chosen, len(a), allowed[measure], levels, permutations)
        other = pool.moved.get((population, measure))
        moved = mean_excess(other[grid], chosen, len(a)) if other is not None else float("nan")
        distances.append(DistanceResult(population, measure, excess, moved))
    return Statistics(
        (len(a), len(b)), pool.frozen, tuple(means), tuple(distances),
        tuple(_find_shortfalls(len(a), len(b), margins)),
    )  # fmt: skip


def levels_of(pool: Pool, margins: Margins) -> Levels:
    """The levels of each test, for as many tests as a pool has."""
    tests = len(pool.means) + len(pool.distances)
    return Levels(margins.alpha, margins.alpha / tests, margins.power)


def judge_mean(
    key: Key, values: tuple[Floats, Floats], margins: Margins, levels: Levels
) -> MeanResult:
    """Test one measure's mean; `values` has both sides', one a run."""
    a, b = values
    reference = float(a.mean())
    scale = abs(reference) or 1.0
    margin = margins.of_mean(key[1], reference) / scale
    interval = compare_means(a / scale, b / scale, margin, levels)
    spread = (float(a.std(ddof=1)), float(b.std(ddof=1)))
    return MeanResult(*key, reference, float(b.mean()), *spread, interval)


def _find_shortfalls(a: int, b: int, margins: Margins) -> Iterator[str]:
    if min(a, b) < margins.least_runs:
        yield f"{min(a, b)} runs a side; EQUIVALENT needs at least {margins.least_runs}"


def with_shortfalls(found: Statistics, more: Sequence[str]) -> Statistics:
    """The same with further reasons that forbid EQUIVALENT."""
    return replace(found, shortfalls=(*found.shortfalls, *more))
