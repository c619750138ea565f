"""The report: one HTML file with everything inside, for a screen, for paper, light or dark."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from imagefactory.base.errors import NoVerdict, UsageFault
from imagefactory.base.files import write_text
from imagefactory.equivalence.comparison import Comparison, Verdict
from imagefactory.equivalence.explain import (
    HEAD,
    RATES,
    describe_counts,
    describe_divergence,
    describe_power,
    tabulate,
    tabulate_rates,
)
from imagefactory.equivalence.provenance import Row, describe_runs, show
from imagefactory.equivalence.statement import state

if TYPE_CHECKING:
    from imagefactory.model import Spikes
    from imagefactory.run import RunRecord

    Side = Sequence[RunRecord]

PAGE = "report.html"
MEANING = {
    Verdict.IDENTICAL: "Every spike of one run is a spike of the other: same neuron, same time "
    "step.",
    Verdict.EQUIVALENT: "Equal spikes were not to be expected; all means and distances lie within "
    "the margins, which were fixed before.",
    Verdict.DIFFERENT: "What was to be equal is not, or what may differ is farther apart than the "
    "margins.",
    Verdict.INCONCLUSIVE: "Nothing is shown, neither that the sides agree nor that they differ.",
    Verdict.INVALID: "No verdict is possible: what follows is missing, or forbids a comparison.",
}


def write_report(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write one self-contained HTML file about all comparisons, whole or not at all."""
    write_text(path, render(comparisons))


def write_figure(comparison: Comparison, path: Path) -> None:
    """Write intervals and distributions as an SVG file; raises UsageFault where there are none."""
    outcome = comparison.outcome
    if outcome.statistics is None or outcome.pool is None:
        raise UsageFault(
            "there is no figure: the statistical tier was not reached",
            where=comparison.headline,
            fix="leave out --figure",
        )
    from imagefactory.equivalence import plots  # NumPy: not on the start-up path

    write_text(path, plots.draw_figure(outcome.statistics, outcome.pool, len(comparison.a)))


def render(comparisons: Sequence[Comparison]) -> str:
    """The report's text. Everything that comes from a record is escaped."""
    page = files("imagefactory.equivalence").joinpath(PAGE).read_text(encoding="utf-8")
    return Template(page).substitute(
        title="Did these runs compute the same?",
        overview=_overview(comparisons),
        sections="\n".join(
            _section(number, comparison) for number, comparison in enumerate(comparisons, 1)
        ),
    )


