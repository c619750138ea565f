"""Which release is where: the places side by side, and whether they are in step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.resources import files
from pathlib import Path

from imagefactory.base.errors import NoVerdict, UsageFault
from imagefactory.base.settings import load_schema, read_yaml

REPORTED, MEASURED = "reported", "measured"
FORMAT = "imagefactory-probe\t1"
# How the ESD names its releases: EBRAINS-25.04 (kernel), ebrains/25.04 (module), esd-25.04,
# ebrains-25-04 (Spack environment), main-spack-instance-2504 (facts/esd-science.md 1).
_NAME = re.compile(r"(?:ebrains[-/ ]|esd[-/ ]|spack-instance-)(\d\d)[.-]?(\d\d)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sighting:
    """A release that was seen at a place; `release` is None where it is unknown.

    `evidence` is measured (a probe ran there) or reported (somebody wrote it down).
    """

    place: str
    release: str | None
    evidence: str
    source: str
    date: str


@dataclass(frozen=True)
class Row:
    """One place against the wanted release; `state` is in step, behind, ahead or unknown."""

    sighting: Sighting
    state: str


@dataclass(frozen=True)
class Board:
    """All places; `wanted` is what they should have."""

    wanted: str
    rows: tuple[Row, ...]

    @property
    def in_step(self) -> bool:
        """True only if every place was seen, and has the wanted release."""
        return all(row.state == "in step" for row in self.rows)

    @property
    def verdict(self) -> str:
        """One line for people."""
        counts = {state: 0 for state in ("in step", "behind", "ahead", "unknown")}
        for row in self.rows:
            counts[row.state] += 1
        told = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        return f"{self.wanted}: {told}"


class BoardFormat(Enum):
    """How a board is shown."""

    TEXT = "text"
    MARKDOWN = "markdown"
    BADGE = "badge"


def make_board(sightings: Iterable[Sighting], wanted: str | None = None) -> Board:
    """The places against `wanted`, or against the newest release that was seen anywhere.

    Of several sightings at one place the newest release counts: a site keeps old ones. Raises
    NoVerdict where no release was seen at all.
    """
    best: dict[str, Sighting] = {}
    for one in sightings:
        held = best.get(one.place)
        if held is None or (one.release or "") > (held.release or ""):
            best[one.place] = one
    seen = sorted(one.release for one in best.values() if one.release)
    if not seen:
        raise NoVerdict("no release was seen anywhere", fix="give --places, --seen or --site")
    target = wanted or seen[-1]
    rows = [Row(one, _state(one.release, target)) for _, one in sorted(best.items())]
    return Board(target, tuple(rows))


def show_board(board: Board, form: BoardFormat) -> str:
    """The board as a table for the terminal, as markdown, or as a badge (SVG)."""
    if form is BoardFormat.BADGE:
        return _badge(board)
    head = ("place", "release", "state", "evidence", "date", "source")
    lines = [head, *(_cells(row) for row in board.rows)]
    if form is BoardFormat.MARKDOWN:
        table = [f"| {' | '.join(line)} |" for line in lines]
        table.insert(1, "|---" * len(head) + "|")
        return "\n".join([f"**{board.verdict}**", "", *table])
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    rows = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*rows, board.verdict])


def read_places(path: Path) -> list[Sighting]:
    """What somebody wrote down; raises ConfigurationFault with every fault found."""
    document = read_yaml(path, load_schema("imagefactory.release", "drift.schema.json"))
    return [
        Sighting(item["place"], item.get("release"), REPORTED, item["source"], item["date"])
        for item in document["places"]
    ]


def probe_script() -> str:
    """The script to be run at a place with `sh -s`; its arguments are folders of images."""
    return files("imagefactory.release").joinpath("probe.sh").read_text(encoding="utf-8")


def read_probe(text: str, place: str, date: str) -> list[Sighting]:
    """What a probe printed, as sightings at `place`; one that is unknown if it saw no release.

    Raises UsageFault where the text is not a probe's.
    """
    lines = text.splitlines()
    if FORMAT not in lines:
        raise UsageFault(
            "this is not what the probe prints",
            where=place,
            fix="imagefactory release probe > probe.sh; there: sh probe.sh > seen.txt",
        )
    found = []
    # A login shell may greet before the script speaks.
    for line in lines[lines.index(FORMAT) + 1 :]:
        kind, _, value = line.partition("\t")
        name = _NAME.search(value)
        if name and kind != "host":
            source = f"{kind} {value}"
            found.append(Sighting(place, f"esd-{name[1]}.{name[2]}", MEASURED, source, date))
    return found or [Sighting(place, None, MEASURED, "the probe saw no release", date)]


def _state(release: str | None, wanted: str) -> str:
    if release is None:
        return "unknown"
    if release == wanted:
        return "in step"
    return "behind" if release < wanted else "ahead"


def _cells(row: Row) -> Sequence[str]:
    one = row.sighting
    return (one.place, one.release or "unknown", row.state, one.evidence, one.date, one.source)


def _badge(board: Board) -> str:
    """A badge as an SVG of our own: what is wanted, and how many places have it."""
    have = sum(row.state == "in step" for row in board.rows)
    label, text = board.wanted, f"{have} of {len(board.rows)} places"
    colour = "#2e7d32" if board.in_step else "#c62828"
    left, right = 8 * len(label) + 12, 8 * len(text) + 12
    style = 'font-family="monospace" font-size="12" fill="#fff"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" '
            f'role="img" aria-label="{label}: {text}">',
            f'  <rect width="{left}" height="20" fill="#37474f"/>',
            f'  <rect x="{left}" width="{right}" height="20" fill="{colour}"/>',
            f'  <text x="6" y="14" {style}>{label}</text>',
            f'  <text x="{left + 6}" y="14" {style}>{text}</text>',
            "</svg>",
        ]
    )
