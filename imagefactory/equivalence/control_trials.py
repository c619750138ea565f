"""How often the procedure errs on the controls: verdicts on sides drawn from their real runs.

A statistical trial draws RUNS runs a side without replacement, from one ensemble both sides apart.
A trial of pairs draws RUNS of the pairs. Where several runs are compared, the first trial is put
through the whole of `compare`, gate and all; it must end as the drawn one does.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagefactory.equivalence.comparison import Comparison, Verdict
from imagefactory.equivalence.controls import RUNS, SEED, TRIALS, Control, Group, Tried
from imagefactory.equivalence.margins import Margins
from imagefactory.equivalence.tost import Finding
from imagefactory.equivalence.verdict import compare, measure_runs

if TYPE_CHECKING:
    from imagefactory.base.report import Report
    from imagefactory.equivalence.control_runs import RunCache
    from imagefactory.equivalence.statistical import Statistics
    from imagefactory.run import RunRecord

Integers = npt.NDArray[np.int64]
VERDICTS = {
    Finding.WITHIN: Verdict.EQUIVALENT,
    Finding.BEYOND: Verdict.DIFFERENT,
    Finding.OPEN: Verdict.INCONCLUSIVE,
}


def try_all(
    groups: Sequence[Group],
    cache: RunCache,
    margins_of: Callable[[Control], Margins],
    report: Report,
) -> dict[str, tuple[Tried, ...]]:
    """Make the runs that are missing, and try every control; by the groups' titles."""
    controls = [control for group in groups for control in group.controls]
    cache.fill([side for control in controls for side in (control.a, control.b)], report)
    return {
        group.title: tuple(
            try_control(control, cache, margins_of(control)) for control in group.controls
        )
        for group in groups
    }


def try_control(control: Control, cache: RunCache, margins: Margins) -> Tried:
    """All trials of one control, whose runs are there."""
    a, b = cache.read(control.a), cache.read(control.b)
    if not control.paired:
        return _try_statistics(control, a, b, margins)
    with tempfile.TemporaryDirectory(prefix="imagefactory-") as folder:
        if control.change:
            from imagefactory.equivalence.control_runs import change_runs

            b = change_runs(b, control.change, Path(folder))
        return _try_pairs(control, a, b, margins)


def _try_pairs(
    control: Control, a: Sequence[RunRecord], b: Sequence[RunRecord], margins: Margins
) -> Tried:
    found = [compare([one], [other], margins).verdict for one, other in zip(a, b, strict=True)]
    rng = np.random.default_rng(SEED)
    draws = [rng.permutation(len(a))[:RUNS] for _ in range(TRIALS)]
    verdicts = [_worst([found[place] for place in draw]) for draw in draws]
    first = compare([a[place] for place in draws[0]], [b[place] for place in draws[0]], margins)
    _require_same(control, first, verdicts[0])
    return Tried(control, Counter(verdicts), _why(first))


def _worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict on several pairs: one that is not valid, or not equal, decides."""
    order = (Verdict.INVALID, Verdict.DIFFERENT, Verdict.INCONCLUSIVE)
    return next((verdict for verdict in order if verdict in verdicts), Verdict.IDENTICAL)


def _try_statistics(
    control: Control, a: Sequence[RunRecord], b: Sequence[RunRecord], margins: Margins
) -> Tried:
    from imagefactory.equivalence.statistical import judge

    one = control.a == control.b
    pool = measure_runs(a, () if one else b)
    numbers = np.arange(pool.runs)
    draws = list(_draw(numbers[: len(a)], numbers[:0] if one else numbers[len(a) :]))
    runs = [*a, *(() if one else b)]
    sides = [[runs[place] for place in side] for side in draws[0]]
    first = compare(sides[0], sides[1], margins)
    found = [judge(pool, *draw, margins, permutations=0) for draw in draws]
    verdicts = [VERDICTS[each.finding] for each in found]
    _require_same(control, first, verdicts[0])
    return Tried(control, Counter(verdicts), _usual(found), _median_needed(found))


def _draw(a: Integers, b: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Sides of RUNS runs; of `a` alone, apart from each other, where `b` is empty."""
    rng = np.random.default_rng(SEED)
    for _ in range(TRIALS):
        drawn = rng.permutation(a)
        yield drawn[:RUNS], rng.permutation(b)[:RUNS] if len(b) else drawn[RUNS : 2 * RUNS]


def _require_same(control: Control, first: Comparison, verdict: Verdict) -> None:
    if first.verdict is not verdict:
        # A defect of ours: what was tried is then not what is shipped.
        raise AssertionError(f"{control.name}: compare says {first.verdict}, the trial {verdict}")


def _why(comparison: Comparison) -> str:
    outcome = comparison.outcome
    if outcome.faults:
        return outcome.faults[0].what
    where = comparison.divergence
    return f"first at {where.time_ms:g} ms" if where else outcome.tiers[-2].found


def _usual(found: Sequence[Statistics]) -> str:
    """The tests that are oftenest beyond their margin, or else open."""
    for finding in (Finding.BEYOND, Finding.OPEN):
        counted = Counter(name for each in found for name in _names(each, finding))
        if counted:
            some = counted.most_common(2)
            return ", ".join(
                f"{name} {finding} in {100 * count / len(found):.0f} %" for name, count in some
            )
    return "all within their margins"


def _names(statistics: Statistics, finding: Finding) -> Iterator[str]:
    for mean in statistics.means:
        if mean.interval.finding is finding:
            yield f"{mean.population} {mean.measure}"
    for each in statistics.distances:
        if each.excess.interval.finding is finding:
            yield f"{each.population} distance of {each.measure}"


def _median_needed(found: Sequence[Statistics]) -> int | None:
    wanted = [each.needed for each in found if each.finding is Finding.OPEN]
    known = sorted(runs for runs in wanted if runs is not None)
    # Beyond half of them without a number the median has none.
    middle = len(wanted) // 2
    return known[middle] if middle < len(known) else None
