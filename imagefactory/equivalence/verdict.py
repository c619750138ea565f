"""The verdict on two sides: gate on provenance, then bit for bit where that is expected, and only
where it is not, statistics. No tier takes the place of another in silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from imagefactory.base.errors import Fault, NoVerdict
from imagefactory.equivalence.comparison import Comparison, Outcome, Pair, Tier, Verdict
from imagefactory.equivalence.hints import hint_at_causes, list_parameters, list_remarks
from imagefactory.equivalence.margins import Margins, load_margins
from imagefactory.equivalence.provenance import (
    FEW_CELLS,
    Row,
    describe_runs,
    find_gate_faults,
    find_obstacles,
    is_frozen,
    list_facts,
)

if TYPE_CHECKING:
    from imagefactory.base.report import Report
    from imagefactory.base.values import Digest
    from imagefactory.equivalence.comparison import Side
    from imagefactory.equivalence.measures import Window
    from imagefactory.equivalence.statistical import Measured, Pool, Statistics
    from imagefactory.equivalence.survey import Surveyed
    from imagefactory.model import SpikeFile

    Rows = Sequence[Row]
    Sides = tuple[list[Surveyed], list[Surveyed]]

GATE, BITS, STATISTICS = "provenance", "bit for bit", "statistics"
AT_GATE = "complete on both sides, and of one experiment"
PASSED = Tier(GATE, AT_GATE, "so it is")
NOT_REACHED = Tier(STATISTICS, "nothing: the tier before it decides", "not tried")
WITHIN_MARGINS = "all means and distances within their margins"


def compare(a: Side, b: Side, margins: Margins | None = None) -> Comparison:
    """Compare two sides, each one run or several that differ by their seed alone.

    Without margins the shipped ones for the sides' backends are taken. Never raises for
    what is wrong with a run, that is INVALID.
    """
    margins = margins or load_margins(backends={record.backend for record in (*a, *b)})
    rows = list_facts(a, b) if a and b else ()
    faults = find_gate_faults(a, b)
    sides = _survey(a, b, faults)
    outcome = _invalid(faults) if faults else _decide(a, b, rows, sides, margins)
    return Comparison(tuple(a), tuple(b), rows, margins, outcome)


def compare_all(sides: Sequence[Side], margins: Margins | None = None) -> list[Comparison]:
    """Compare each side with each other one, in order."""
    return [compare(a, b, margins) for a, b in combinations(sides, 2)]


def with_calibration(comparison: Comparison, report: Report) -> Comparison:
    """The same with its error rates; unchanged, with a warning, without a statistical tier."""
    pool = comparison.outcome.pool
    if pool is None:
        report.warn(f"no error rates: the statistical tier was not reached: {comparison.headline}")
        return comparison
    import numpy as np

    from imagefactory.equivalence.calibration import calibrate

    first, numbers = len(comparison.a), np.arange(pool.runs)
    found = calibrate(pool, numbers[:first], numbers[first:], comparison.margins)
    return replace(comparison, calibration=found)


def measure_runs(a: Side, b: Side) -> Pool:
    """The runs of two sides that passed the gate, measured; side A first."""
    faults: list[Fault] = []
    sides = _survey(a, b, faults)
    if faults:
        raise NoVerdict.from_faults(faults)
    return _measure(sides, _find_window((*a, *b)), is_frozen(a) and (not b or is_frozen(b)))


def _survey(a: Side, b: Side, faults: list[Fault]) -> Sides:
    """Look through all spikes; what is wrong with them is added to the faults."""
    from imagefactory.equivalence.survey import find_copies, find_shape_faults, survey

    sides: Sides = ([], [])
    if len({record.id for record in (*a, *b)}) < len(a) + len(b):
        return sides
    for side, found in zip((a, b), sides, strict=True):
        looked_at = [survey(record, faults) for record in side]
        found += [each for each in looked_at if each is not None]
    if a and b and len(sides[0]) + len(sides[1]) == len(a) + len(b):
        faults += find_shape_faults(*sides)
        faults += [fault for side in sides for fault in find_copies(side)]
    return sides


def _decide(a: Side, b: Side, rows: Rows, sides: Sides, margins: Margins) -> Outcome:
    """The tiers after the gate."""
    obstacles = find_obstacles(a, b)
    if a[0].model == FEW_CELLS:
        return _compare_few_cells(rows, sides, obstacles)
    if not obstacles:
        said = "equal spikes, for seed, step, virtual processes, RNG, and image or NEST agree"
        return _compare_bits(rows, _of_shared_seeds(sides), said)
    shared = _of_shared_seeds(sides)
    if shared[0] and not find_obstacles(*([each.record for each in side] for side in shared)):
        said = f"equal spikes of the {len(shared[0])} seeds that both sides have"
        found = _compare_bits(rows, shared, said)
        if found.verdict is Verdict.DIFFERENT:
            return found
    unexpected = f"no equal spikes ({'; '.join(obstacles)})"
    digests = [{str(each.digest) for each in side} for side in sides]
    if digests[0] == digests[1]:
        # More than was expected is no fall to a weaker tier.
        by_digest = ([*sides[0]], [*sides[1]])
        for side in by_digest:
            side.sort(key=lambda each: str(each.digest))
        return _compare_bits(rows, by_digest, unexpected)
    equal = len(digests[0] & digests[1])
    if equal:
        fault = Fault(
            f"{equal} runs have the same spikes on both sides: they are one sample, not two",
            f"{describe_runs(a)}, {describe_runs(b)}",
            "give the same seeds on both sides, or none that both have",
        )
        return _invalid([fault])
    bits = Tier(BITS, unexpected, "no run has equal spikes")
    return _compare_statistics(a, b, rows, sides, margins, bits)


def _invalid(faults: Sequence[Fault]) -> Outcome:
    number = f"{len(faults)} fault{'' if len(faults) == 1 else 's'}"
    tier = Tier(GATE, AT_GATE, f"{number}; no other tier was tried")
    return Outcome(Verdict.INVALID, (tier,), tuple(faults))


def _of_shared_seeds(sides: Sides) -> Sides:
    """The runs of both sides whose seeds both have, in the same order."""
    by_seed = [{each.record.parameters.get("seed"): each for each in side} for side in sides]
    shared = [seed for seed in by_seed[0] if seed in by_seed[1]]
    return [by_seed[0][seed] for seed in shared], [by_seed[1][seed] for seed in shared]


def _compare_bits(rows: Rows, sides: Sides, expected: str) -> Outcome:
    """Every run of side A with the one at its place in side B: there is no second chance."""
    pairs = [_pair(a, b) for a, b in zip(*sides, strict=True)]
    apart = sum(pair.divergence is not None for pair in pairs)
    found = f"{apart} of {len(pairs)} pairs of runs differ"
    if len(pairs) == 1:
        found = "the two runs differ" if apart else "the two runs are equal, spike by spike"
    elif not apart:
        found = f"all {len(pairs)} pairs of runs are equal, spike by spike"
    return Outcome(
        Verdict.DIFFERENT if apart else Verdict.IDENTICAL,
        (PASSED, Tier(BITS, expected, found), NOT_REACHED),
        pairs=tuple(pairs),
        hints=tuple(hint_at_causes(rows) if apart else list_remarks(rows)),
    )


def _compare_few_cells(rows: Rows, sides: Sides, obstacles: Sequence[str]) -> Outcome:
    """Neurons by themselves: spike by spike where that is expected, else within one step."""
    from imagefactory.equivalence.few_cells import find_differences
    from imagefactory.model import load_spikes

    a, b = (side[0].file.path for side in sides)
    differences = tuple(find_differences(load_spikes(a), load_spikes(b)))
    if not obstacles:
        found = _compare_bits(rows, sides, "equal spikes: nothing in this model is random")
        return replace(found, hints=(*differences, *found.hints))
    bits = Tier(BITS, f"no equal spikes ({'; '.join(obstacles)})", "not asked")
    said = f"{len(differences)} of its parts differ" if differences else "so it is"
    tier = Tier("few cells", "each spike within one step of the coarser grid", said)
    verdict = Verdict.DIFFERENT if differences else Verdict.EQUIVALENT
    return Outcome(verdict, (PASSED, bits, tier), hints=differences)


def _pair(a: Surveyed, b: Surveyed) -> Pair:
    from imagefactory.equivalence.bitwise import Counts, count, find_divergence
    from imagefactory.model import load_spikes

    names = (a.record.id, b.record.id)
    if a.digest == b.digest:
        spikes = a.file.count
        return Pair(*names, Counts(spikes, spikes, spikes, a.file.size, 0), None)
    left, right = load_spikes(a.file.path), load_spikes(b.file.path)
    return Pair(*names, count(left, right), find_divergence(left, right, names))


def _compare_statistics(
    a: Side, b: Side, rows: Rows, sides: Sides, margins: Margins, bits: Tier
) -> Outcome:
    """The last tier; all runs are measured in the window that they have in common."""
    import numpy as np

    from imagefactory.equivalence.statistical import FEWEST_RUNS, judge, with_shortfalls
    from imagefactory.equivalence.tost import Finding

    if len(a) < FEWEST_RUNS:
        number = f"{len(a)} run{'' if len(a) == 1 else 's'} a side"
        found = f"{number}: not tried; it needs {FEWEST_RUNS}, and {margins.least_runs} to pass"
        tiers = (PASSED, bits, Tier(STATISTICS, WITHIN_MARGINS, found))
        return Outcome(Verdict.INCONCLUSIVE, tiers, hints=tuple(list_parameters(rows)))
    window = _find_window((*a, *b))
    try:
        pool = _measure(sides, window, is_frozen(a) and is_frozen(b))
    except NoVerdict as err:
        return _invalid(err.faults)
    numbers = np.arange(pool.runs)
    statistics = judge(pool, numbers[: len(a)], numbers[len(a) :], margins)
    statistics = with_shortfalls(statistics, list(_find_shortfalls(window, margins)))
    verdicts = {
        Finding.WITHIN: Verdict.EQUIVALENT,
        Finding.BEYOND: Verdict.DIFFERENT,
        Finding.OPEN: Verdict.INCONCLUSIVE,
    }
    verdict = verdicts[statistics.finding]
    tier = Tier(STATISTICS, WITHIN_MARGINS, _describe_findings(statistics, window))
    hints = hint_at_causes(rows) if verdict is Verdict.DIFFERENT else list_parameters(rows)
    return Outcome(
        verdict, (PASSED, bits, tier), statistics=statistics, pool=pool, window=window,
        hints=tuple(hints),
    )  # fmt: skip


def _find_window(records: Side) -> Window:
    """After the longest warm-up, to the end; all runs are of one duration."""
    from imagefactory.equivalence.measures import Window

    warmup = max(float(record.parameters["warmup_ms"]) for record in records)
    return Window(warmup, float(records[0].parameters["duration_ms"]))


def _measure(sides: Sides, window: Window, frozen: bool) -> Pool:
    from imagefactory.equivalence.statistical import gather

    runs = [each for side in sides for each in side]
    return gather([_measure_run(each.file, each.digest, window) for each in runs], frozen)


@lru_cache(maxsize=128)
def _measure_run(file: SpikeFile, digest: Digest, window: Window) -> Measured:
    """One run's measures, kept: in a matrix of sides, or in controls, a run is met often.

    `digest` is there for the key: it was read from the file just now.
    """
    from imagefactory.equivalence.measures import measure_pieces

    return measure_pieces(file.pieces(), file.populations, file.dt_ms, file.duration_ms, window)


def _find_shortfalls(window: Window, margins: Margins) -> Iterator[str]:
    if window.start_ms < margins.least_warmup_ms:
        yield (
            f"a warm-up of {window.start_ms:g} ms; EQUIVALENT needs at least "
            f"{margins.least_warmup_ms:g} ms"
        )


def _describe_findings(statistics: Statistics, window: Window) -> str:
    found = [interval.finding for interval in statistics.intervals]
    counts = [f"{found.count(each)} {each}" for each in dict.fromkeys(sorted(found))]
    network = "one frozen network" if statistics.frozen else "a network a run"
    runs = f"{statistics.runs[0]} and {statistics.runs[1]} runs"
    span = f"{window.start_ms:g} to {window.end_ms:g} ms"
    return f"{runs} of {span}, {network}: of {len(found)} intervals {', '.join(counts)}"
