"""Distances between distributions of runs: between the two sides, over those within a side.

The distance of two runs of one side is what chance alone does; what the mean distance between the
sides has above it is the excess (an energy distance of runs: Szekely and Rizzo 2013). It is 0 for
two sides that are the same. The run is the unit: intervals are by the jackknife over runs, and
the p-value by permutation of the runs' labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from imagefactory.equivalence.tost import MOST_RUNS, Finding, Interval, Levels, decide, unknown

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
PERMUTATIONS = 999
SEED = 1  # of the permutations: the same report for the same runs
STRETCH = 1 << 16  # points at which all runs' distribution functions are held at once


@dataclass(frozen=True)
class Excess:
    """A distance: its mean between the sides and within them, and the interval of the excess.

    `p` is by permutation. It is reported and decides nothing: with many runs it calls the least
    difference significant.
    """

    between: float
    within: float
    interval: Interval
    p: float


def measure_distances(samples: Sequence[Floats]) -> tuple[Floats, Floats]:
    """Kolmogorov-Smirnov and earth mover distances of all pairs, as two square arrays.

    NaN in a sample is left out; a sample without any value has NaN distances.
    """
    known = [np.sort(sample[~np.isnan(sample)]) for sample in samples]
    points = np.unique(np.concatenate(known))
    runs = len(known)
    largest, moved = np.zeros((runs, runs)), np.zeros((runs, runs))
    empty = [not len(each) for each in known]
    for begin in range(0, len(points), STRETCH):
        stretch = points[begin : begin + STRETCH]
        width = np.diff(points[begin : begin + STRETCH + 1])
        shares = np.array([
            np.searchsorted(each, stretch, side="right") / max(1, len(each)) for each in known
        ])  # fmt: skip
        for run in range(runs - 1):
            apart = np.abs(shares[run + 1 :] - shares[run])
            largest[run, run + 1 :] = np.maximum(largest[run, run + 1 :], apart.max(axis=1))
            moved[run, run + 1 :] += apart[:, : len(width)] @ width
    largest, moved = largest + largest.T, moved + moved.T
    largest[empty], largest[:, empty] = np.nan, np.nan
    moved[empty], moved[:, empty] = np.nan, np.nan
    return largest, moved


def measure_patterns(samples: Sequence[Floats]) -> Floats:
    """1 - r of all pairs, r the correlation over neurons: do the same neurons fire much?"""
    spread = np.array([each.std() for each in samples])
    apart = np.full((len(samples), len(samples)), np.nan)
    varied = np.flatnonzero(spread > 0)
    if len(varied):
        table = np.array(samples)[varied]
        apart[np.ix_(varied, varied)] = 1 - np.atleast_2d(np.corrcoef(table))
    return apart


def find_excess(
    distances: Floats,
    origin: Integers,
    count: int,
    margin: float,
    levels: Levels,
    permutations: int = PERMUTATIONS,
) -> Excess:
    """The excess in a square array of distances of runs, of which the first `count` are side A.

    `origin` tells where a run was taken twice by resampling: a run's distance from itself says
    nothing, and is left out. Each side has at least three runs.
    """
    own = origin[:, None] == origin
    if np.isnan(distances[~own]).any():
        nothing = float("nan")
        return Excess(nothing, nothing, unknown(margin), nothing)
    apart, valid = np.where(own, 0.0, distances), (~own).astype(float)
    first = np.arange(len(origin)) < count
    between, within = (float(each[0]) for each in split(apart, valid, first[None]))
    excess = between - within
    error = _jackknife(apart, valid, first)
    interval = _interval(excess, error, (count, len(origin) - count), margin, levels)
    return Excess(between, within, interval, _permuted(apart, valid, first, permutations))


def mean_excess(distances: Floats, origin: Integers, count: int) -> float:
    """The excess alone; NaN where a run has no distance from another."""
    own = origin[:, None] == origin
    first = np.arange(len(origin)) < count
    between, within = split(np.where(own, 0.0, distances), (~own).astype(float), first[None])
    return float(between[0] - within[0])


def split(apart: Floats, valid: Floats, first: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Mean distance between and within the sides, for each row of labels (True: side A)."""
    a, b = first.astype(np.float64), (~first).astype(np.float64)

    def mean(left: Floats, right: Floats) -> Floats:
        found: Floats = ((left @ apart) * right).sum(axis=1) / ((left @ valid) * right).sum(axis=1)
        return found

    return mean(a, b), (mean(a, a) + mean(b, b)) / 2


def _jackknife(apart: Floats, valid: Floats, first: npt.NDArray[np.bool_]) -> float:
    """Standard error of the excess: each run is left out in turn, side by side."""
    a, b = first.astype(np.float64), (~first).astype(np.float64)

    def without_each(left: Floats, right: Floats) -> Floats:
        """The mean distance from `left` to `right` without each run in turn."""
        sums = []
        for table in (apart, valid):
            to_left, to_right = table @ left, table @ right
            sums.append(float(left @ to_right) - left * to_right - right * to_left)
        found: Floats = sums[0] / sums[1]
        return found

    between = without_each(a, b)
    found = between - (without_each(a, a) + without_each(b, b)) / 2
    parts = [
        (len(side) - 1) / len(side) * float(((side - side.mean()) ** 2).sum())
        for side in (found[first], found[~first])
    ]
    return math.sqrt(sum(parts))


def _interval(
    excess: float, error: float, runs: tuple[int, int], margin: float, levels: Levels
) -> Interval:
    from scipy.special import stdtr, stdtrit

    freedom = sum(runs) - 2
    limit = float(stdtrit(freedom, 1 - levels.alpha))
    room = (margin - excess) / error if error else math.copysign(math.inf, margin - excess)
    p, p_beyond = float(stdtr(freedom, -room)), float(stdtr(freedom, room))
    finding = decide(p, p_beyond, levels)
    attained = float(stdtr(freedom, margin / error - limit)) if error else 1.0
    enough = min(runs)
    needed: int | None = enough
    if attained < levels.power or finding is Finding.OPEN:
        target = margin if attained < levels.power else abs(margin - excess)
        # The error falls with the root of the number of runs.
        reach = (limit + float(stdtrit(freedom, levels.power))) * error
        wanted = enough * (reach / target) ** 2 if target else math.inf
        needed = max(enough, math.ceil(wanted)) if wanted <= MOST_RUNS else None
    low, high = excess - limit * error, excess + limit * error
    return Interval(excess, low, high, margin, p, p_beyond, attained, needed, finding)


def _permuted(
    apart: Floats, valid: Floats, first: npt.NDArray[np.bool_], permutations: int
) -> float:
    if not permutations:
        return float("nan")
    generator = np.random.default_rng(SEED)
    labels = generator.permuted(np.tile(first, (permutations, 1)), axis=1)
    between, within = split(apart, valid, np.vstack([first, labels]))
    excess = between - within
    # Sums of the same numbers in another order differ in the last bits.
    return float((excess >= excess[0] - 1e-12).mean())
