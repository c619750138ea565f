"""Two one-sided tests of equivalence of the means of two sides, the run as the unit.

Schuirmann 1987, with Welch's standard error and Satterthwaite's degrees of freedom: the means are
equivalent if the interval of level 1 - 2 alpha lies inside the margins. A third test shows that the
difference is larger than the margin; where no test shows anything, nothing is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
MOST_RUNS = 10_000  # a side; more are never asked for


class Finding(StrEnum):
    """Where an interval lies."""

    WITHIN = "within"  # of the margin: shown to be equivalent
    BEYOND = "beyond"  # it: shown to be farther apart
    OPEN = "open"  # nothing is shown: more runs would tell


@dataclass(frozen=True)
class Levels:
    """`alpha` of each one-sided test of equivalence, `beyond` of the test that a margin is passed
    (divided by the number of tests, for one of them suffices: Bonferroni), and the wanted power."""

    alpha: float
    beyond: float
    power: float


@dataclass(frozen=True)
class Interval:
    """A difference with its interval and margin, all in one unit, and where it lies.

    `p` is that of the tests of equivalence, `p_beyond` that of the test that the margin is passed.
    `power` is the chance of WITHIN for two sides that are the same and spread like these; `needed`
    is how many runs a side would show the one or the other with the wanted power (None: more than
    MOST_RUNS, or not known).
    """

    difference: float
    low: float
    high: float
    margin: float
    p: float
    p_beyond: float
    power: float
    needed: int | None
    finding: Finding


def compare_means(a: Floats, b: Floats, margin: float, levels: Levels) -> Interval:
    """TOST of the mean of `b` against that of `a`; each has one value a run, at least two.

    A value that is NaN leaves everything unknown.
    """
    from scipy.special import stdtr, stdtrit

    difference = float(b.mean() - a.mean())
    if np.isnan(difference):
        return unknown(margin)
    spread = (float(a.std(ddof=1)), float(b.std(ddof=1)))
    error, freedom = welch(spread[0], len(a), spread[1], len(b))
    half = float(stdtrit(freedom, 1 - levels.alpha)) * error
    room = margin - abs(difference)
    far = room / error if error else math.copysign(math.inf, room)
    p, p_beyond = float(stdtr(freedom, -far)), float(stdtr(freedom, far))
    finding = decide(p, p_beyond, levels)
    attained = chance(spread, len(a), len(b), margin, levels.alpha)
    needed: int | None = min(len(a), len(b))
    if attained < levels.power:
        needed = find_runs(spread, margin, levels)
    elif finding is Finding.OPEN:
        # Power enough and still open: the difference itself is near the margin.
        needed = find_runs(spread, abs(room), levels)
    low, high = difference - half, difference + half
    return Interval(difference, low, high, margin, p, p_beyond, attained, needed, finding)


def decide(p: float, p_beyond: float, levels: Levels) -> Finding:
    """The finding of two tests: p < alpha is the same as an interval inside the margins."""
    if p < levels.alpha:
        return Finding.WITHIN
    return Finding.BEYOND if p_beyond < levels.beyond else Finding.OPEN


def unknown(margin: float) -> Interval:
    """What is known where a measure has no value."""
    nothing = float("nan")
    return Interval(nothing, nothing, nothing, margin, nothing, nothing, 0.0, None, Finding.OPEN)


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


def find_runs(spread: tuple[float, float], margin: float, levels: Levels) -> int | None:
    """The least number of runs a side that gives the wanted power; None above MOST_RUNS."""

    def enough(runs: int) -> bool:
        return chance(spread, runs, runs, margin, levels.alpha) >= levels.power

    if not enough(MOST_RUNS):
        return None
    low, high = 1, MOST_RUNS  # `low` is not enough, `high` is
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
