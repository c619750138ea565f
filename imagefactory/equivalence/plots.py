"""Drawings of the statistical tier as SVG: intervals against margins, and distributions."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagefactory.equivalence.explain import NAMES
from imagefactory.equivalence.tost import Interval

if TYPE_CHECKING:
    from imagefactory.equivalence.statistical import Key, Pool, Statistics

Floats = npt.NDArray[np.float64]
WIDTH = 960.0
LABEL, RIGHT = 300.0, 30.0  # where the axis begins and what is left free at its end
ROW = 22.0
REACH = 2.5  # margins that are shown to each side
PANEL_WIDTH, PANEL_HEIGHT, GAP = 300.0, 190.0, 24.0
UNITS = {"rate": "rate (Hz)", "cv": "CV of the intervals", "correlation": "pair correlation"}
# For a file of its own; in the report the page's style decides.
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1b2127; }
.within { stroke: #17703b; fill: #17703b; }
.beyond { stroke: #b3261e; fill: #b3261e; }
.open { stroke: #6a5200; fill: #6a5200; }
.interval { stroke-width: 2.4; }
.zone { fill: #e6eef5; }
.axis, .grid { stroke: #9aa5af; }
.curve { fill: none; stroke-width: .8; opacity: .45; }
.curve.mean { stroke-width: 2.2; opacity: 1; }
.curve.a { stroke: #1f68b4; }
.curve.b { stroke: #c8590a; }
.curve.b.mean { stroke-dasharray: 5 3; }
"""


def draw_intervals(statistics: Statistics) -> str:
    """Every interval in units of its margin: inside the band is within, outside is beyond."""
    inner, height = _intervals(statistics)
    return _svg(inner, WIDTH, height, "Differences of the two sides, in units of their margins")


def draw_distributions(pool: Pool, count: int) -> str:
    """Distribution functions: a thin line a run, a thick one for the mean of a side; the first
    `count` runs are side A."""
    inner, width, height = _panels(pool, count)
    return _svg(inner, width, height, "Distribution functions of both sides")


def draw_figure(statistics: Statistics, pool: Pool, count: int) -> str:
    """Both drawings, as a file of their own for a paper."""
    above, top = _intervals(statistics)
    below, width, height = _panels(pool, count)
    inner = f'<style>{STYLE}</style>{above}<g transform="translate(0 {top + 12:.0f})">{below}</g>'
    drawing = _svg(inner, max(WIDTH, width), top + 12 + height, "Intervals and distributions")
    return drawing.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)


def _intervals(statistics: Statistics) -> tuple[str, float]:
    rows = [(f"{mean.population}: {mean.measure}", mean.interval) for mean in statistics.means]
    rows += [
        (
            f"{each.population}: distance of {NAMES.get(each.measure, each.measure)}",
            each.excess.interval,
        )
        for each in statistics.distances
    ]
    bottom = ROW * len(rows) + 10
    parts = [
        f'<rect class="zone" x="{_place(-1):.1f}" y="4" width="{_place(1) - _place(-1):.1f}" '
        f'height="{bottom - 4:.1f}"/>'
    ]
    for tick in (-2, -1, 0, 1, 2):
        x = _place(tick)
        parts.append(
            f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="4" y2="{bottom:.1f}"/>'
            f'<text class="tick" x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">'
            f"{tick:+d}</text>"
        )
    for number, (name, interval) in enumerate(rows):
        parts.append(_row(name, interval, ROW * number + ROW / 2 + 8))
    parts.append(
        f'<text class="tick" x="{_place(0):.1f}" y="{bottom + 34:.1f}" text-anchor="middle">'
        "difference of side B from side A, in margins</text>"
    )
    return "".join(parts), bottom + 42


def _row(name: str, interval: Interval, y: float) -> str:
    label = _text(LABEL - 12, y + 4, name, "end")
    if np.isnan(interval.difference):
        return f'{label}<text class="tick" x="{_place(0):.1f}" y="{y + 4:.1f}">no value</text>'
    low, middle, high = (
        value / interval.margin for value in (interval.low, interval.difference, interval.high)
    )
    style = f"{interval.finding}"
    drawn = (
        f'<line class="interval {style}" x1="{_place(low):.1f}" x2="{_place(high):.1f}" '
        f'y1="{y:.1f}" y2="{y:.1f}"/>'
    )
    for value in (low, high):  # an end that is not on the paper has an arrow
        if abs(value) > REACH:
            x, step = _place(value), 6 if value > 0 else -6
            drawn += (
                f'<path class="{style}" d="M{x:.1f} {y - 4:.1f}L{x + step:.1f} {y:.1f}'
                f'L{x:.1f} {y + 4:.1f}Z"/>'
            )
    if abs(middle) <= REACH:
        drawn += f'<circle class="{style}" cx="{_place(middle):.1f}" cy="{y:.1f}" r="3.6"/>'
    return label + drawn


def _place(margins: float) -> float:
    shown = min(REACH, max(-REACH, margins))
    return LABEL + (shown + REACH) / (2 * REACH) * (WIDTH - LABEL - RIGHT)


def _panels(pool: Pool, count: int) -> tuple[str, float, float]:
    populations = list(dict.fromkeys(population for population, _ in pool.quantiles))
    measures = list(dict.fromkeys(measure for _, measure in pool.quantiles))
    parts = []
    for row, population in enumerate(populations):
        for column, measure in enumerate(measures):
            x, y = column * (PANEL_WIDTH + GAP), row * (PANEL_HEIGHT + GAP)
            panel = _panel((population, measure), pool.quantiles[population, measure], count)
            parts.append(f'<g transform="translate({x:.0f} {y:.0f})">{panel}</g>')
    width = len(measures) * (PANEL_WIDTH + GAP) - GAP
    return "".join(parts), max(width, 1.0), max(len(populations) * (PANEL_HEIGHT + GAP), 1.0)


def _panel(key: Key, quantiles: Floats, count: int) -> str:
    left, bottom, top = 34.0, PANEL_HEIGHT - 40, 20.0
    title = f'<text class="tick" x="{left}" y="13">{escape(key[0])}</text>'
    known = quantiles[~np.isnan(quantiles).any(axis=1)]
    if not len(known):
        return f'{title}<text class="tick" x="{left}" y="{bottom / 2:.0f}">no value</text>'
    low, high = float(known.min()), float(known.max())
    span = high - low or 1.0
    shares = np.linspace(0, 1, quantiles.shape[1])

    def line(values: Floats, style: str) -> str:
        if np.isnan(values).any():
            return ""
        xs = left + (values - low) / span * (PANEL_WIDTH - left - 8)
        ys = bottom - shares * (bottom - top)
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        return f'<polyline class="curve {style}" points="{points}"/>'

    parts = [title]
    for style, rows in (("a", quantiles[:count]), ("b", quantiles[count:])):
        parts += [line(row, style) for row in rows]
        parts.append(line(rows.mean(axis=0), f"{style} mean"))
    right = PANEL_WIDTH - 8
    parts.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{bottom}" y2="{bottom}"/>')
    for x, value, anchor in ((left, low, "start"), (right, high, "end")):
        parts.append(_text(x, bottom + 16, f"{value:.3g}", anchor))
    parts.append(_text((left + right) / 2, bottom + 30, UNITS.get(key[1], key[1]), "middle"))
    parts += [_text(left - 6, bottom + 4, "0", "end"), _text(left - 6, top + 6, "1", "end")]
    return "".join(parts)


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text class="tick" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _svg(inner: str, width: float, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{inner}</svg>"
    )
