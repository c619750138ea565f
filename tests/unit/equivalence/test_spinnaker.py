"""Sides that are SpiNNaker or its emulation: their margins, and words that claim no more."""

from __future__ import annotations

import pytest

from imagefactory.equivalence import Verdict, compare, load_margins
from imagefactory.equivalence.comparison import Comparison
from imagefactory.equivalence.statement import state
from tests.unit.equivalence.conftest import MakeRun, records_of

EMULATED = {
    "backend": "spinnaker-emulated",
    "versions": {"pynn": "0.13.0", "numpy": "2.4.6"},
    "network__emulated": "SpiNNaker's arithmetic, by emulated.py",
    "network__rng": None,
    "network__use_compressed_spikes": None,
}


def compared(make: MakeRun, **changed: object) -> Comparison:
    a = records_of("a", range(1, 4), make)
    return compare(a, records_of("b", range(1, 4), make, **(EMULATED | changed)))


@pytest.mark.parametrize(
    ("backends", "name", "rate"),
    [
        ([], "nest", 0.03),
        (["nest", "neuron"], "nest", 0.03),
        (["nest", "spinnaker"], "spinnaker", 0.1),
        (["spinnaker-emulated", "nest"], "spinnaker", 0.1),
    ],
)
def test_margins_are_those_of_the_backends(backends: list[str], name: str, rate: float) -> None:
    margins = load_margins(backends=backends)
    assert (margins.name, margins.means["rate"]) == (name, rate)


def test_no_margin_of_spinnaker_is_narrower() -> None:
    usual, wide = load_margins(), load_margins(backends=["spinnaker"])
    for measure in usual.means:
        assert wide.means[measure] >= usual.means[measure]
    for measure in usual.excess:
        assert wide.excess[measure] >= usual.excess[measure]
    for measure in usual.frozen_excess:
        assert wide.frozen_excess[measure] >= usual.frozen_excess[measure]


def test_a_comparison_takes_them_and_says_what_it_was(make_run: MakeRun) -> None:
    comparison = compared(make_run)
    assert comparison.margins.name == "spinnaker"
    assert comparison.verdict is not Verdict.INVALID, comparison.outcome.faults
    assert comparison.headline.endswith("(emulated: no SpiNNaker took part)")
    text = state(comparison)
    assert "(SpiNNaker's arithmetic, emulated, 2 virtual processes" in text
    assert "NEST -" not in text
    assert text.endswith("says nothing of a board, its packets or its timing.")


def test_nest_against_nest_has_no_such_words(make_run: MakeRun) -> None:
    a, b = (records_of(letter, range(1, 4), make_run) for letter in "ab")
    comparison = compare(a, b)
    assert comparison.margins.name == "nest"
    assert "SpiNNaker" not in comparison.headline + state(comparison)


def test_an_emulation_that_does_not_say_so_is_invalid(make_run: MakeRun) -> None:
    comparison = compared(make_run, network__emulated=None)
    assert comparison.verdict is Verdict.INVALID
    assert "kind of emulation" in str(comparison.outcome.faults[0])
