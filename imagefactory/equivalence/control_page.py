"""The error rates as a table: on a terminal, as a page of the docs, as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagefactory.equivalence.comparison import Verdict
from imagefactory.equivalence.controls import (
    LEAST_REACHED,
    MOST_FALSE_ALARMS,
    MOST_FALSE_PASSES,
    PASSES,
    RUNS,
    SEED,
    TRIALS,
    Tried,
    Truth,
)
from imagefactory.equivalence.margins import Margins

Found = Mapping[str, Sequence[Tried]]

HEAD = ("control", "truth", "pass", "DIFFERENT", "INCONCLUSIVE", "INVALID", "runs needed", "why")
NOT_TRIED = "Not tried here: real SpiNNaker; what is called emulated is its arithmetic alone."
NO_NEURON = "Not tried: the backend NEURON (give --neuron SIF)."


def tabulate_controls(tried: Sequence[Tried]) -> list[tuple[str, ...]]:
    """A row a control, in the order of HEAD; "pass" is EQUIVALENT or IDENTICAL."""
    return [
        (
            each.control.name,
            str(each.control.truth),
            *(
                f"{100 * each.share(*verdicts):.1f} %"
                for verdicts in (
                    PASSES, (Verdict.DIFFERENT,), (Verdict.INCONCLUSIVE,), (Verdict.INVALID,),
                )
            ),
            "-" if each.needed is None else str(each.needed),
            each.why,
        )
        for each in tried
    ]  # fmt: skip


def list_failings(found: Found) -> list[str]:
    """Every control that is not as the goals want it, and why."""
    return [
        f"{title}, {each.control.name}: {failing}"
        for title, tried in found.items()
        for each in tried
        for failing in each.failings()
    ]


def summarise(found: Found) -> list[str]:
    """The worst rates, and the goals."""
    every = [each for tried in found.values() for each in tried]
    same = [each for each in every if each.control.truth is Truth.SAME]
    other = [each for each in every if each.control.truth is Truth.OTHER]
    reached = [each for each in same if set(each.control.wanted) <= set(PASSES)]
    lines = []
    if other:
        worst = max(other, key=lambda each: each.errors)
        lines.append(_rate("false pass", worst, f"<= {100 * MOST_FALSE_PASSES:g} %"))
    if same:
        worst = max(same, key=lambda each: each.errors)
        lines.append(_rate("false alarm", worst, f"<= {100 * MOST_FALSE_ALARMS:g} %"))
    if reached:
        least = min(reached, key=lambda each: each.share(*PASSES))
        lines.append(
            f"reached: at least {100 * least.share(*PASSES):.1f} % ({least.control.name}); "
            f"goal >= {100 * LEAST_REACHED:g} %"
        )
    lines += [
        f"the same, and not always shown with {RUNS} runs: {title}, {each.control.name}: "
        f"{100 * each.share(*PASSES):.1f} %"
        for title, tried in found.items()
        for each in tried
        if each.control.truth is Truth.SAME and each not in reached
    ]
    return lines


def _rate(what: str, worst: Tried, goal: str) -> str:
    rate, bound = 100 * worst.errors, 100 * upper_bound(worst)
    return (
        f"{what}: at most {rate:.1f} % of a control's trials ({worst.control.name}), 95 % bound "
        f"{bound:.1f} %; goal {goal}"
    )


def upper_bound(tried: Tried) -> float:
    """The 95 % upper bound of the rate of errors (Clopper and Pearson 1934), as if the trials were
    independent; those of one pool of runs are not."""
    from scipy.special import betaincinv

    errors = round(tried.errors * tried.trials)
    if errors == tried.trials:
        return 1.0
    return float(betaincinv(errors + 1, tried.trials - errors, 0.95))


def explain_controls(found: Found) -> str:
    """For a terminal."""
    return "\n".join(_text(found))


def _text(found: Found) -> Iterator[str]:
    for title, tried in found.items():
        yield f"{title}: {TRIALS} trials a control, {RUNS} seeds a side, drawn with seed {SEED}"
        rows = [HEAD, *tabulate_controls(tried)]
        widths = [max(len(row[place]) for row in rows) for place in range(len(HEAD))]
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            yield f"  {'  '.join(cells).rstrip()}"
    yield from summarise(found)
    yield from not_tried(found)
    yield from (f"NOT AS WANTED: {failing}" for failing in list_failings(found))


def write_up(found: Found, image: str, margins: Sequence[Margins]) -> str:
    """The page of the docs; `image` says what was run, `margins` are those that were taken."""
    return "\n".join(_page(found, image, margins)) + "\n"


def _page(found: Found, image: str, margins: Sequence[Margins]) -> Iterator[str]:
    named = "; ".join(
        f"margins {each.name} {each.version}, {each.digest.short}" for each in margins
    )
    yield "# Error rates of the procedure, on real runs"
    yield ""
    yield (
        f"Written by `imagefactory controls` ({image}; {named}). {TRIALS} trials a "
        f"control, {RUNS} seeds a side, drawn without replacement with seed {SEED}; what "
        "the controls are: [equivalence.md](equivalence.md)."
    )
    for title, tried in found.items():
        yield from ("", f"## {title[0].upper()}{title[1:]}", "", *_markdown(tried))
        yield ""
        yield "Seeds: " + "; ".join(dict.fromkeys(_seeds(tried))) + "."
    yield from ("", "## In short", "", *(f"- {line}" for line in summarise(found)))
    yield from (f"- not as wanted: {failing}" for failing in list_failings(found))
    yield from ("", *not_tried(found))


def not_tried(found: Found) -> Iterator[str]:
    """What a reader could take for tried."""
    every = [each.control for tried in found.values() for each in tried]
    if not any("neuron" in (each.a.backend, each.b.backend) for each in every):
        yield NO_NEURON
    yield NOT_TRIED


def _markdown(tried: Sequence[Tried]) -> Iterator[str]:
    for row in (HEAD, ("---",) * len(HEAD), *tabulate_controls(tried)):
        yield f"| {' | '.join(row)} |"


def _seeds(tried: Sequence[Tried]) -> Iterator[str]:
    for each in tried:
        for side in (each.control.a, each.control.b):
            yield f"{side.first} to {side.seeds[-1]}"


def document_controls(found: Found, image: str, margins: Sequence[Margins]) -> dict[str, Any]:
    """As JSON can hold it."""
    return {
        "schema": 1,
        "image": image,
        "margins": [
            {"name": each.name, "version": each.version, "digest": str(each.digest)}
            for each in margins
        ],
        "runs_a_side": RUNS,
        "controls": [
            {
                "group": title, "control": each.control.name,
                "truth": str(each.control.truth),
                "trials": each.trials,
                "verdicts": {str(verdict): count for verdict, count in each.counts.items()},
                "needed": each.needed, "why": each.why, "failings": list(each.failings()),
            }
            for title, tried in found.items()
            for each in tried
        ],
    }  # fmt: skip
