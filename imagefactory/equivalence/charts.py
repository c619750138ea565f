"""Drawings of spikes as inline SVG: rasters, their difference, rates. Colours come from classes."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from imagefactory.equivalence.bitwise import Divergence, keys

if TYPE_CHECKING:
    from imagefactory.model import Spikes

Integers = npt.NDArray[np.int64]
WIDTH, LEFT, RIGHT = 960.0, 92.0, 22.0
ROW = 1.7  # height of a neuron's row, in pixels
GAP = 8.0  # between populations
SHOWN_NEURONS = 125
SHOWN_MS = 1000.0
BIN_MS = 10.0
RATE_HEIGHT = 150.0
LONGEST_RATE = 400  # bins that a rate chart can show


@dataclass(frozen=True)
class Window:
    """What a raster shows: from `start` to `end` (ms), and these neurons of each population."""

    start: float
    end: float
    rows: dict[int, float]  # neuron to height (pixels) inside the drawing
    labels: tuple[tuple[str, float, float], ...]  # population, top, bottom
    height: float

    def x(self, time_ms: float) -> float:
        """Where a time stands."""
        share = (time_ms - self.start) / (self.end - self.start)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


@dataclass(frozen=True)
class Layer:
    """Spikes drawn in one class of style."""

    style: str
    neuron: Integers
    step: Integers


def choose_window(spikes: Spikes, divergence: Divergence | None) -> Window:
    """The first second, or the second around a later first divergence; neurons evenly chosen."""
    length = min(SHOWN_MS, spikes.duration_ms)
    start = 0.0
    if divergence and divergence.time_ms > 0.9 * length:
        start = min(divergence.time_ms - 0.2 * length, spikes.duration_ms - length)
    rows: dict[int, float] = {}
    labels = []
    top = 4.0
    for population in spikes.populations:
        shown = max(1, min(population.size, round(SHOWN_NEURONS * population.size / spikes.size)))
        chosen = population.first + np.arange(shown) * population.size // shown
        if divergence and divergence.population == population.name:
            chosen[np.abs(chosen - divergence.neuron).argmin()] = divergence.neuron
        for place, neuron in enumerate(chosen):
            rows[int(neuron)] = top + place * ROW
        labels.append((population.name, top, top + shown * ROW))
        top += shown * ROW + GAP
    return Window(start, start + length, rows, tuple(labels), top - GAP + 4)


def raster(spikes: Spikes, window: Window, style: str, title: str, mark: Divergence | None) -> str:
    """One run's spikes in the window."""
    layer = Layer(style, spikes.neuron, spikes.step)
    return _raster([layer], spikes.dt_ms, window, title, mark)


def overlay(a: Spikes, b: Spikes, window: Window, title: str, mark: Divergence | None) -> str:
    """Shared spikes faint, spikes of one run only in its colour."""
    left, right = keys(a), keys(b)
    in_both = np.isin(left, right, assume_unique=True)
    only_b = ~np.isin(right, left, assume_unique=True)
    layers = [
        Layer("shared", a.neuron[in_both], a.step[in_both]),
        Layer("a", a.neuron[~in_both], a.step[~in_both]),
        Layer("b", b.neuron[only_b], b.step[only_b]),
    ]
    return _raster(layers, a.dt_ms, window, title, mark)


def rates(a: Spikes, b: Spikes, population: int, title: str) -> str:
    """The rate of one population over time in both runs (Hz, bins of at least 10 ms)."""
    place = a.populations[population]
    width_ms = max(BIN_MS, a.duration_ms / LONGEST_RATE)
    edges = np.arange(0, a.duration_ms + width_ms / 2, width_ms)
    series = [_binned(side, place.first, place.size, edges) / (width_ms / 1000) for side in (a, b)]
    top = _nice_top(max(float(each.max(initial=0)) for each in series))
    bottom = RATE_HEIGHT + 6
    window = Window(0.0, float(edges[-1]), {}, (), bottom)
    lines = []
    for style, values in zip(("a", "b"), series, strict=True):
        points = [
            f"{window.x(edge):.1f},{bottom - value / top * RATE_HEIGHT:.1f}"
            for edge, value in zip(edges[:-1] + width_ms / 2, values, strict=True)
        ]
        lines.append(f'<polyline class="line {style}" points="{" ".join(points)}"/>')
    grid = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        for value in (0, top / 2, top)
        for y in (bottom - value / top * RATE_HEIGHT,)
    )
    return _svg(grid + "".join(lines) + _time_axis(window, bottom), bottom + 34, title)


