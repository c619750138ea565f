"""Each verdict, each fault that forbids one, and what is said about where runs part."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imagefactory.equivalence import EXIT_CODES, Comparison, Verdict, compare, explain
from tests.conftest import Golden
from tests.unit.equivalence.conftest import MakeRun, random_pairs, spikes_from


def faults_of(comparison: Comparison) -> str:
    assert comparison.verdict is Verdict.INVALID
    assert comparison.exit_code == 9
    return "\n".join(str(fault) for fault in comparison.faults)


def test_equal_spikes_are_identical(make_run: MakeRun, golden: Golden) -> None:
    a = make_run("run-a")
    b = make_run("run-b", site="bookworm", machine__cpu="Intel Xeon", machine__libm="glibc 2.41")
    comparison = compare(a, b)
    assert comparison.verdict is Verdict.IDENTICAL
    assert comparison.exit_code == 0
    golden.check("equivalence/identical.txt", explain(comparison) + "\n")


def test_other_split_of_the_same_processes_is_compared(make_run: MakeRun) -> None:
    a = make_run("run-a")
    b = make_run("run-b", geometry__ranks=1, geometry__threads=2)
    assert compare(a, b).verdict is Verdict.IDENTICAL


def test_one_spike_a_step_later(make_run: MakeRun, golden: Golden) -> None:
    pairs = sorted(set(random_pairs(1)) - {(step, 45) for step in range(2001)})
    a = make_run("run-a", spikes_from([*pairs, (345, 45)]))
    b = make_run("run-b", spikes_from([*pairs, (346, 45)]))
    comparison = compare(a, b)
    assert comparison.verdict is Verdict.DIFFERENT
    assert comparison.exit_code == 3
    assert comparison.divergence is not None
    assert comparison.divergence.time_ms == pytest.approx(34.5)
    assert (comparison.divergence.population, comparison.divergence.index) == ("inhibitory", 5)
    assert comparison.divergence.only_in == "run-a"
    assert comparison.counts is not None
    assert comparison.counts.shared == len(pairs)
    assert comparison.counts.neurons_that_differ == 1
    golden.check("equivalence/shifted.txt", explain(comparison) + "\n")


def test_one_spike_more(make_run: MakeRun) -> None:
    pairs = random_pairs(1)
    extra = next((s, n) for s in range(1, 2000) for n in range(50) if (s, n) not in set(pairs))
    comparison = compare(
        make_run("run-a", spikes_from(pairs)), make_run("run-b", spikes_from([*pairs, extra]))
    )
    assert comparison.divergence is not None
    assert comparison.divergence.only_in == "run-b"
    assert (comparison.divergence.step, comparison.divergence.neuron) == extra


def test_two_swapped_neurons(make_run: MakeRun) -> None:
    pairs = random_pairs(1)
    swap = {3: 4, 4: 3}
    swapped = [(step, swap.get(neuron, neuron)) for step, neuron in pairs]
    comparison = compare(
        make_run("run-a", spikes_from(pairs)), make_run("run-b", spikes_from(swapped))
    )
    assert comparison.verdict is Verdict.DIFFERENT
    assert comparison.counts is not None
    assert comparison.counts.neurons_that_differ == 2
    assert comparison.counts.spikes_a == comparison.counts.spikes_b


def test_negative_control_names_the_parameter(make_run: MakeRun, golden: Golden) -> None:
    a = make_run("run-a")
    b = make_run(
        "run-b",
        spikes_from(random_pairs(2)),
        parameters__weight_scale=1.02,
        network__digest="cd" * 16,
    )
    golden.check("equivalence/control.txt", explain(compare(a, b)) + "\n")


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
        comparison = compare(
            make_run("run-a", spikes_from(pairs)), make_run("run-b", spikes_from(other))
        )
        assert comparison.divergence is not None
        first = min(set(pairs) ^ set(other))
        assert (comparison.divergence.step, comparison.divergence.neuron) == first
        assert comparison.divergence.only_in == ("run-a" if first in pairs else "run-b")


def test_same_run_twice(make_run: MakeRun) -> None:
    run = make_run("run-a")
    assert "the same run was given twice" in faults_of(compare(run, run))


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("parameters__seed", 8, "unequal seed: 7 and 8"),
        ("parameters__dt_ms", 0.2, "unequal time step: 0.1 and 0.2"),
        ("parameters__duration_ms", 300.0, "unequal duration: 200 and 300"),
        ("geometry__virtual_processes", 4, "unequal number of virtual processes"),
        ("network__rng", "Philox_64", "unequal type of random number generator"),
        ("network__spike_precision", "off_grid", "unequal spike precision"),
        ("model", "other", "unequal model"),
        ("backend", "neuron", "unequal backend"),
    ],
)
def test_what_must_be_equal(make_run: MakeRun, fact: str, value: object, said: str) -> None:
    text = faults_of(compare(make_run("run-a"), make_run("run-b", **{fact: value})))
    assert said in text
    assert "the statistical comparison is not built yet" in text


@pytest.mark.parametrize(
    "fact",
    [
        "image__sif", "geometry__ranks", "parameters__seed", "parameters__warmup_ms",
        "versions__nest", "versions__pynn", "versions__numpy", "network__digest", "network__rng",
        "network__use_compressed_spikes", "machine__cpu", "machine__libm",
    ],
)  # fmt: skip
def test_missing_provenance(make_run: MakeRun, fact: str) -> None:
    text = faults_of(compare(make_run("run-a"), make_run("run-b", **{fact: None})))
    assert "run-b: the record does not tell the" in text
    assert f"({fact.replace('__', '.')})" in text


def test_run_that_did_not_finish(make_run: MakeRun) -> None:
    failed = make_run(
        "run-b", state="FAILED", failure={"what": "a rank crashed"}, spikes__file=None
    )
    text = faults_of(compare(make_run("run-a"), failed))
    assert "run-b: the run is FAILED, not FINISHED: a rank crashed" in text


def test_compressed_spikes_count_only_with_two_ranks(make_run: MakeRun) -> None:
    a = make_run("run-a", network__use_compressed_spikes=True)
    b = make_run("run-b", geometry__ranks=1, geometry__threads=2)
    assert "delivers spikes to wrong targets" in faults_of(compare(a, b))
    single = {"geometry__ranks": 1, "geometry__threads": 2}
    c = make_run("run-c", network__use_compressed_spikes=True, **single)
    assert compare(b, c).verdict is Verdict.IDENTICAL


def test_nest_saw_other_virtual_processes(make_run: MakeRun) -> None:
    b = make_run("run-b", network__virtual_processes=1)
    assert "NEST ran 1 virtual processes" in faults_of(compare(make_run("run-a"), b))


def test_altered_spikes(make_run: MakeRun) -> None:
    a, b = make_run("run-a"), make_run("run-b")
    make_run("run-b", spikes_from(random_pairs(5)))  # the same folder, other spikes
    assert "the spikes were altered" in faults_of(compare(a, b))


def test_cut_and_missing_spikes(make_run: MakeRun) -> None:
    a, b = make_run("run-a"), make_run("run-b")
    path = b.folder / "spikes.npz"
    path.write_bytes(path.read_bytes()[:200])
    (a.folder / "spikes.npz").unlink()
    text = faults_of(compare(a, b))
    assert "the spikes are missing" in text
    assert "cut or damaged" in text


def test_silent_network(make_run: MakeRun) -> None:
    text = faults_of(compare(make_run("run-a", spikes_from([])), make_run("run-b")))
    assert "no spike at all" in text


def test_spikes_of_another_shape(make_run: MakeRun) -> None:
    a = make_run("run-a", parameters__duration_ms=100.0)
    b = make_run("run-b", parameters__duration_ms=100.0)
    assert "another time step or duration than the record" in faults_of(compare(a, b))


def test_all_faults_come_at_once(make_run: MakeRun, golden: Golden) -> None:
    a = make_run("run-a", machine__libm=None, network__use_compressed_spikes=True)
    b = make_run("run-b", spikes__file=None, parameters__seed=8, geometry__virtual_processes=4)
    golden.check("equivalence/invalid.txt", explain(compare(a, b)) + "\n")


def test_document_is_json(make_run: MakeRun, tmp_path: Path) -> None:
    a = make_run("run-a")
    for b in (make_run("run-b"), make_run("run-c", spikes_from(random_pairs(3))), a):
        comparison = compare(a, b)
        document = json.loads(json.dumps(comparison.document()))
        assert document["verdict"] == str(comparison.verdict)
        assert {row["name"] for row in document["provenance"]} >= {"machine.cpu", "parameters.seed"}


def test_every_verdict_has_its_exit_code() -> None:
    assert {str(verdict): EXIT_CODES[verdict] for verdict in Verdict} == {
        "IDENTICAL": 0,
        "DIFFERENT": 3,
        "INVALID": 9,
    }
