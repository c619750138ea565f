"""Two one-sided tests of equivalence of the means of two sides, the run as the unit.

Schuirmann 1987, with Welch's standard error and Satterthwaite's degrees of freedom: the means are
equivalent if the interval of level 1 - 2 alpha lies inside the margins. It lies outside if the
difference is shown to be larger than the margin; across a margin, nothing is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MOST_RUNS = 10_000  # a side; more are never asked for


NOT_KNOWN = float("nan")


class Finding(StrEnum):
    """Where an interval lies."""

    WITHIN = "within"  # of the margin: shown to be equivalent
    BEYOND = "beyond"  # shown to be farther apart than the margin
    OPEN = "open"  # nothing is shown: more runs would tell


@dataclass(frozen=True)
class Interval:
    """A difference with its interval and margin, all in one unit.

    `p` is that of the tests of equivalence. `power` is the chance of WITHIN for two sides that are
    the same and spread like these; `needed` is how many runs a side would show the one or the other
    with the wanted power (None: more than MOST_RUNS, or not known).
    """

    difference: float
    low: float
    high: float
    margin: float
    p: float
    power: float
    needed: int | None

    @property
    def finding(self) -> Finding:
        """Where the interval lies with regard to the margin."""
        return locate(self.low, self.high, self.margin)


def locate(low: float, high: float, margin: float) -> Finding:
    """Where an interval lies; NaN is OPEN."""
    if -margin < low and high < margin:
        return Finding.WITHIN
    if low > margin or high < -margin:
        return Finding.BEYOND
    return Finding.OPEN


def compare_means(a: Floats, b: Floats, margin: float, alpha: float, power: float) -> Interval:
    """TOST of the mean of `b` against that of `a`; each has one value a run, at least two.

    A value that is NaN leaves everything unknown.
    """
    from scipy.special import stdtr, stdtrit

    difference = float(b.mean() - a.mean())
    if np.isnan(difference):
        return unknown(margin)
    spread = (float(a.std(ddof=1)), float(b.std(ddof=1)))
    error, freedom = welch(spread[0], len(a), spread[1], len(b))
    half = float(stdtrit(freedom, 1 - alpha)) * error
    low, high = difference - half, difference + half
    room = margin - abs(difference)
    p = float(stdtr(freedom, -(room / error))) if error else float(room <= 0)
    attained = chance(spread, len(a), len(b), margin, alpha)
    needed: int | None = min(len(a), len(b))
    if attained < power:
        needed = find_runs(spread, margin, alpha, power)
    elif locate(low, high, margin) is Finding.OPEN:
        # Power enough and still open: the difference itself is near the margin.
        needed = find_runs(spread, abs(room), alpha, power)
    return Interval(difference, low, high, margin, p, attained, needed)


def unknown(margin: float) -> Interval:
    """What is known where a measure has no value."""
    return Interval(NOT_KNOWN, NOT_KNOWN, NOT_KNOWN, margin, NOT_KNOWN, 0.0, None)


def welch(sd_a: float, n_a: int, sd_b: float, n_b: int) -> tuple[float, float]:
    """Standard error of a difference of means, and its degrees of freedom."""
    part_a, part_b = sd_a**2 / n_a, sd_b**2 / n_b
    total = part_a + part_b
    if total == 0:
        return 0.0, float(n_a + n_b - 2)
    freedom = total**2 / (part_a**2 / (n_a - 1) + part_b**2 / (n_b - 1))
    return math.sqrt(total), freedom


def chance(spread: tuple[float, float], n_a: int, n_b: int, margin: float, alpha: float) -> float:
    """The power of TOST where there is no difference: Phillips 1990, by the central t."""
    from scipy.special import stdtr, stdtrit

    error, freedom = welch(spread[0], n_a, spread[1], n_b)
    if error == 0:
        return 1.0
    room = margin / error - float(stdtrit(freedom, 1 - alpha))
    return max(0.0, 2 * float(stdtr(freedom, room)) - 1)


def find_runs(spread: tuple[float, float], margin: float, alpha: float, power: float) -> int | None:
    """The least number of runs a side that gives the wanted power; None above MOST_RUNS."""

    def enough(runs: int) -> bool:
        return chance(spread, runs, runs, margin, alpha) >= power

    if not enough(MOST_RUNS):
        return None
    low, high = 1, MOST_RUNS  # `low` is not enough, `high` is
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
