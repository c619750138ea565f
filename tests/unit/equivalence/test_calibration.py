"""Error rates by resampling: right where the truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imagefactory.equivalence.calibration import Rates, calibrate
from imagefactory.equivalence.margins import load_margins
from imagefactory.equivalence.statistical import Pool

MARGINS = load_margins()


def pool_of(spread: float, shift: float, runs: int = 40) -> Pool:
    """Half of the runs are side A; rates differ by `shift`, distances are of 0.05 everywhere."""
    rng = np.random.default_rng(1)
    values = rng.normal(1, spread, runs)
    values[runs // 2 :] += shift
    table = 0.05 + rng.normal(0, 0.002, (runs, runs))
    table = (table + table.T) / 2
    return Pool(runs, {("p", "rate"): values}, {("p", "rate"): table}, {})


def halves(pool: Pool) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.arange(pool.runs)
    return numbers[: pool.runs // 2], numbers[pool.runs // 2 :]


def test_sides_that_spread_little_pass_and_raise_no_alarm() -> None:
    pool = pool_of(0.01, 0.0)
    found = calibrate(pool, *halves(pool), MARGINS, trials=100)
    assert found.runs == 20
    assert found.same == Rates("the same", 100, 0, 0)
    assert found.false_alarm == 0.0
    assert found.as_found.equivalent == 100


def test_at_the_margin_few_pass() -> None:
    pool = pool_of(0.03, 0.0)
    found = calibrate(pool, *halves(pool), MARGINS, trials=400)
    assert 0.005 <= found.false_pass <= 0.09  # 5 % promised; both draws come from twenty runs
    assert found.at_margin[0].truth == "p rate at its margin"


def test_sides_that_spread_much_stay_open() -> None:
    pool = pool_of(0.2, 0.0)
    found = calibrate(pool, *halves(pool), MARGINS, trials=100)
    assert found.same.inconclusive >= 95
    assert found.false_alarm <= 0.05


def test_a_difference_is_found_again() -> None:
    pool = pool_of(0.01, 0.1)
    assert calibrate(pool, *halves(pool), MARGINS, trials=50).as_found.different == 50


def test_the_same_runs_give_the_same_rates() -> None:
    pool = pool_of(0.02, 0.02)
    sides = halves(pool)
    assert calibrate(pool, *sides, MARGINS, 20) == calibrate(pool, *sides, MARGINS, 20)
    few = replace(MARGINS, least_runs=30)
    assert calibrate(pool, *sides, few, 20).same.equivalent == 0
