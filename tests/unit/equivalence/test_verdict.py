"""Each verdict, each fault that forbids one, and what is said about where runs part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imagefactory.equivalence import (
    EXIT_CODES,
    Comparison,
    Verdict,
    compare,
    document,
    explain,
)
from imagefactory.run import RunRecord
from tests.conftest import Golden
from tests.unit.equivalence.conftest import MakeRun, random_pairs, spikes_from


def compare_runs(a: RunRecord, b: RunRecord) -> Comparison:
    return compare([a], [b])


def faults_of(comparison: Comparison) -> str:
    assert comparison.verdict is Verdict.INVALID
    assert comparison.exit_code == 9
    return "\n".join(str(fault) for fault in comparison.outcome.faults)


def test_equal_spikes_are_identical(make_run: MakeRun, golden: Golden) -> None:
    a = make_run("run-a")
    b = make_run("run-b", site="bookworm", machine__cpu="Intel Xeon", machine__libm="glibc 2.41")
    comparison = compare_runs(a, b)
    assert comparison.verdict is Verdict.IDENTICAL
    assert comparison.exit_code == 0
    golden.check("equivalence/identical.txt", explain(comparison) + "\n")


def test_other_split_of_the_same_processes_is_compared(make_run: MakeRun) -> None:
    a = make_run("run-a")
    b = make_run("run-b", geometry__ranks=1, geometry__threads=2)
    assert compare_runs(a, b).verdict is Verdict.IDENTICAL


def test_one_spike_a_step_later(make_run: MakeRun, golden: Golden) -> None:
    pairs = sorted(set(random_pairs(1)) - {(step, 45) for step in range(2001)})
    a = make_run("run-a", spikes_from([*pairs, (345, 45)]))
    b = make_run("run-b", spikes_from([*pairs, (346, 45)]))
    comparison = compare_runs(a, b)
    assert comparison.verdict is Verdict.DIFFERENT
    assert comparison.exit_code == 3
    assert comparison.divergence is not None
    assert comparison.divergence.time_ms == pytest.approx(34.5)
    assert (comparison.divergence.population, comparison.divergence.index) == ("inhibitory", 5)
    assert comparison.divergence.only_in == "run-a"
    assert comparison.worst is not None
    assert comparison.worst.counts.shared == len(pairs)
    assert comparison.worst.counts.neurons_that_differ == 1
    golden.check("equivalence/shifted.txt", explain(comparison) + "\n")


def test_one_spike_more(make_run: MakeRun) -> None:
    pairs = random_pairs(1)
    extra = next((s, n) for s in range(1, 2000) for n in range(50) if (s, n) not in set(pairs))
    comparison = compare_runs(
        make_run("run-a", spikes_from(pairs)), make_run("run-b", spikes_from([*pairs, extra]))
    )
    assert comparison.divergence is not None
    assert comparison.divergence.only_in == "run-b"
    assert (comparison.divergence.step, comparison.divergence.neuron) == extra


def test_two_swapped_neurons(make_run: MakeRun) -> None:
    pairs = random_pairs(1)
    swap = {3: 4, 4: 3}
    swapped = [(step, swap.get(neuron, neuron)) for step, neuron in pairs]
    comparison = compare_runs(
        make_run("run-a", spikes_from(pairs)), make_run("run-b", spikes_from(swapped))
    )
    assert comparison.verdict is Verdict.DIFFERENT
    assert comparison.worst is not None
    assert comparison.worst.counts.neurons_that_differ == 2
    assert comparison.worst.counts.spikes_a == comparison.worst.counts.spikes_b


def test_negative_control_names_the_parameter(make_run: MakeRun, golden: Golden) -> None:
    a = make_run("run-a")
    b = make_run(
        "run-b",
        spikes_from(random_pairs(2)),
        parameters__weight_scale=1.02,
        network__digest="cd" * 16,
    )
    golden.check("equivalence/control.txt", explain(compare_runs(a, b)) + "\n")


def test_any_change_of_any_spike_is_found(make_run: MakeRun) -> None:
    """Many random lists: identical only to themselves, first divergence as a slow search has it."""
    for seed in range(25):
        rng = np.random.default_rng(seed)
        pairs = random_pairs(seed, count=int(rng.integers(2, 60)))
        other = list(pairs)
        victim = int(rng.integers(len(other)))
        step, neuron = other[victim]
        moved = (step % 2000 + 1, neuron) if rng.random() < 0.5 else (step, (neuron + 1) % 50)
        if moved in other:
            continue
        other[victim] = moved
        comparison = compare_runs(
            make_run("run-a", spikes_from(pairs)), make_run("run-b", spikes_from(other))
        )
        assert comparison.divergence is not None
        first = min(set(pairs) ^ set(other))
        assert (comparison.divergence.step, comparison.divergence.neuron) == first
        assert comparison.divergence.only_in == ("run-a" if first in pairs else "run-b")


def test_same_run_twice(make_run: MakeRun) -> None:
    run = make_run("run-a")
    assert "the same run was given twice" in faults_of(compare_runs(run, run))


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("parameters__seed", 8, "unequal seeds: 7 and 8"),
        ("parameters__dt_ms", 0.2, "unequal time step: 0.1 and 0.2"),
        ("geometry__virtual_processes", 4, "unequal number of virtual processes"),
        ("network__rng", "Philox_64", "unequal type of random number generator"),
        ("network__spike_precision", "off_grid", "unequal spike precision"),
        ("backend", "neuron", "unequal backend"),
    ],
)
def test_where_equal_spikes_are_not_expected(
    make_run: MakeRun, fact: str, value: object, said: str
) -> None:
    more = {"versions__neuron": "9.0.2"} if value == "neuron" else {}
    spikes = spikes_from(random_pairs(2))
    if fact == "parameters__dt_ms":
        spikes = spikes_from([*{((step + 1) // 2, one) for step, one in random_pairs(2)}], 0.2)
    comparison = compare_runs(make_run("run-a"), make_run("run-b", spikes, **{fact: value, **more}))
    assert comparison.verdict is Verdict.INCONCLUSIVE
    assert comparison.exit_code == 9
    assert [tier.name for tier in comparison.outcome.tiers] == [
        "provenance", "bit for bit", "statistics",
    ]  # fmt: skip
    assert said in comparison.outcome.tiers[1].expected
    assert "1 run a side: not tried; it needs 3, and 10 to pass" in explain(comparison)


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("parameters__duration_ms", 300.0, "unequal duration: 200 and 300"),
        ("model", "other", "unequal model"),
    ],
)
def test_what_must_be_equal(make_run: MakeRun, fact: str, value: object, said: str) -> None:
    assert said in faults_of(compare_runs(make_run("run-a"), make_run("run-b", **{fact: value})))


def test_frozen_runs_are_expected_to_be_equal_for_any_virtual_processes(make_run: MakeRun) -> None:
    other = {"geometry__virtual_processes": 4, "geometry__ranks": 4, "network__rng": "Philox_64"}
    a = make_run("run-a", parameters__frozen=True)
    same = make_run("run-b", parameters__frozen=True, **other)
    assert compare_runs(a, same).verdict is Verdict.IDENTICAL
    assert compare_runs(a, same).outcome.tiers[1].expected.startswith("equal spikes")
    spikes = spikes_from(random_pairs(2))
    c = make_run("run-c", spikes, parameters__frozen=True, **other)
    assert compare_runs(a, c).verdict is Verdict.DIFFERENT
    d = make_run("run-d", spikes, **other)
    assert compare_runs(a, d).verdict is Verdict.INCONCLUSIVE, "frozen on one side only"


def test_another_nest_needs_the_same_image(make_run: MakeRun) -> None:
    a, b = make_run("run-a"), make_run("run-b", versions__nest="3.8.0", image__sif="other")
    found = compare_runs(a, b)
    assert found.verdict is Verdict.IDENTICAL, "more than was expected"
    assert found.outcome.tiers[1].expected == (
        "no equal spikes (unequal version of NEST: 3.10.0 and 3.8.0)"
    )
    c = make_run("run-c", spikes_from(random_pairs(2)), versions__nest="3.8.0", image__sif="other")
    assert compare_runs(a, c).verdict is Verdict.INCONCLUSIVE
    d = make_run("run-d", spikes_from(random_pairs(2)), image__sif="other")
    assert compare_runs(a, d).verdict is Verdict.DIFFERENT


@pytest.mark.parametrize(
    "fact",
    [
        "image__sif", "geometry__ranks", "parameters__seed", "parameters__warmup_ms",
        "versions__nest", "versions__pynn", "versions__numpy", "network__digest", "network__rng",
        "network__use_compressed_spikes", "machine__cpu", "machine__libm",
    ],
)  # fmt: skip
def test_missing_provenance(make_run: MakeRun, fact: str) -> None:
    text = faults_of(compare_runs(make_run("run-a"), make_run("run-b", **{fact: None})))
    assert "run-b: the record does not tell the" in text
    assert f"({fact.replace('__', '.')})" in text


def test_run_that_did_not_finish(make_run: MakeRun) -> None:
    failed = make_run(
        "run-b", state="FAILED", failure={"what": "a rank crashed"}, spikes__file=None
    )
    text = faults_of(compare_runs(make_run("run-a"), failed))
    assert "run-b: the run is FAILED, not FINISHED: a rank crashed" in text


def test_compressed_spikes_count_only_with_two_ranks(make_run: MakeRun) -> None:
    a = make_run("run-a", network__use_compressed_spikes=True)
    b = make_run("run-b", geometry__ranks=1, geometry__threads=2)
    assert "delivers spikes to wrong targets" in faults_of(compare_runs(a, b))
    single = {"geometry__ranks": 1, "geometry__threads": 2}
    c = make_run("run-c", network__use_compressed_spikes=True, **single)
    assert compare_runs(b, c).verdict is Verdict.IDENTICAL


def test_nest_saw_other_virtual_processes(make_run: MakeRun) -> None:
    b = make_run("run-b", network__virtual_processes=1)
    assert "NEST ran 1 virtual processes" in faults_of(compare_runs(make_run("run-a"), b))


def test_altered_spikes(make_run: MakeRun) -> None:
    a, b = make_run("run-a"), make_run("run-b")
    make_run("run-b", spikes_from(random_pairs(5)))  # the same folder, other spikes
    assert "the spikes were altered" in faults_of(compare_runs(a, b))


def test_cut_and_missing_spikes(make_run: MakeRun) -> None:
    a, b = make_run("run-a"), make_run("run-b")
    path = b.folder / "spikes.npz"
    path.write_bytes(path.read_bytes()[:200])
    (a.folder / "spikes.npz").unlink()
    text = faults_of(compare_runs(a, b))
    assert "the spikes are missing" in text
    assert "cut or damaged" in text


def test_silent_network(make_run: MakeRun) -> None:
    text = faults_of(compare_runs(make_run("run-a", spikes_from([])), make_run("run-b")))
    assert "no spike at all" in text


def test_spikes_of_another_shape(make_run: MakeRun) -> None:
    a = make_run("run-a", parameters__duration_ms=100.0)
    b = make_run("run-b", parameters__duration_ms=100.0)
    assert "another time step or duration than the record" in faults_of(compare_runs(a, b))


def test_all_faults_come_at_once(make_run: MakeRun, golden: Golden) -> None:
    a = make_run("run-a", machine__libm=None, network__use_compressed_spikes=True)
    b = make_run("run-b", spikes__file=None, parameters__seed=8, geometry__virtual_processes=4)
    golden.check("equivalence/invalid.txt", explain(compare_runs(a, b)) + "\n")


def test_document_is_json(make_run: MakeRun, tmp_path: Path) -> None:
    a = make_run("run-a")
    for b in (make_run("run-b"), make_run("run-c", spikes_from(random_pairs(3))), a):
        comparison = compare_runs(a, b)
        text = json.dumps(document(comparison), allow_nan=False)
        read = json.loads(text)
        assert read["verdict"] == str(comparison.verdict)
        assert {row["name"] for row in read["provenance"]} >= {"machine.cpu", "parameters.seed"}


def test_every_verdict_has_its_exit_code() -> None:
    assert {str(verdict): EXIT_CODES[verdict] for verdict in Verdict} == {
        "IDENTICAL": 0,
        "EQUIVALENT": 0,
        "DIFFERENT": 3,
        "INCONCLUSIVE": 9,
        "INVALID": 9,
    }
