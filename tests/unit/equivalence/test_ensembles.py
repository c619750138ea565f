"""Two ensembles: every bad one is named, and every tier is reached only when it is its turn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagefactory.cli import main
from imagefactory.equivalence import Comparison, Verdict, compare, document, explain, load_margins
from imagefactory.model import Population, Spikes
from imagefactory.run import RunRecord
from imagefactory.run.record import write_record
from tests.conftest import Golden
from tests.unit.equivalence.conftest import (
    DURATION,
    POPULATIONS,
    MakeRun,
    random_pairs,
    records_of,
    spikes_from,
)

# 50 neurons for 150 ms are too few for the shipped margins: what is tested here is the flow.
WIDE = replace(
    load_margins(),
    least_runs=4,
    least_warmup_ms=20.0,
    means=dict.fromkeys(("rate", "cv", "lv", "correlation", "fano"), 0.9),
    least_correlation_difference=0.1,
    excess=dict.fromkeys(("rate", "cv", "correlation", "pattern"), 0.9),
)


def faults_of(a: list[RunRecord], b: list[RunRecord]) -> str:
    comparison = compare(a, b)
    assert comparison.verdict is Verdict.INVALID
    assert [tier.name for tier in comparison.outcome.tiers] == ["provenance"]
    return "\n".join(str(fault) for fault in comparison.outcome.faults)


# --- ensembles that are none -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("parameters__dt_ms", 0.2, "runs of unequal time step: 0.1, 0.2"),
        ("parameters__weight_scale", 1.02, "runs of unequal parameters.weight_scale: 1, 1.02"),
        ("parameters__duration_ms", 300.0, "runs of unequal duration: 200, 300"),
        ("parameters__warmup_ms", 60.0, "runs of unequal parameters.warmup_ms: 50, 60"),
        ("geometry__virtual_processes", 4, "runs of unequal number of virtual processes"),
        ("image__sif", "other", "runs of unequal image: other, sha256:aaa"),
        ("module", {"sha256": "other"}, "runs of unequal module: -, other"),
        ("versions__nest", "3.8", "runs of unequal version of NEST: 3.10.0, 3.8"),
        ("backend", "neuron", "runs of unequal backend: nest, neuron"),
        ("model", "other", "runs of unequal model: balanced-random, other"),
        ("network__rng", "Philox", "runs of unequal type of random number generator"),
    ],
)
def test_mixed_runs_are_no_side(make_run: MakeRun, fact: str, value: object, said: str) -> None:
    a = records_of("a", (1, 2), make_run)
    a += records_of("a", (3,), make_run, **{fact: value})
    text = faults_of(a, records_of("b", (4, 5, 6), make_run))
    assert f"run-a1 and 2 more: one side has {said}" in text


def test_a_seed_twice(make_run: MakeRun) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    b = [*records_of("b", (4, 5), make_run), *records_of("c", (4,), make_run)]
    text = faults_of(a, b)
    assert "one side has a seed more than once: 4" in text
    assert "run-b4, run-c4: two runs of one side have equal spikes" in text


def test_a_run_twice(make_run: MakeRun) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    assert "run-a2: the same run was given twice" in faults_of(a, [a[1]])
    assert "run-a2: the same run was given twice" in faults_of([a[1], a[1]], a[:1])


def test_a_side_without_runs(make_run: MakeRun) -> None:
    assert "a side has no run" in faults_of([], records_of("a", (1,), make_run))


def test_unequal_numbers_of_runs(make_run: MakeRun) -> None:
    text = faults_of(records_of("a", (1, 2, 3), make_run), records_of("b", (4, 5), make_run))
    assert "unequal numbers of runs: 3 and 2" in text


def test_mixed_networks(make_run: MakeRun) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    b = records_of("b", (4, 5), make_run, network__digest="f" * 32)
    b += records_of("b", (6,), make_run)
    assert "3 runs of one side have 2 networks" in faults_of(a, b)


def test_a_frozen_and_a_free_side(make_run: MakeRun) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    b = records_of("b", (4, 5, 6), make_run, network__digest="f" * 32)
    text = faults_of(a, b)
    assert "one side's runs share one network, the other's have one each" in text


@pytest.mark.parametrize("network_seed", [5, 6])
def test_two_frozen_networks_are_two_samples(make_run: MakeRun, network_seed: int) -> None:
    a = records_of("a", (1, 2, 3), make_run, parameters__network_seed=5, network__digest="e" * 32)
    facts = {"parameters__network_seed": network_seed, "network__digest": "f" * 32}
    b = records_of("b", (4, 5, 6), make_run, **facts)
    assert "each side has a frozen network of its own" in faults_of(a, b)


@pytest.mark.parametrize("fact", ["network.digest", "network.start", "network.input"])
def test_frozen_sides_that_did_not_get_the_same(make_run: MakeRun, fact: str) -> None:
    """Then the spikes have to differ, and it says nothing about the sites."""
    frozen = {"parameters__frozen": True, "network__start": "s", "network__input": "i"}
    a = make_run("run-a", **frozen)
    b = make_run("run-b", spikes_from(random_pairs(2)), **{**frozen, fact: "other"})
    said = faults_of([a], [b])
    assert "the frozen sides were not given the same" in said
    assert f"({fact})" in said
    a, b = (replace(run, parameters={**run.parameters, "frozen": False}) for run in (a, b))
    assert compare([a], [b]).verdict is Verdict.DIFFERENT


def test_a_changed_network_is_compared(make_run: MakeRun) -> None:
    """Where a parameter changes the network, whether that matters is the question."""
    a = records_of("a", (1, 2, 3, 4), make_run, network__digest="e" * 32)
    facts = {"parameters__weight_scale": 1.02, "network__digest": "f" * 32}
    b = records_of("b", (5, 6, 7, 8), make_run, **facts)
    found = compare(a, b, WIDE)
    assert found.outcome.statistics is not None
    assert found.outcome.statistics.frozen


def test_other_populations(make_run: MakeRun) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    other = spikes_from(random_pairs(9))
    moved = (replace(POPULATIONS[0], size=30), Population("inhibitory", 30, 20))
    other = Spikes(other.neuron, other.step, other.dt_ms, other.duration_ms, moved)
    b = [*records_of("b", (4, 5), make_run), make_run("run-b9", other, parameters__seed=9)]
    text = faults_of(a, b)
    assert "run-a1, run-b9: unequal populations: excitatory 40, inhibitory 10 and " in text


def test_a_cut_run(make_run: MakeRun) -> None:
    cut = spikes_from([(step, one) for step, one in random_pairs(9) if step < 1500])
    b = [*records_of("b", (4, 5), make_run), make_run("run-b9", cut, parameters__seed=9)]
    text = faults_of(records_of("a", (1, 2, 3), make_run), b)
    assert "run-b9: the spikes end at 149.7 of 200 ms: the file is cut, or the network died" in text


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (0.1, "the spikes end at 19.9 of 200 ms"),  # ms for steps of 0.1 ms
        (10, "after the end of the run (200 ms)"),  # steps of 0.01 ms
    ],
)
def test_times_in_another_unit(make_run: MakeRun, factor: float, said: str) -> None:
    pairs = [(round(step * factor), one) for step, one in random_pairs(9)]
    wrong = make_run("run-b", spikes_from(sorted(set(pairs))))
    assert said in faults_of([make_run("run-a")], [wrong])


def test_a_pause_is_no_cut(make_run: MakeRun) -> None:
    """A network that pauses as long in between may end with a pause."""
    bursts = [pair for pair in random_pairs(9, 1500) if pair[0] < 600 or 1100 < pair[0] < 1500]
    found = compare(
        [make_run("run-a", spikes_from(bursts))], [make_run("run-b", parameters__seed=8)]
    )
    assert found.verdict is Verdict.INCONCLUSIVE


def test_all_faults_of_all_runs_come_at_once(make_run: MakeRun, golden: Golden) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    a[1] = make_run("run-a2", spikes_from([]), parameters__seed=2)
    a[2] = replace(a[2], machine={}, state="FAILED")
    b = records_of("b", (4, 5), make_run)
    b[1] = make_run("run-b5", spikes_from(random_pairs(5)), parameters__dt_ms=0.2)
    golden.check("equivalence/invalid-ensembles.txt", explain(compare(a, b)) + "\n")


# --- bit for bit -----------------------------------------------------------------------------


def test_every_seed_is_compared_bit_for_bit(make_run: MakeRun) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    same = compare(a, records_of("b", (3, 1, 2), make_run))
    assert same.verdict is Verdict.IDENTICAL
    assert [(pair.a, pair.b) for pair in same.outcome.pairs] == [
        ("run-a1", "run-b1"), ("run-a2", "run-b2"), ("run-a3", "run-b3"),
    ]  # fmt: skip
    assert "all 3 pairs of runs are equal" in explain(same)


def test_one_seed_that_differs_is_enough(make_run: MakeRun) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    b = records_of("b", (1, 3), make_run)
    b.append(make_run("run-b2", spikes_from(random_pairs(2)[1:]), parameters__seed=2))
    b[2] = replace(b[2], network={**b[2].network, "digest": f"{2:032x}"})
    found = compare(a, b)
    assert found.verdict is Verdict.DIFFERENT
    assert found.divergence is not None
    assert found.divergence.only_in == "run-a2"
    assert "1 of 3 pairs of runs differ" in explain(found)
    assert found.outcome.statistics is None


def test_shared_seeds_that_differ_are_not_averaged_away(make_run: MakeRun) -> None:
    a = records_of("a", (1, 2, 3), make_run)
    b = records_of("b", (4, 5), make_run)
    b.append(make_run("run-b3", spikes_from(random_pairs(77)), parameters__seed=3))
    b[2] = replace(b[2], network={**b[2].network, "digest": f"{3:032x}"})
    found = compare(a, b, WIDE)
    assert found.verdict is Verdict.DIFFERENT
    assert found.outcome.tiers[1].expected == "equal spikes of the 1 seeds that both sides have"


def test_shared_seeds_that_agree_are_one_sample(make_run: MakeRun) -> None:
    text = faults_of(records_of("a", (1, 2, 3), make_run), records_of("b", (3, 4, 5), make_run))
    assert "1 runs have the same spikes on both sides: they are one sample, not two" in text


# --- statistics ------------------------------------------------------------------------------


def test_other_seeds_reach_the_statistical_tier(make_run: MakeRun, golden: Golden) -> None:
    a = records_of("a", range(1, 5), make_run)
    b = records_of("b", range(5, 9), make_run, site="bookworm")
    found = compare(a, b, WIDE)
    assert (
        found.outcome.tiers[1].expected
        == "no equal spikes (unequal seeds: 1, 2, 3, 4 and 5, 6, 7, 8)"
    )
    assert found.outcome.window is not None
    assert (found.outcome.window.start_ms, found.outcome.window.end_ms) == (50.0, DURATION)
    assert found.outcome.statistics is not None
    assert not found.outcome.statistics.frozen
    golden.check("equivalence/statistics.txt", explain(found) + "\n")


def busy(seed: int, count: int) -> Spikes:
    return spikes_from(random_pairs(seed, count))


def ensembles(make: MakeRun, count: int = 4000) -> tuple[list[RunRecord], list[RunRecord]]:
    """Two ensembles of one frozen network at high rates; side B has `count` spikes a run."""
    sides: tuple[list[RunRecord], list[RunRecord]] = ([], [])
    for seed in range(1, 9):
        letter, spikes = ("a", 4000) if seed < 5 else ("b", count)
        record = make(f"run-{letter}{seed}", busy(seed, spikes), parameters__seed=seed)
        sides[seed > 4].append(record)
    return sides


def test_a_side_that_fires_more_is_different(make_run: MakeRun) -> None:
    margins = replace(WIDE, means={**WIDE.means, "rate": 0.1})
    found = compare(*ensembles(make_run, 5000), margins)
    assert found.verdict is Verdict.DIFFERENT
    assert found.exit_code == 3
    assert found.outcome.statistics is not None
    assert found.outcome.statistics.frozen
    assert "no parameter, software or hardware" in explain(found)
    assert "farther apart than the margins nest 3 allow" in found.headline


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"least_runs": 5}, "4 runs a side; EQUIVALENT needs at least 5"),
        ({"least_warmup_ms": 60.0}, "a warm-up of 50 ms; EQUIVALENT needs at least 60 ms"),
    ],
)
def test_what_is_missing_is_said(make_run: MakeRun, changed: dict[str, Any], said: str) -> None:
    found = compare(*ensembles(make_run), replace(WIDE, **changed))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert said in explain(found)


def test_equivalence_within_wide_margins(make_run: MakeRun) -> None:
    wide = replace(
        WIDE,
        means=dict.fromkeys(WIDE.means, 0.99),
        least_correlation_difference=1.0,
        frozen_excess=dict.fromkeys(WIDE.frozen_excess, 0.99),
    )
    found = compare(*ensembles(make_run), wide)
    assert found.verdict is Verdict.EQUIVALENT
    assert found.exit_code == 0
    assert "power             " in explain(found)


def test_the_longer_warm_up_counts(make_run: MakeRun) -> None:
    a = records_of("a", range(1, 5), make_run)
    b = records_of("b", range(5, 9), make_run, parameters__warmup_ms=100.0)
    window = compare(a, b, WIDE).outcome.window
    assert window is not None
    assert window.start_ms == 100.0


# --- the document ----------------------------------------------------------------------------


def described(comparison: Comparison) -> str:
    return json.dumps(document(comparison), sort_keys=True, allow_nan=False)


def test_the_document_is_the_same_for_the_same_runs(make_run: MakeRun) -> None:
    a, b = ensembles(make_run)
    assert described(compare(a, b)) == described(compare(a, b))
    read = json.loads(described(compare(a, b)))
    assert read["schema"] == 1
    assert [run["run"] for run in read["a"]] == ["run-a1", "run-a2", "run-a3", "run-a4"]
    for run in (*read["a"], *read["b"]):
        assert all(run[name].startswith("sha256:") for name in ("record", "spikes", "image"))
    assert read["margins"]["digest"] == str(load_margins().digest)
    assert read["code"]["equivalence"].startswith("sha256:")
    assert read["statistics"]["finding"] in {"open", "beyond"}
    assert read["window"] == {"start_ms": 50.0, "end_ms": 200.0}


def test_the_digest_of_a_record_covers_all_of_it(make_run: MakeRun) -> None:
    a, b = ensembles(make_run)
    first = document(compare(a, b))["a"][0]["record"]
    assert document(compare(a, [*b[1:], b[0]]))["a"][0]["record"] == first
    a[0] = replace(a[0], machine={**a[0].machine, "cpu": "Other"})
    assert document(compare(a, b))["a"][0]["record"] != first


def test_what_is_no_number_is_null(make_run: MakeRun) -> None:
    found = compare(records_of("a", (1, 2, 3), make_run), records_of("b", (4, 5, 6), make_run))
    read = json.loads(described(found))
    cv = next(each for each in read["statistics"]["means"] if each["measure"] == "cv")
    assert cv["mean_a"] is None


# --- the verb --------------------------------------------------------------------------------


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["compare", *arguments])
    return int(str(caught.value.code or 0))


def folders(side: list[RunRecord]) -> str:
    return ",".join(str(write_record(record).parent) for record in side)


def test_sides_on_the_command_line(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sides = [folders(side) for side in ensembles(make_run)]
    sheet, page = tmp_path / "verdict.json", tmp_path / "report.html"
    assert call(*sides, "--verdict", str(sheet), "--report", str(page)) == 9
    assert "INVALID" not in capsys.readouterr().out
    read = json.loads(sheet.read_text(encoding="utf-8"))
    assert read["verdict"] == "INCONCLUSIVE"
    assert len(read["b"]) == 4
    assert page.is_file()


def test_error_rates_on_demand(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("imagefactory.equivalence.calibration.calibrate.__defaults__", (20,))
    sides = [folders(side) for side in ensembles(make_run)]
    assert call(*sides, "--calibrate") == 9
    text = capsys.readouterr().out
    assert "20 resampled trials, 4 runs a side" in text
    assert "excitatory rate at its margin" in text
    assert call(*sides, "--calibrate", "--json") == 9
    assert json.loads(capsys.readouterr().out)["calibration"]["same"]["truth"] == "the same"
    alone = [folders([make_run(name)]) for name in ("run-x", "run-y")]
    assert call(*alone, "--calibrate") == 0, "the verdict, IDENTICAL, is not lost"
    assert (
        "warning: no error rates: the statistical tier was not reached" in capsys.readouterr().err
    )


def test_more_sides_are_compared_with_one_another(
    make_run: MakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    same = [folders(records_of(letter, (1, 2), make_run)) for letter in "ab"]
    other = folders([make_run("run-x", spikes_from(random_pairs(9))), make_run("run-y")])
    assert call(*same, "--json") == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "IDENTICAL"
    assert call(*same, other, "--json") == 9
    read = json.loads(capsys.readouterr().out)
    assert [each["verdict"] for each in read["comparisons"]] == ["IDENTICAL", "INVALID", "INVALID"]


def test_one_side_is_none(capsys: pytest.CaptureFixture[str], make_run: MakeRun) -> None:
    assert call(folders([make_run("run-a")])) == 2
    assert "there is one side only" in capsys.readouterr().err


def test_margins_of_ones_own(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "margins.yaml"
    path.write_text("schema: 1\n", encoding="utf-8")
    assert call(*(folders(side) for side in ensembles(make_run)), "--margins", str(path)) == 4
    assert "the key 'alpha' is missing" in capsys.readouterr().err
