"""How often the statistical tier errs at this number of runs: verdicts on resampled runs. Pure.

Trials are drawn with replacement from runs that there are, as many a side as were compared: with
both sides drawn from side A the truth is that they are the same; with side B's measure moved by
exactly its margin they are not equivalent. The tests promise at most alpha there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from imagefactory.equivalence.margins import Margins
from imagefactory.equivalence.statistical import (
    Key,
    Pool,
    Statistics,
    judge,
    judge_mean,
    levels_of,
)
from imagefactory.equivalence.tost import Finding

Integers = npt.NDArray[np.int64]
TRIALS = 400
SEED = 2  # of the draws: the same table for the same runs
LEAST_DISTINCT = 3  # runs in a drawn side; fewer have no spread


@dataclass(frozen=True)
class Rates:
    """Which verdicts came, in how many trials, where this was the truth."""

    truth: str
    equivalent: int
    different: int
    inconclusive: int

    @property
    def trials(self) -> int:
        """How many there were."""
        return self.equivalent + self.different + self.inconclusive


@dataclass(frozen=True)
class Calibration:
    """Error rates at this number of runs a side.

    `same`: both sides are drawn from side A, so DIFFERENT is a false alarm. `at_margin`: a measure
    of side B is moved by its margin, so EQUIVALENT is a false pass. `as_found`: each side is drawn
    from its own runs: how stable the verdict is.
    """

    runs: int
    same: Rates
    at_margin: tuple[Rates, ...]
    as_found: Rates

    @property
    def false_alarm(self) -> float:
        """Share of DIFFERENT where the sides are the same."""
        return self.same.different / self.same.trials

    @property
    def false_pass(self) -> float:
        """The highest share of EQUIVALENT where a measure differs by its margin."""
        return max(each.equivalent / each.trials for each in self.at_margin)


def calibrate(
    pool: Pool, a: Integers, b: Integers, margins: Margins, trials: int = TRIALS
) -> Calibration:
    """Resample the runs `a` and `b` of a pool; the number of runs a side is that of `a`."""
    rng = np.random.default_rng(SEED)
    draws = [(_draw(rng, a, len(a)), _draw(rng, a, len(a))) for _ in range(trials)]
    same = [judge(pool, *sides, margins, permutations=0) for sides in draws]
    found = [
        judge(pool, _draw(rng, a, len(a)), _draw(rng, b, len(b)), margins, permutations=0)
        for _ in range(trials)
    ]
    return Calibration(
        len(a),
        _count("the same", same),
        tuple(_move(pool, a, key, draws, same, margins) for key in pool.means),
        _count("as found", found),
    )


def _move(
    pool: Pool,
    a: Integers,
    key: Key,
    draws: Sequence[tuple[Integers, Integers]],
    same: Sequence[Statistics],
    margins: Margins,
) -> Rates:
    """The trials again, with one measure of side B moved by its margin, up and down by turns."""
    values, levels = pool.means[key], levels_of(pool, margins)
    margin = margins.of_mean(key[1], float(values[a].mean()))
    place = list(pool.means).index(key)
    moved = []
    for number, (sides, trial) in enumerate(zip(draws, same, strict=True)):
        other = values[sides[1]] + (margin if number % 2 else -margin)
        means = list(trial.means)
        means[place] = judge_mean(key, (values[sides[0]], other), margins, levels)
        moved.append(replace(trial, means=tuple(means)))
    return _count(f"{key[0]} {key[1]} at its margin", moved)


def _draw(rng: np.random.Generator, runs: Integers, count: int) -> Integers:
    while True:
        drawn = rng.choice(runs, count)
        if len(np.unique(drawn)) >= min(LEAST_DISTINCT, len(runs)):
            return drawn


def _count(truth: str, trials: Sequence[Statistics]) -> Rates:
    found = [trial.finding for trial in trials]
    return Rates(truth, *(found.count(each) for each in (
        Finding.WITHIN, Finding.BEYOND, Finding.OPEN,
    )))  # fmt: skip
