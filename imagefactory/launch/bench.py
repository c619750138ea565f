"""What a micro-benchmark of two ranks says: read, held against a floor, drawn, kept.

The floor is far below what was measured, for one machine differs from itself by a factor of five
(facts/pmix-containers.md 6): it finds a wrong transport, not a slow day. The lanes tell more.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imagefactory.base.files import settings_folder, write_json
from imagefactory.base.settings import read_json
from imagefactory.launch.reader import read_text
from imagefactory.launch.rules import Verdict

SCHEMA = 1
MARK = "IMAGEFACTORY-BENCH "  # as pingpong.py has it
PART = "IMAGEFACTORY-PART "
STATUS = "IMAGEFACTORY-STATUS "
SPREAD = 5.0
SMALL, LARGE = 8, 4 * 1024 * 1024
_OSU = re.compile(r"^(?:\s*\d+: |\[\d+,\d+\]<std\w+>:)?\s*(\d+)\s+(\d+\.\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    """One side of a comparison; times in seconds, `one_way` by size of message in bytes.

    None or empty for what was not measured; `why` says why.
    """

    side: str  # image or host
    place: str  # one node or two nodes
    tool: str = ""  # built in, or osu_latency
    start: float | None = None  # from the launch line to the program, Python's start included
    imported: float | None = None
    init: float | None = None
    one_way: Mapping[int, float] | None = None
    lanes: tuple[str, ...] = ()
    why: str = ""

    @property
    def latency(self) -> float | None:
        """Seconds of the smallest message."""
        return (self.one_way or {}).get(SMALL)

    @property
    def bandwidth(self) -> float | None:
        """Bytes a second, of the largest message."""
        slowest = (self.one_way or {}).get(LARGE)
        return LARGE / slowest if slowest else None

    def line(self) -> str:
        """For people."""
        if not self.one_way:
            return f"{self.side:6} {self.place:10} not measured: {self.why}"
        told = [
            f"latency {1e6 * (self.latency or 0):.2f} us",
            f"bandwidth {(self.bandwidth or 0) / 1e9:.2f} GB/s",
            *(f"MPI_Init {self.init:.3f} s" for _ in (1,) if self.init is not None),
            *(f"import {self.imported:.3f} s" for _ in (1,) if self.imported is not None),
            *(f"start {self.start:.2f} s" for _ in (1,) if self.start is not None),
        ]
        lanes = "; ".join(self.lanes) or "the library did not tell its lanes"
        return f"{self.side:6} {self.place:10} {', '.join(told)} ({self.tool}; {lanes})"


@dataclass(frozen=True)
class Floor:
    """What a place must reach: seconds at most, and bytes a second at least."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Bench:
    """A micro-benchmark at a site, the floors it was held against, and where it is kept."""

    site: str
    date: str
    image: str
    measured: tuple[Measured, ...]
    floors: Mapping[str, Floor]
    file: Path | None = None
    plot: Path | None = None

    @property
    def verdict(self) -> Verdict:
        """FAIL where the image is below a floor, UNKNOWN where nothing of it was measured."""
        ours = [one for one in self.measured if one.side == "image" and one.one_way]
        if not ours:
            return Verdict.UNKNOWN
        return Verdict.FAIL if any(self.below(one) for one in ours) else Verdict.PASS

    def below(self, one: Measured) -> bool:
        """Whether a measurement is below the floor of its place."""
        floor = self.floors.get(one.place)
        if floor is None or one.latency is None or one.bandwidth is None:
            return False
        return one.latency > floor.latency or one.bandwidth < floor.bandwidth

    def lines(self) -> list[str]:
        """For people."""
        floors = [
            f"floor  {place:10} latency {1e6 * floor.latency:.2f} us at most, "
            f"bandwidth {floor.bandwidth / 1e9:.2f} GB/s at least"
            for place, floor in self.floors.items()
        ]
        kept = [f"kept: {path}" for path in (self.file, self.plot) if path]
        return [*(one.line() for one in self.measured), *floors, *kept, f"{self.verdict}"]


def judge_bench(site: str, image: str, answer: str, *, reset: bool = False) -> Bench:
    """Read what the site printed, hold it against the site's floors, and keep it.

    Places without a floor, or with `reset` all, get one from this benchmark. Nothing is kept where
    nothing was measured.
    """
    measured = read_parts(answer)
    known = {} if reset else read_floors(site) or {}
    floors = {**floors_of(measured), **known}
    bench = Bench(site, f"{datetime.now(UTC):%Y-%m-%d}", image, measured, floors)
    return keep(bench) if any(one.one_way for one in measured) else bench


def read_parts(text: str) -> tuple[Measured, ...]:
    """What the site printed: for each part its name, what ranks said, its exit status.

    Where the image has OSU's osu_latency, its times take the place of the built-in ones.
    """
    found: list[Measured] = []
    for part in text.split(PART)[1:]:
        head, _, rest = part.partition("\n")
        side, _, place = head.strip().partition(" ")
        if side != "osu":
            found.append(_read(side, place, rest))
            continue
        times = {int(size): 1e-6 * float(us) for size, us in _OSU.findall(rest)}
        if times and found and found[-1].one_way:
            found[-1] = replace(found[-1], tool="osu_latency", one_way=times)
    return tuple(found)


