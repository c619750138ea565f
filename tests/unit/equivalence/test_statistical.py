"""TOST, excess distances and the tier as a whole, on samples of which the truth is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.equivalence.distances import (
    find_excess,
    mean_excess,
    measure_distances,
    measure_patterns,
)
from imagefactory.equivalence.margins import load_margins
from imagefactory.equivalence.measures import PopulationMeasures
from imagefactory.equivalence.statistical import Measured, Statistics, gather, judge
from imagefactory.equivalence.tost import Finding, Levels, chance, compare_means, find_runs

MARGINS = load_margins()
LEVELS = Levels(0.05, 0.05, 0.9)


# --- TOST ------------------------------------------------------------------------------------


def test_an_interval_as_computed_by_hand() -> None:
    # Means 10 and 10.2, both of variance 0.025 (SD 0.1581) with 5 runs: SE 0.1, 8 degrees of
    # freedom, t(0.95) = 1.8595; (0.5 - 0.2) / 0.1 = 3 gives p = 0.00854 (tables of Student's t).
    a = np.array([9.8, 9.9, 10.0, 10.1, 10.2])
    found = compare_means(a, a + 0.2, 0.5, LEVELS)
    assert found.difference == pytest.approx(0.2)
    assert found.low == pytest.approx(0.2 - 0.18595, abs=1e-5)
    assert found.high == pytest.approx(0.2 + 0.18595, abs=1e-5)
    assert found.p == pytest.approx(0.00854, abs=1e-5)
    assert found.finding is Finding.WITHIN


@pytest.mark.parametrize(
    ("shift", "finding"),
    [(0.0, Finding.WITHIN), (0.4, Finding.OPEN), (-0.4, Finding.OPEN), (1.0, Finding.BEYOND),
     (-1.0, Finding.BEYOND)],
)  # fmt: skip
def test_where_an_interval_lies(shift: float, finding: Finding) -> None:
    a = np.array([9.8, 9.9, 10.0, 10.1, 10.2])
    assert compare_means(a, a + shift, 0.5, LEVELS).finding is finding


def test_tost_keeps_its_level_at_the_margin() -> None:
    rng = np.random.default_rng(1)
    passed = sum(
        compare_means(a, b, 1.0, LEVELS).finding is Finding.WITHIN
        for a, b in zip(rng.normal(0, 1, (1000, 10)), rng.normal(1, 1, (1000, 10)), strict=True)
    )
    assert 25 <= passed <= 75  # 50 expected


def test_power_and_runs_needed_are_those_of_the_facts() -> None:
    # Seed SD 2.2 %: 4 runs a side at 5 %, and 21 at 2 % by the normal approximation.
    assert find_runs((2.2, 2.2), 5.0, LEVELS) == pytest.approx(5, abs=1)
    assert find_runs((2.2, 2.2), 2.0, LEVELS) == pytest.approx(27, abs=2)
    rng = np.random.default_rng(2)
    passed = sum(
        compare_means(a, b, 1.6, LEVELS).finding is Finding.WITHIN
        for a, b in zip(rng.normal(0, 1, (1000, 10)), rng.normal(0, 1, (1000, 10)), strict=True)
    )
    assert passed / 1000 == pytest.approx(chance((1, 1), 10, 10, 1.6, 0.05), abs=0.05)


def test_runs_that_do_not_spread() -> None:
    a = np.full(3, 2.0)
    assert compare_means(a, a, 0.1, LEVELS).finding is Finding.WITHIN
    assert compare_means(a, a + 0.2, 0.1, LEVELS).finding is Finding.BEYOND
    assert find_runs((1.0, 1.0), 1e-6, LEVELS) is None


def test_a_value_that_is_missing_leaves_all_open() -> None:
    found = compare_means(np.array([1.0, np.nan, 1.0]), np.ones(3), 0.1, LEVELS)
    assert found.finding is Finding.OPEN
    assert (found.power, found.needed) == (0.0, None)


def test_many_tests_of_sides_that_are_the_same_raise_no_alarm() -> None:
    """Margins far below the noise: a tenth of the intervals lies outside, no verdict may."""
    rng = np.random.default_rng(7)
    alone, together = Levels(0.05, 0.05, 0.9), Levels(0.05, 0.05 / 18, 0.9)
    a, b = rng.normal(0, 1, (2, 100, 18, 10))

    def alarms(levels: Levels) -> int:
        return sum(
            any(
                compare_means(one, other, 0.01, levels).finding is Finding.BEYOND
                for one, other in zip(*trial, strict=True)
            )
            for trial in zip(a, b, strict=True)
        )

    assert alarms(alone) > 50
    assert alarms(together) <= 19  # at most twice 5 % of 100, and three standard deviations


# --- distances -------------------------------------------------------------------------------


def test_distances_of_few_points_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagefactory.equivalence.distances.STRETCH", 2)
    samples = [np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 1.0, 2.0, 7.0, np.nan])]
    largest, moved = measure_distances([*samples, np.array([1.5])])
    assert largest.tolist() == [[0.0, 0.25, 0.5], [0.25, 0.0, 0.5], [0.5, 0.5, 0.0]]
    assert moved[0, 1] == moved[1, 0] == 1.0  # a quarter of the points by 4
    assert moved[0, 2] == 1.0  # 1.5, 0.5, 0.5 and 1.5, a quarter each
    assert moved[1, 2] == 2.0


def test_a_sample_without_values_has_no_distance() -> None:
    largest, _ = measure_distances([np.ones(3), np.full(3, np.nan), np.zeros(3)])
    assert np.isnan(largest[0, 1])
    assert largest[0, 2] == 1.0
    assert np.isnan(largest[1]).all()
    found = find_excess(np.tile(largest, (2, 2)), np.arange(6), 3, 0.03, LEVELS)
    assert found.interval.finding is Finding.OPEN
    assert math.isnan(found.p)


def test_excess_of_equal_and_of_unequal_sides() -> None:
    rng = np.random.default_rng(4)
    same, _ = measure_distances(list(rng.normal(0, 1, (20, 500))))
    found = find_excess(same, np.arange(20), 10, 0.03, LEVELS)
    assert abs(found.interval.difference) < 0.01
    assert found.interval.finding is Finding.WITHIN
    assert found.p > 0.05
    other = np.concatenate([rng.normal(0, 1, (10, 500)), rng.normal(0.3, 1, (10, 500))])
    found = find_excess(measure_distances(list(other))[0], np.arange(20), 10, 0.03, LEVELS)
    # Normal distributions 0.3 SD apart: their functions are 0.119 apart; chance takes its part.
    assert 0.06 < found.interval.difference < 0.119
    assert found.interval.finding is Finding.BEYOND
    assert found.p == 1 / 1000


def test_the_jackknife_leaves_out_each_run_in_turn() -> None:
    rng = np.random.default_rng(8)
    table, _ = measure_distances([*rng.normal(0, 1, (4, 50)), *rng.normal(0.5, 1, (5, 50))])
    left_out = []
    for run in range(9):
        kept = np.delete(np.arange(9), run)
        left_out.append(mean_excess(table[np.ix_(kept, kept)], kept, 3 if run < 4 else 4))
    sides = np.array(left_out[:4]), np.array(left_out[4:])
    error = math.sqrt(sum((len(s) - 1) / len(s) * ((s - s.mean()) ** 2).sum() for s in sides))
    found = find_excess(table, np.arange(9), 4, 0.03, LEVELS).interval
    # Seven degrees of freedom: t(0.95) = 1.8946.
    assert (found.high - found.low) / 2 == pytest.approx(1.8946 * error, rel=1e-4)


def test_a_run_taken_twice_is_not_compared_with_itself() -> None:
    rng = np.random.default_rng(5)
    table, _ = measure_distances(list(rng.normal(0, 1, (6, 200))))
    drawn = np.array([0, 0, 1, 2, 3, 4, 4, 5])
    found = find_excess(table[np.ix_(drawn, drawn)], drawn, 4, 0.03, LEVELS)
    assert found.within > table[table > 0].min()
    assert found.interval.difference < 0.05


def test_patterns() -> None:
    rng = np.random.default_rng(6)
    own = rng.normal(10, 2, 300)
    samples = [own + rng.normal(0, 1, 300) for _ in range(3)]
    apart = measure_patterns([*samples, rng.permutation(own), np.zeros(300)])
    # r = 4 / (4 + 1)
    assert apart[0, 1] == pytest.approx(0.2, abs=0.06)
    assert apart[0, 3] == pytest.approx(1.0, abs=0.2)
    assert np.isnan(apart[0, 4])


# --- the tier --------------------------------------------------------------------------------


def runs(
    seed: int, count: int = 10, *, rate: float = 20.0, cv: float = 0.9, blind: bool = False
) -> list[Measured]:
    """Measured runs of one population of a frozen network; `blind` runs have no CV."""
    rng = np.random.default_rng(seed)
    pattern = np.random.default_rng(99).normal(1, 0.2, 400)
    return [
        (
            PopulationMeasures(
                "p",
                rate * pattern * rng.normal(1, 0.01) + rng.normal(0, 1, 400),
                np.full(400, np.nan) if blind else rng.normal(cv, 0.1, 400),
                rng.normal(0.7, 0.1, 400),
                rng.normal(0.013, 0.02, 2000),
                float(rng.normal(20, 0.4)),
            ),
        )
        for _ in range(count)
    ]


def tier(a: list[Measured], b: list[Measured], frozen: bool = True) -> Statistics:
    pool = gather([*a, *b], frozen)
    return judge(pool, np.arange(len(a)), np.arange(len(a), len(a) + len(b)), MARGINS)


def found_in(statistics: Statistics, finding: Finding) -> set[str]:
    means = {one.measure for one in statistics.means if one.interval.finding is finding}
    return means | {
        f"distance of {one.measure}"
        for one in statistics.distances
        if one.excess.interval.finding is finding
    }


def test_other_seeds_are_equivalent() -> None:
    found = tier(runs(1), runs(2))
    assert found.finding is Finding.WITHIN
    assert found.power > 0.9
    assert found.needed == 10
    assert {mean.measure for mean in found.means} == {"rate", "cv", "lv", "correlation", "fano"}
    kinds = {each.measure for each in found.distances}
    assert kinds == {"rate", "cv", "correlation", "pattern"}
    assert not math.isnan(found.distances[0].moved)


def test_a_mean_beyond_its_margin_is_different() -> None:
    found = tier(runs(1), runs(2, rate=22.0))
    assert found.finding is Finding.BEYOND
    assert "rate" in found_in(found, Finding.BEYOND)
    assert "cv" in found_in(found, Finding.WITHIN)


def test_rate_alone_would_pass_it() -> None:
    found = tier(runs(1), runs(2, cv=0.93))
    assert found.finding is Finding.BEYOND
    assert "rate" in found_in(found, Finding.WITHIN)
    assert found_in(found, Finding.BEYOND) >= {"distance of cv"}


def test_other_neurons_of_a_frozen_network_are_different() -> None:
    turned: list[Measured] = [
        (PopulationMeasures(p.name, p.rate[::-1].copy(), p.cv, p.lv, p.correlation, p.fano),)
        for (p,) in runs(2)
    ]
    assert found_in(tier(runs(1), turned), Finding.BEYOND) == {"distance of pattern"}
    assert tier(runs(1), turned, frozen=False).finding is Finding.WITHIN


def test_too_few_runs_show_nothing() -> None:
    found = tier(runs(1, 4), runs(2, 4))
    assert found.finding is Finding.OPEN
    assert found.shortfalls == ("4 runs a side; EQUIVALENT needs at least 10",)


def test_a_measure_without_values_shows_nothing() -> None:
    found = tier(runs(1, blind=True), runs(2, blind=True))
    assert found.finding is Finding.OPEN
    assert found_in(found, Finding.OPEN) == {"cv", "distance of cv"}
    assert found.needed is None


def test_a_correlation_near_zero_has_an_absolute_margin() -> None:
    assert MARGINS.of_mean("correlation", 0.02) == pytest.approx(0.003)
    assert MARGINS.of_mean("correlation", 1e-5) == 0.001
    assert MARGINS.of_mean("rate", -2.0) == pytest.approx(0.06)
    assert MARGINS.excess_of(True)["pattern"] == 0.05
    assert "pattern" not in MARGINS.excess_of(False)


# --- margins ---------------------------------------------------------------------------------

TEXT = Path(str(load_margins.__globals__["files"]("imagefactory.equivalence"))) / "margins.yaml"


def test_the_digest_is_that_of_the_content(tmp_path: Path) -> None:
    text = TEXT.read_text(encoding="utf-8")
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text(text.replace("# Sources", "# Other"), encoding="utf-8")
    other.write_text(text.replace("rate: 0.03", "rate: 0.06"), encoding="utf-8")
    assert load_margins(same).digest == MARGINS.digest
    assert load_margins(other).digest != MARGINS.digest


def test_all_faults_of_a_margins_file_are_named(tmp_path: Path) -> None:
    path = tmp_path / "margins.yaml"
    text = TEXT.read_text(encoding="utf-8")
    path.write_text(
        text.replace("alpha: 0.05", "alpha: 0.5").replace("cv: 0.025, lv", "cvs: 0.025, lv"),
        encoding="utf-8",
    )
    with pytest.raises(ConfigurationFault) as caught:
        load_margins(path)
    said = str(caught.value)
    assert "0.5" in said
    assert "unknown key 'cvs'" in said
    assert "did you mean 'cv'?" in said
    assert "the key 'cv' is missing" in said