def _overview(comparisons: Sequence[Comparison]) -> str:
    rows = "".join(
        f'<tr><td><a href="#c{number}">{number}</a></td><td>{_side(each.a)}</td>'
        f"<td>{_side(each.b)}</td><td>{_badge(each.verdict)}</td></tr>"
        for number, each in enumerate(comparisons, 1)
    )
    return (
        f"{_matrix(comparisons)}"
        '<table class="overview"><thead><tr><th>no.</th><th>side A</th><th>side B</th>'
        f"<th>verdict</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _matrix(comparisons: Sequence[Comparison]) -> str:
    """Each side against each other one, where every pair of three or more was compared."""
    sides = list(dict.fromkeys(_ids(side) for each in comparisons for side in (each.a, each.b)))
    if len(sides) < 3 or len(comparisons) != len(sides) * (len(sides) - 1) // 2:
        return ""
    labels = {_ids(side): _side(side) for each in comparisons for side in (each.a, each.b)}
    cells = {}
    for number, each in enumerate(comparisons, 1):
        link = f'<a href="#c{number}">{_badge(each.verdict)}</a>'
        cells[_ids(each.a), _ids(each.b)] = cells[_ids(each.b), _ids(each.a)] = link
    head = "".join(f"<th>{number}</th>" for number in range(1, len(sides) + 1))
    rows = "".join(
        f"<tr><th>{number}</th><td>{labels[one]}</td>"
        + "".join(f"<td>{cells.get((one, other), '')}</td>" for other in sides)
        + "</tr>"
        for number, one in enumerate(sides, 1)
    )
    return (
        f'<table class="matrix"><thead><tr><th>no.</th><th>side</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _ids(side: Side) -> tuple[str, ...]:
    return tuple(record.id for record in side)


def _side(side: Sequence[RunRecord]) -> str:
    if len(side) != 1:
        return escape(describe_runs(side))
    record = side[0]
    ranks, threads = (record.geometry.get(name, "?") for name in ("ranks", "threads"))
    return (
        f"<code>{escape(record.id)}</code><br><small>{escape(record.site)}: "
        f"{escape(f'{ranks} ranks x {threads} threads')}</small>"
    )


def _badge(verdict: Verdict) -> str:
    return f'<span class="badge {verdict.lower()}">{verdict}</span>'


def _section(number: int, comparison: Comparison) -> str:
    verdict = comparison.verdict
    parts = [
        f'<section id="c{number}"><header class="verdict {verdict.lower()}">'
        f"<h2>{verdict}</h2><p>{escape(comparison.headline)}</p></header>",
        f"<p>{MEANING[verdict]}</p>",
        *_why(comparison),
        _tiers(comparison),
        f"<h3>To be cited</h3><blockquote>{escape(state(comparison))}</blockquote>",
        *_statistics(comparison),
        *_pictures(comparison),
        "<h3>Where the runs come from</h3>",
        _provenance(comparison),
        "<h3>Commands</h3>",
        *(_commands(letter, side[0]) for letter, side in _sides(comparison) if side),
        "</section>",
    ]
    return "\n".join(parts)


def _sides(comparison: Comparison) -> tuple[tuple[str, Side], tuple[str, Side]]:
    return ("A", comparison.a), ("B", comparison.b)


def _why(comparison: Comparison) -> Iterator[str]:
    if comparison.outcome.faults:
        items = "".join(
            f"<li>{_place(fault.where)}{escape(fault.what)}"
            + (f"<br><small>fix: {escape(fault.fix)}</small>" if fault.fix else "")
            + "</li>"
            for fault in comparison.outcome.faults
        )
        yield f'<ul class="faults">{items}</ul>'
    facts = []
    if comparison.divergence:
        facts.append(("first divergence", describe_divergence(comparison.divergence)))
    if comparison.worst:
        spikes, neurons = describe_counts(comparison.worst.counts)
        facts += [("spikes", spikes), ("neurons", neurons)]
    if facts:
        yield "<dl>" + "".join(f"<dt>{k}</dt><dd>{escape(v)}</dd>" for k, v in facts) + "</dl>"
    if comparison.outcome.hints:
        title = "Likely causes" if comparison.verdict is Verdict.DIFFERENT else "Remarks"
        yield f"<h3>{title}</h3>"
        yield f"<ul>{''.join(f'<li>{escape(hint)}</li>' for hint in comparison.outcome.hints)}</ul>"


def _tiers(comparison: Comparison) -> str:
    rows = "".join(
        f"<tr><td>{escape(tier.name)}</td><td>{escape(tier.expected)}</td>"
        f"<td>{escape(tier.found)}</td></tr>"
        for tier in comparison.outcome.tiers
    )
    return (
        '<h3>Tier by tier</h3><table class="tiers"><thead><tr><th>tier</th><th>expected</th>'
        f"<th>found</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _statistics(comparison: Comparison) -> Iterator[str]:
    outcome = comparison.outcome
    if outcome.statistics is None or outcome.pool is None or outcome.window is None:
        return
    from imagefactory.equivalence import plots  # NumPy: not on the start-up path

    yield "<h3>Differences against their margins</h3>"
    level = f"{100 * (1 - 2 * comparison.margins.alpha):g} %"
    title = f"{level} intervals in units of the margins; the band is what may differ"
    yield _figure(title, plots.draw_intervals(outcome.statistics))
    yield _table((*HEAD, "finding"), tabulate(outcome.statistics), "numbers")
    power = describe_power(outcome.statistics, outcome.window, comparison.margins.power)
    yield f"<p>Power: {escape(power)}.</p>"
    yield from (f"<p>Missing: {escape(said)}.</p>" for said in outcome.statistics.shortfalls)
    if comparison.calibration is not None:
        trials = comparison.calibration.same.trials
        yield f"<h3>Error rates</h3><p>{trials} resampled trials at this number of runs.</p>"
        yield _table(RATES, tabulate_rates(comparison.calibration), "numbers")
    yield "<h3>Distributions</h3>"
    title = "Distribution functions over neurons and pairs, a thin line a run, thick their mean; "
    title += "side A blue, side B orange dashed"
    yield _figure(title, plots.draw_distributions(outcome.pool, len(comparison.a)))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], style: str) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f'<table class="{style}"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>'


def _place(where: str) -> str:
    return f"<code>{escape(where)}</code>: " if where else ""


def _pictures(comparison: Comparison) -> Iterator[str]:
    loaded = [_load(record) for record in _shown(comparison)]
    sides = [spikes for spikes in loaded if spikes is not None]
    if len(sides) < 2 or sides[0].populations != sides[1].populations or not len(sides[0]):
        return
    if (sides[0].dt_ms, sides[0].duration_ms) != (sides[1].dt_ms, sides[1].duration_ms):
        return
    yield from _draw(comparison, sides[0], sides[1])


def _draw(comparison: Comparison, a: Spikes, b: Spikes) -> Iterator[str]:
    from imagefactory.equivalence import charts  # NumPy: not on the start-up path

    mark = comparison.divergence
    window = charts.choose_window(a, mark)
    span = f"{window.start:g} to {window.end:g} ms, {len(window.rows)} of {a.size} neurons"
    yield "<h3>Spikes</h3>"
    for style, record, spikes in zip("ab", _shown(comparison), (a, b), strict=True):
        title = f"Run {style.upper()}: {record.id} ({span})"
        yield _figure(title, charts.raster(spikes, window, style, title, mark), style)
    if comparison.outcome.pairs:
        title = "Difference: grey in both runs, blue in run A only, orange in run B only"
        yield _figure(title, charts.overlay(a, b, window, title, mark))
    yield "<h3>Rates</h3>"
    for place, population in enumerate(a.populations):
        title = f"Rate of the {population.name} population (Hz); run A blue, run B orange dashed"
        yield _figure(title, charts.rates(a, b, place, title))
    yield _rate_table(comparison, a, b)


def _rate_table(comparison: Comparison, a: Spikes, b: Spikes) -> str:
    from imagefactory.equivalence.charts import mean_rates

    warmup = float(comparison.a[0].parameters.get("warmup_ms") or 0.0)
    rows = "".join(
        f'<tr><td>{escape(left[0])}</td><td class="n">{left[1]:.3f}</td>'
        f'<td class="n">{right[1]:.3f}</td><td class="n">{left[2]:.3f}</td>'
        f'<td class="n">{right[2]:.3f}</td></tr>'
        for left, right in zip(mean_rates(a, warmup), mean_rates(b, warmup), strict=True)
    )
    return (
        f'<table class="rates"><caption>Without the first {warmup:g} ms; CV of the intervals, '
        "mean over neurons with at least 10 spikes</caption><thead><tr><th>population</th>"
        "<th>mean rate A (Hz)</th><th>mean rate B (Hz)</th><th>CV A</th><th>CV B</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


def _figure(title: str, drawing: str, style: str = "") -> str:
    key = f'<span class="key {style}"></span>' if style else ""
    return f"<figure><figcaption>{key}{escape(title)}</figcaption>{drawing}</figure>"


def _shown(comparison: Comparison) -> list[RunRecord]:
    """One run of each side: those that part first, or the first ones."""
    worst = comparison.worst
    if worst is None:
        return [side[0] for side in (comparison.a, comparison.b) if side]
    named = {record.id: record for record in (*comparison.a, *comparison.b)}
    return [named[worst.a], named[worst.b]]


def _load(record: RunRecord) -> Spikes | None:
    from imagefactory.model import load_spikes

    if not record.spikes or not record.spikes.get("file"):
        return None
    try:
        return load_spikes(record.folder / str(record.spikes["file"]))
    except NoVerdict:
        return None


def _provenance(comparison: Comparison) -> str:
    differing = sum(row.notable for row in comparison.rows)
    body = "".join(
        f'<tbody><tr class="group"><th colspan="4" scope="colgroup">{escape(group)}</th></tr>'
        f"{''.join(_fact(row) for row in rows)}</tbody>"
        for group, rows in _groups(comparison.rows)
    )
    return (
        f'<table class="facts"><caption>{differing} of {len(comparison.rows)} facts differ, names '
        "and timings aside. Facts with = must be equal for equal spikes to be expected.</caption>"
        "<thead><tr><th>fact</th><th>side A</th><th>side B</th><th></th></tr></thead>"
        f"{body}</table>"
    )


def _groups(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    for group, members in groupby(
        rows, lambda row: row.name.partition(".")[0] if "." in row.name else "run"
    ):
        yield group, list(members)


def _fact(row: Row) -> str:
    name = row.name.partition(".")[2] or row.name
    mark = "differs" if row.notable else ""
    if row.required:
        mark = "= differs" if row.differs else "="
    style = ' class="differs"' if row.notable else ""
    return (
        f"<tr{style}><td>{escape(name)}</td><td>{_value(row.a)}</td><td>{_value(row.b)}</td>"
        f"<td>{mark}</td></tr>"
    )


def _value(value: object) -> str:
    return escape(show(value))


def _commands(letter: str, record: RunRecord) -> str:
    lines = "\n".join(shlex.join(str(word) for word in command) for command in record.commands)
    text = escape(lines) if lines else "the record has none"
    return f"<h4>Run {letter}: <code>{escape(record.id)}</code></h4><pre>{text}</pre>"