def _read(side: str, place: str, text: str) -> Measured:
    body, _, status = text.rpartition(STATUS)
    ranks = list(_ranks(body))
    lanes = tuple(str(lane) for lane, _, _ in read_text(body).lanes)
    if not ranks:
        last = [line.strip() for line in body.splitlines() if line.strip()][-1:]
        why = f"exit status {status.strip() or 'unknown'}: {' '.join(last)[:120]}".rstrip(": ")
        return Measured(side, place, lanes=lanes, why=why)
    if {rank["size"] for rank in ranks} != {2} or len(ranks) != 2:
        return Measured(side, place, lanes=lanes, why="the two ranks did not find each other")
    built_in = {int(size): float(seconds) for size, seconds in ranks[0]["one_way_s"].items()}
    return Measured(
        side, place, "built in",
        _slowest(ranks, "start_s"), _slowest(ranks, "import_s"), _slowest(ranks, "init_s"),
        built_in, lanes,
    )  # fmt: skip


def _ranks(text: str) -> Iterator[dict[str, Any]]:
    for line in text.splitlines():
        _, mark, rest = line.partition(MARK)
        try:
            document = json.loads(rest) if mark else None
        except ValueError:  # cut, or mixed with another rank's line
            continue
        if isinstance(document, dict) and {"size", "one_way_s"} <= set(document):
            yield document


def _slowest(ranks: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [float(rank[name]) for rank in ranks if rank.get(name) is not None]
    return max(values, default=None)


def floors_of(measured: Sequence[Measured]) -> dict[str, Floor]:
    """The floors that a first benchmark gives: of each place the better side, with room."""
    best: dict[str, Floor] = {}
    for one in measured:
        if one.latency is None or one.bandwidth is None:
            continue
        mine = Floor(SPREAD * one.latency, one.bandwidth / SPREAD)
        known = best.get(one.place, mine)
        best[one.place] = Floor(
            min(known.latency, mine.latency), max(known.bandwidth, mine.bandwidth)
        )
    return best


def bench_path(site: str) -> Path:
    """Where the floors and the last benchmark of a site are kept."""
    return settings_folder() / "benches" / f"{site}.json"


def read_floors(site: str) -> dict[str, Floor] | None:
    """The floors of a site; None before its first benchmark."""
    path = bench_path(site)
    if not path.is_file():
        return None
    return {place: Floor(**floor) for place, floor in read_json(path, _SCHEMA)["floors"].items()}


def keep(bench: Bench) -> Bench:
    """Write a benchmark and its plot; the floors of places that have one stay as they are."""
    path = bench_path(bench.site)
    path.parent.mkdir(parents=True, exist_ok=True)
    plot = path.with_suffix(".svg")
    plot.write_text(draw(bench), encoding="utf-8")
    document = {
        "schema": SCHEMA, "site": bench.site, "date": bench.date, "image": bench.image,
        "floors": {place: vars(floor) for place, floor in bench.floors.items()},
        "measured": [
            {**vars(one), "one_way": {str(k): v for k, v in (one.one_way or {}).items()}}
            for one in bench.measured
        ],
    }  # fmt: skip
    write_json(path, document)
    return replace(bench, file=path, plot=plot)


_COLOURS = {"image": "#1f77b4", "host": "#d95f02"}
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 560.0, 320.0, 70.0, 50.0


def draw(bench: Bench) -> str:
    """An SVG: seconds of one message against its size, both axes logarithmic; two nodes dashed."""
    shown = [one for one in bench.measured if one.one_way]
    points = [(size, took) for one in shown for size, took in (one.one_way or {}).items()]
    title = f"One message between two ranks at {bench.site}, {bench.date}"
    inner = [_text(_WIDTH / 2, 18, title, "middle")]
    if points:
        xs, ys = zip(*((math.log10(size), math.log10(took)) for size, took in points), strict=True)
        x_range, y_range = (min(xs), max(xs)), (math.floor(min(ys)), math.ceil(max(ys)))
        for power in range(y_range[0], y_range[1] + 1):
            y = _scale(power, y_range, _HEIGHT - _BOTTOM, 30)
            inner.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 10}" stroke="#ddd"/>')
            inner.append(_text(_LEFT - 6, y + 4, f"1e{power} s", "end"))
        for size in sorted({size for size, _ in points}):
            x = _scale(math.log10(size), x_range, _LEFT, _WIDTH - 20)
            inner.append(_text(x, _HEIGHT - _BOTTOM + 18, _bytes(size), "middle"))
        for number, one in enumerate(shown):
            inner.append(_curve(one, x_range, y_range))
            label = f"{one.side}, {one.place}"
            inner.append(_text(_LEFT + 12, 46 + 16 * number, label, "start", _COLOURS[one.side]))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" '
        f'font-family="sans-serif" font-size="12">{"".join(inner)}</svg>\n'
    )


def _curve(one: Measured, x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    places = " ".join(
        f"{_scale(math.log10(size), x_range, _LEFT, _WIDTH - 20):.1f},"
        f"{_scale(math.log10(took), y_range, _HEIGHT - _BOTTOM, 30):.1f}"
        for size, took in sorted((one.one_way or {}).items())
    )
    dashes = ' stroke-dasharray="6 4"' if one.place == "two nodes" else ""
    colour = _COLOURS[one.side]
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'


def _scale(value: float, limits: tuple[float, float], low: float, high: float) -> float:
    width = (limits[1] - limits[0]) or 1.0
    return low + (value - limits[0]) / width * (high - low)


def _bytes(size: int) -> str:
    for unit, width in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= width:
            return f"{size // width} {unit}"
    return f"{size} B"


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#222") -> str:
    from html import escape

    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">'
        f"{escape(text)}</text>"
    )


_SCHEMA = {
    "type": "object",
    "required": ["schema", "site", "date", "image", "floors", "measured"],
    "properties": {
        "schema": {"const": SCHEMA},
        "floors": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "required": ["latency", "bandwidth"],
                "properties": {
                    "latency": {"type": "number", "exclusiveMinimum": 0},
                    "bandwidth": {"type": "number", "exclusiveMinimum": 0},
                },
            },
        },
    },
}
