"""The verdict as people read it: on a terminal, and the sentences that the report shares. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imagefactory.equivalence.comparison import Comparison, Verdict

if TYPE_CHECKING:
    from imagefactory.equivalence.bitwise import Counts, Divergence
    from imagefactory.equivalence.calibration import Calibration
    from imagefactory.equivalence.measures import Window
    from imagefactory.equivalence.statistical import Statistics

HEAD = ("population", "measure", "A", "B", "difference", "interval", "margin", "power", "runs")

RATES = ("the sides are", "EQUIVALENT", "DIFFERENT", "INCONCLUSIVE")
NAMES = {"pattern": "rate pattern"}


def explain(comparison: Comparison) -> str:
    """The verdict as people read it on a terminal."""
    return "\n".join(_lines(comparison))


def describe_divergence(divergence: Divergence) -> str:
    """Where two runs part, in one sentence."""
    return (
        f"{divergence.time_ms:g} ms, {divergence.population} neuron {divergence.index} "
        f"(number {divergence.neuron} of all): only {divergence.only_in} has a spike"
    )


def describe_counts(counts: Counts) -> tuple[str, str]:
    """Spikes and neurons in one sentence each."""
    return (
        f"{counts.spikes_a} and {counts.spikes_b}, {counts.shared} shared",
        f"{counts.neurons_that_differ} of {counts.neurons} differ",
    )


def describe_power(statistics: Statistics, window: Window, wanted: float) -> str:
    """How likely the runs were to show that two equal sides are equal, and what would do."""
    said = f"{100 * statistics.power:.0f} % at least (wanted: {100 * wanted:.0f} %)"
    runs, needed = min(statistics.runs), statistics.needed
    if needed is None:
        return f"{said}; how many runs would do is not known, or out of reach"
    if needed <= runs:
        return f"{said}; these runs do"
    more = f"{said}; {needed} runs a side would do, {needed - runs} more"
    if statistics.frozen:
        # With one network all spread is from run to run, and falls with the square root of time.
        more += f", or these runs with windows of {window.seconds * needed / runs:.3g} s"
    return more


def tabulate(statistics: Statistics) -> list[tuple[str, ...]]:
    """Every interval that decides, as texts in the order of HEAD; the last word is the finding."""
    rows: list[tuple[str, ...]] = []
    for mean in statistics.means:
        start = (mean.population, mean.measure, f"{mean.mean_a:.4g}", f"{mean.mean_b:.4g}")
        one = mean.interval
        rows.append((
            *start, f"{100 * one.difference:+.2f} %",
            f"{100 * one.low:+.2f} to {100 * one.high:+.2f} %", f"{100 * one.margin:.3g} %",
            f"{one.power:.2f}", _runs(one.needed), str(one.finding),
        ))  # fmt: skip
    for each in statistics.distances:
        excess, one = each.excess, each.excess.interval
        rows.append((
            each.population, f"distance of {NAMES.get(each.measure, each.measure)}",
            f"within {excess.within:.4f}", f"between {excess.between:.4f}",
            f"{one.difference:+.4f}", f"{one.low:+.4f} to {one.high:+.4f}",
            f"{one.margin:.3g}", f"{one.power:.2f}",
            _runs(one.needed), str(one.finding),
        ))  # fmt: skip
    return [tuple("-" if "nan" in cell else cell for cell in row) for row in rows]


def _runs(needed: int | None) -> str:
    return "?" if needed is None else str(needed)


def _lines(comparison: Comparison) -> Iterator[str]:
    outcome = comparison.outcome
    yield f"{comparison.verdict}: {comparison.headline}"
    for fault in outcome.faults:
        place = f"{fault.where}: " if fault.where else ""
        yield f"  - {place}{fault.what}"
        if fault.fix:
            yield f"      fix: {fault.fix}"
    for tier in outcome.tiers:
        yield f"  {tier.name:17} expected: {tier.expected}"
        yield f"  {'':17} found: {tier.found}"
    if comparison.divergence:
        yield f"  first divergence  {describe_divergence(comparison.divergence)}"
    if comparison.worst:
        spikes, neurons = describe_counts(comparison.worst.counts)
        yield f"  spikes            {spikes}"
        yield f"  neurons           {neurons}"
    yield from _statistics_lines(comparison)
    if comparison.calibration is not None:
        yield from _calibration_lines(comparison.calibration)
    if outcome.hints:
        yield "  likely causes" if comparison.verdict is Verdict.DIFFERENT else "  remarks"
        yield from (f"    - {hint}" for hint in outcome.hints)


def tabulate_rates(calibration: Calibration) -> list[tuple[str, ...]]:
    """Error rates as texts in the order of RATES."""
    return [
        (
            rates.truth,
            *(
                f"{100 * count / rates.trials:.1f} %"
                for count in (rates.equivalent, rates.different, rates.inconclusive)
            ),
        )
        for rates in (calibration.same, *calibration.at_margin, calibration.as_found)
    ]


def _calibration_lines(calibration: Calibration) -> Iterator[str]:
    same = calibration.same
    yield f"  error rates       {same.trials} resampled trials, {calibration.runs} runs a side"
    yield from _columns([RATES, *tabulate_rates(calibration)])
    yield (
        f"  false alarm       {100 * calibration.false_alarm:.1f} % (DIFFERENT although the same)"
    )
    yield (
        f"  false pass        {100 * calibration.false_pass:.1f} % at most (EQUIVALENT although a "
        "mean differs by its margin)"
    )


def _columns(table: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield f"    {'  '.join(cells).rstrip()}"


def _statistics_lines(comparison: Comparison) -> Iterator[str]:
    statistics, window = comparison.outcome.statistics, comparison.outcome.window
    if statistics is None or window is None:
        return
    yield from _columns([(*HEAD, "finding"), *tabulate(statistics)])
    for shortfall in statistics.shortfalls:
        yield f"  missing           {shortfall}"
    yield f"  power             {describe_power(statistics, window, comparison.margins.power)}"
