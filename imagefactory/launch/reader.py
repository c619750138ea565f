"""A log, read once from its beginning to its end: symptoms and lanes, however long it is.

Memory does not grow with the log: of each symptom its number and a few lines are kept.
"""

from __future__ import annotations

import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from imagefactory.launch.lanes import NEAR, Lane, lane_of
from imagefactory.launch.symptoms import Symptom, shipped_symptoms

CHUNK = 1 << 18
LONGEST_LINE = 1 << 16  # bytes; what is longer is read as several lines
WINDOW = 4  # lines of a rank over which a signature may be wrapped
RANKS = 1024  # windows kept; more ranks than that share one
SHOWN = 3
WIDTH = 200
# srun --label; mpirun --tag-output.
_LABEL = re.compile(r"(?:\s*(\d{1,7}): ?|\[\d+,(\d{1,7})\]<std(?:out|err)>:)")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd]+")


@dataclass(frozen=True)
class Line:
    """A line that tells something: its number, from 1, the rank that wrote it, its text."""

    number: int
    rank: int | None
    text: str


@dataclass(frozen=True)
class Hit:
    """A symptom, how often it was seen, and the first lines."""

    symptom: Symptom
    count: int
    ranks: tuple[int, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Reading:
    """What a log tells: symptoms in the order of the table, and lanes with the first line."""

    lines: int
    bytes: int
    hits: tuple[Hit, ...]
    lanes: tuple[tuple[Lane, Line, int], ...]


@dataclass
class _Seen:
    count: int = 0
    ranks: set[int] = field(default_factory=set)
    lines: list[Line] = field(default_factory=list)

    def add(self, line: Line) -> None:
        self.count += 1
        if line.rank is not None and len(self.ranks) < RANKS:
            self.ranks.add(line.rank)
        if len(self.lines) < SHOWN:
            self.lines.append(line)


class _State:
    """What is kept while a log goes by."""

    def __init__(self) -> None:
        self.symptoms = shipped_symptoms()
        self.near = tuple(
            dict.fromkeys(
                [one.near for known in self.symptoms for one in known.signatures] + [*NEAR]
            )
        )
        self.near_bytes = tuple(text.encode() for text in self.near)
        self.seen: dict[str, _Seen] = {}
        self.lanes: dict[Lane, tuple[Line, int]] = {}
        self.windows: dict[int | None, deque[str]] = {}
        self.number = 0

    def take(self, lines: list[bytes]) -> None:
        """The next lines, without their ends."""
        whole = b"\n".join(lines)
        if not any(near in whole for near in self.near_bytes):
            self.number += len(lines)
            for raw in lines[-WINDOW * 8 :]:  # what a signature may begin with
                self._enter(raw)
            return
        for raw in lines:
            self.number += 1
            line, window = self._enter(raw)
            if any(near in line.text for near in self.near):
                self._judge(line, window)

    def _enter(self, raw: bytes) -> tuple[Line, deque[str]]:
        text = raw.decode("utf-8", "replace")
        label = _LABEL.match(text)
        rank = int(label[1] or label[2]) if label else None
        if label:
            text = text[label.end() :]
        key = rank if rank in self.windows or len(self.windows) < RANKS else None
        window = self.windows.setdefault(key, deque(maxlen=WINDOW))
        window.append(text.strip())
        return Line(self.number, rank, text), window

    def _judge(self, line: Line, window: deque[str]) -> None:
        shown = Line(line.number, line.rank, _UNPRINTABLE.sub(" ", line.text).strip()[:WIDTH])
        lane = lane_of(line.text)
        if lane is not None and (lane in self.lanes or len(self.lanes) < RANKS):
            first, count = self.lanes.get(lane, (shown, 0))
            self.lanes[lane] = (first, count + 1)
        named = False
        joined = "\n".join(window)
        before = len(joined) - len(window[-1])
        for known in self.symptoms:
            # What no row knows is said only of lines that no other entry knows.
            if known.id == "pmix-error" and named:
                continue
            for one in known.signatures:
                if one.near in line.text and _ends_in(one.pattern, joined, before):
                    self.seen.setdefault(known.id, _Seen()).add(shown)
                    named = True
                    break

    def result(self, size: int) -> Reading:
        """What was found; a symptom that another takes the place of is left out."""
        found = [
            one
            for one in self.symptoms
            if one.id in self.seen
            and self.seen[one.id].count >= one.times
            and (one.along is None or one.along in self.seen)
        ]
        replaced = {one.along for one in found}
        hits = [
            Hit(one, kept.count, tuple(sorted(kept.ranks)), tuple(kept.lines))
            for one in found
            if one.id not in replaced
            for kept in [self.seen[one.id]]
        ]
        lanes = tuple((lane, line, count) for lane, (line, count) in self.lanes.items())
        return Reading(self.number, size, tuple(hits), lanes)


def _ends_in(pattern: re.Pattern[str], text: str, start: int) -> bool:
    """Whether a match ends at or after `start`: in the last line of the window."""
    return any(match.end() > start for match in pattern.finditer(text))


def read_log(stream: BinaryIO) -> Reading:
    """Read a log of any size and any content."""
    state, size = _State(), 0
    for lines, length in _portions(stream):
        size += length
        state.take(lines)
    return state.result(size)


def read_text(text: str) -> Reading:
    """As `read_log`, for a log that is in memory."""
    return read_log(io.BytesIO(text.encode("utf-8", "replace")))


def _portions(stream: BinaryIO) -> Iterator[tuple[list[bytes], int]]:
    """Whole lines, a few hundred KB at a time, with how many bytes were read for them."""
    rest = b""
    while chunk := stream.read(CHUNK):
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > LONGEST_LINE:
            lines.append(rest)
            rest = b""
        yield lines, len(chunk)
    if rest:
        yield [rest], 0