def mean_rates(spikes: Spikes, warmup_ms: float) -> list[tuple[str, float, float]]:
    """Population, its mean rate (Hz), and its mean CV of intervals, without the warm-up.

    The CV is the mean over neurons with at least 10 spikes; NaN where there is none.
    """
    seconds = (spikes.duration_ms - warmup_ms) / 1000
    kept = spikes.step * spikes.dt_ms > warmup_ms
    neuron, step = spikes.neuron[kept], spikes.step[kept]
    found = []
    for place in spikes.populations:
        inside = (neuron >= place.first) & (neuron < place.first + place.size)
        rate = float(inside.sum()) / place.size / seconds
        found.append((place.name, rate, _mean_cv(neuron[inside], step[inside])))
    return found


def _mean_cv(neuron: Integers, step: Integers) -> float:
    order = np.lexsort((step, neuron))
    sorted_neuron, sorted_step = neuron[order], step[order]
    edges = np.flatnonzero(np.diff(sorted_neuron)) + 1
    trains = [train for train in np.split(sorted_step, edges) if len(train) >= 10]
    values = [np.diff(train).std() / np.diff(train).mean() for train in trains]
    return float(np.mean(values)) if values else float("nan")


def _raster(
    layers: list[Layer], dt_ms: float, window: Window, title: str, mark: Divergence | None
) -> str:
    parts = []
    for name, top, bottom in window.labels:
        middle = (top + bottom) / 2
        parts.append(
            f'<rect class="field" x="{LEFT}" y="{top - 2:.1f}" width="{WIDTH - LEFT - RIGHT}" '
            f'height="{bottom - top + 2:.1f}"/>'
            f'<text class="tick" x="{LEFT - 8}" y="{middle + 4:.1f}" text-anchor="end">'
            f"{escape(name)}</text>"
        )
    if mark and window.start <= mark.time_ms <= window.end:
        x = window.x(mark.time_ms)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{window.height}"/>')
    parts += [
        f'<path class="spike {each.style}" d="{_ticks(each, dt_ms, window)}"/>' for each in layers
    ]
    parts.append(_time_axis(window, window.height))
    return _svg("".join(parts), window.height + 34, title)


def _ticks(layer: Layer, dt_ms: float, window: Window) -> str:
    shown = np.isin(layer.neuron, np.fromiter(window.rows, dtype=np.int64))
    first, last = window.start / dt_ms, window.end / dt_ms
    shown &= (layer.step >= first) & (layer.step <= last)
    return "".join(
        f"M{window.x(step * dt_ms):.1f} {window.rows[neuron]:.1f}v{ROW:g}"
        for neuron, step in zip(
            layer.neuron[shown].tolist(), layer.step[shown].tolist(), strict=True
        )
    )


def _time_axis(window: Window, y: float) -> str:
    span = window.end - window.start
    places = [window.start + span * share for share in (0, 0.2, 0.4, 0.6, 0.8, 1)]
    ticks = "".join(
        f'<line class="axis" x1="{window.x(t):.1f}" x2="{window.x(t):.1f}" y1="{y:.1f}" '
        f'y2="{y + 4:.1f}"/><text class="tick" x="{window.x(t):.1f}" y="{y + 17:.1f}" '
        f'text-anchor="middle">{t:g}</text>'
        for t in places
    )
    return (
        f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>{ticks}'
        f'<text class="tick" x="{WIDTH / 2:.0f}" y="{y + 31:.1f}" text-anchor="middle">'
        "time (ms)</text>"
    )


def _svg(inner: str, height: float, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{inner}</svg>"
    )


def _binned(
    spikes: Spikes, first: int, size: int, edges: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    inside = (spikes.neuron >= first) & (spikes.neuron < first + size)
    counts, _ = np.histogram(spikes.step[inside] * spikes.dt_ms, bins=edges)
    return counts / size


def _nice_top(value: float) -> float:
    if value <= 0:
        return 1.0
    unit = 10 ** np.floor(np.log10(value))
    return float(next(unit * step for step in (1, 2, 4, 6, 8, 10) if unit * step >= value))
