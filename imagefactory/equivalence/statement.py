"""A paragraph that can be cited: it says what was shown, and no more. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imagefactory.equivalence.comparison import EMULATED, NO_BOARD, Comparison, Verdict
from imagefactory.equivalence.explain import NAMES, describe_divergence, describe_power
from imagefactory.equivalence.hints import list_parameters
from imagefactory.equivalence.provenance import show

if TYPE_CHECKING:
    from imagefactory.run import RunRecord

    Side = Sequence[RunRecord]

SOFTWARE = {
    "nest": "NEST {version}",
    "neuron": "NEURON {version}",
    EMULATED: "SpiNNaker's arithmetic, emulated",
}
BOUND = (
    f"SpiNNaker's arithmetic was emulated in NumPy and {NO_BOARD}: this is about fixed point, "
    "16-bit weights and a step of 1 ms, and says nothing of a board, its packets or its timing."
)
WORDS = {
    "rate": "firing rate",
    "cv": "coefficient of variation of the intervals",
    "lv": "local variation",
    "correlation": "pair correlation (2 ms bins)",
    "fano": "Fano factor of the population's spike counts (5 ms bins)",
}


def state(comparison: Comparison) -> str:
    """What may be written of these runs in a paper."""
    if comparison.verdict is Verdict.INVALID:
        return (
            "Nothing can be said of these runs: the comparison was refused, for the faults above."
        )
    parts = [_describe_runs(comparison)]
    if comparison.outcome.pairs:
        parts.append(_state_bits(comparison))
    elif comparison.outcome.statistics is None:
        parts.append(_state_few(comparison))
    else:
        parts.append(_state_statistics(comparison))
    if comparison.is_emulated:
        parts.append(BOUND)
    return " ".join(parts)


def _state_few(comparison: Comparison) -> str:
    if comparison.verdict is Verdict.EQUIVALENT:
        return "Every neuron's spikes agree within one time step; nothing in this model is random."
    if comparison.verdict is Verdict.DIFFERENT:
        return f"They differ by more than one time step: {' '.join(comparison.outcome.hints)}."
    return "These are too few runs for any statement."


def _describe_runs(comparison: Comparison) -> str:
    first = comparison.a[0]
    count = len(comparison.a)
    runs = f"{count} run{'' if count == 1 else 's'}"
    differing = "".join(f" Among the sides {text}." for text in list_parameters(comparison.rows))
    own = " and ".join(_describe_side(side) for side in (comparison.a, comparison.b))
    return (
        f"The model {first.model} was run for {show(first.parameters.get('duration_ms'))} ms of "
        f"model time, {runs} a side: {own}.{differing}"
    )


def _describe_side(side: Side) -> str:
    sites = " and ".join(sorted({record.site for record in side}))
    backend = side[0].backend
    kind = SOFTWARE.get(backend, backend)
    software = kind.format(version=_one(record.versions.get(backend) for record in side))
    processes = _one(record.geometry.get("virtual_processes") for record in side)
    step = _one(record.parameters.get("dt_ms") for record in side)
    return (
        f"at {sites} ({software}, {processes} virtual processes, step {step} ms, "
        f"image {str(side[0].image.get('sif'))[:19]})"
    )


def _one(values: Any) -> str:
    return " and ".join(sorted({show(value) for value in values}))


def _state_bits(comparison: Comparison) -> str:
    pairs = comparison.outcome.pairs
    spikes = sum(pair.counts.spikes_a for pair in pairs)
    if comparison.verdict is Verdict.IDENTICAL:
        return (
            f"All {spikes} spikes of {pairs[0].counts.neurons} neurons agree in neuron and time "
            f"step, in {len(pairs)} of {len(pairs)} pairs of runs."
        )
    apart = sum(pair.divergence is not None for pair in pairs)
    first = comparison.divergence
    where = f" The first difference is at {describe_divergence(first)}." if first else ""
    return (
        f"Equal spikes were to be expected, for seed, step, virtual processes and generator agree; "
        f"{apart} of {len(pairs)} pairs of runs differ.{where}"
    )


def _state_statistics(comparison: Comparison) -> str:
    statistics, window = comparison.outcome.statistics, comparison.outcome.window
    assert statistics is not None  # noqa: S101 - the caller looked
    assert window is not None  # noqa: S101
    network = "one network for all runs" if statistics.frozen else "a network of its own each run"
    how = (
        f"Spikes were compared from {window.start_ms:g} to {window.end_ms:g} ms, with {network} "
        f"and the run as the unit (margins {comparison.margins.name} {comparison.margins.version}, "
        f"{str(comparison.margins.digest)[:19]})."
    )
    power = describe_power(statistics, window, comparison.margins.power)
    if comparison.verdict is Verdict.EQUIVALENT:
        return (
            f"{how} {_state_margins(comparison)} Differences below these margins were not tested."
        )
    if comparison.verdict is Verdict.DIFFERENT:
        return f"{how} They differ by more than the margins: {'; '.join(_list_beyond(comparison))}."
    return (
        f"{how} Neither equivalence nor a difference beyond the margins was shown; the power was "
        f"{power}."
    )


def _state_margins(comparison: Comparison) -> str:
    margins, statistics = comparison.margins, comparison.outcome.statistics
    assert statistics is not None  # noqa: S101
    relative = margins.means.items()
    means = ", ".join(f"{WORDS[name]} {100 * size:g} %" for name, size in relative)
    kinds = dict.fromkeys(each.measure for each in statistics.distances)
    sizes = margins.excess_of(statistics.frozen)
    excess = ", ".join(f"{NAMES.get(kind, kind)} {sizes[kind]:g}" for kind in kinds)
    level = f"{100 * (1 - 2 * margins.alpha):g} %"
    return (
        f"In every population the two sides are equivalent by two one-sided tests ({level} "
        f"intervals by Welch) within these relative margins of the mean: {means}; and the "
        f"distances between the sides exceed those within them by less than: {excess}."
    )


def _list_beyond(comparison: Comparison) -> list[str]:
    statistics = comparison.outcome.statistics
    assert statistics is not None  # noqa: S101
    found = [
        f"{mean.population} {WORDS[mean.measure]} {100 * mean.interval.difference:+.1f} % "
        f"({100 * mean.interval.low:+.1f} to {100 * mean.interval.high:+.1f} %, margin "
        f"{100 * mean.interval.margin:.3g} %)"
        for mean in statistics.means
        if mean.interval.finding == "beyond"
    ]
    return found + [
        f"{each.population} distance of {NAMES.get(each.measure, each.measure)}, excess "
        f"{each.excess.interval.difference:.3f} ({each.excess.interval.low:.3f} to "
        f"{each.excess.interval.high:.3f}, margin {each.excess.interval.margin:g})"
        for each in statistics.distances
        if each.excess.interval.finding == "beyond"
    ]
