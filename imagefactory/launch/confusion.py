"""What was said before against what really happened: the confusion table of real pairs. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagefactory.launch.doctor import diagnose, loud_fault, silent_fault
from imagefactory.launch.inside import guard
from imagefactory.launch.reader import read_text
from imagefactory.launch.rules import Verdict


@dataclass(frozen=True)
class Outcome:
    """What really happened: exit status, and for each rank that spoke the size of its world."""

    ranks: int
    status: int
    sizes: tuple[int, ...]
    line: str = ""  # the log's line that tells most
    swapped: bool = False  # the ranks had another MPI library than the image's
    # Symptoms that the guard and the log reader name, so that a run ends as failed.
    sentinel: tuple[str, ...] = ()

    @property
    def started(self) -> bool:
        """All ranks came up as one world with the right library, and the program ended well."""
        return self.status == 0 and not self.swapped and self.sizes == (self.ranks,) * self.ranks

    @property
    def word(self) -> str:
        """For the table."""
        if self.started:
            return "starts"
        if self.status == 0 and self.swapped:
            return "SILENT: another MPI library"
        if self.status == 0:
            return "SILENT: " + ("singletons" if set(self.sizes) == {1} else "wrong size")
        return "hangs" if self.status == 124 else f"fails, {self.status}"


@dataclass(frozen=True)
class Row:
    """One live pair with one fault: the verdict before and the outcome after."""

    server: str
    client: str
    fault: str
    verdict: Verdict
    rules: tuple[str, ...]
    outcome: Outcome

    @property
    def judgement(self) -> str:
        """right, WRONG or unknown. A WARN says that it starts, with something to mind."""
        if self.verdict is Verdict.UNKNOWN:
            return "unknown"
        return "right" if (self.verdict is not Verdict.FAIL) is self.outcome.started else "WRONG"

    @property
    def watched(self) -> str:
        """What the sentinel was: right, WRONG (said nothing of a silent failure, or something of a
        good start), or unnamed: the launch failed by itself, and no symptom has a name for it."""
        if self.outcome.started:
            return "WRONG" if self.outcome.sentinel else "right"
        if self.outcome.sentinel:
            return "right"
        return "unnamed" if self.outcome.status else "WRONG"


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows the pre-flight judged how; all three words are there."""
    found = Counter(row.judgement for row in rows)
    return {word: found[word] for word in ("right", "WRONG", "unknown")}


def watched(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows the sentinel judged how; all three words are there."""
    found = Counter(row.watched for row in rows)
    return {word: found[word] for word in ("right", "WRONG", "unnamed")}


def matrix(rows: Sequence[Row]) -> Iterator[str]:
    """Verdict by outcome, as lines of Markdown."""
    yield "| said before | started | failed loudly | failed silently (exit status 0) |"
    yield "|---|---|---|---|"
    for verdict in Verdict:
        mine = [row.outcome for row in rows if row.verdict is verdict]
        started = sum(one.started for one in mine)
        silent = sum(not one.started and one.status == 0 for one in mine)
        yield f"| {verdict} | {started} | {len(mine) - started - silent} | {silent} |"


def table(rows: Sequence[Row]) -> str:
    """The whole table as Markdown: counts, matrix, and every row."""
    numbers, seen = counts(rows), watched(rows)
    lines = [
        f"{len(rows)} live runs. Pre-flight: {numbers['right']} verdicts right, "
        f"{numbers['WRONG']} wrong, {numbers['unknown']} unknown. Sentinel: {seen['right']} right, "
        f"{seen['WRONG']} wrong; {seen['unnamed']} failed by themselves without a known symptom.",
        "",
        *matrix(rows),
        "",
        "| server | client | fault | said before | what happened | what the sentinel named | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        rules = f" ({', '.join(row.rules)})" if row.rules else ""
        wrong = [*([row.judgement] if row.judgement != "right" else []),
                 *(["sentinel WRONG"] if row.watched == "WRONG" else [])]  # fmt: skip
        lines.append(
            f"| {row.server} | {row.client} | {row.fault} | {row.verdict}{rules} | "
            f"{row.outcome.word} | {', '.join(row.outcome.sentinel)} | "
            f"{'**' + ', '.join(wrong) + '**' if wrong else ''} |"
        )
    return "\n".join(lines) + "\n"


def read_outcome(
    text: str,
    ranks: int,
    status: int,
    expect: Mapping[str, str | None] | None = None,
    own: str = "",
) -> Outcome:
    """What the ranks of `inside/hello.py` printed, among whatever else the log holds.

    `expect` is what the guard is to prove (`expectation`); libraries below the folder `own` count
    as the image's.
    """
    promised = expect or {}
    sizes, swapped = [], False
    told = ""
    for line in text.splitlines():
        _, mark, rest = line.partition("IMAGEFACTORY-HELLO ")
        words = rest.split()
        if mark and len(words) >= 2 and words[0].isdigit() and words[1].isdigit():
            sizes.append(int(words[1]))
            swapped |= (promised.get("mpi") or "") not in rest
        elif not told and any(word in line for word in ("ERROR", "FATAL", "abort", "rror:")):
            told = line.strip()
    named = [*_guarded(text, promised, own), *_logged(text, status)]
    if status == 0 and any(size != ranks for size in sizes):
        named.append("world-of-one" if set(sizes) == {1} else "wrong-world")
    return Outcome(
        ranks, status, tuple(sizes), told[:200], swapped, tuple(dict.fromkeys(named))
    )  # fmt: skip


def _guarded(text: str, expect: Mapping[str, str | None], own: str) -> list[str]:
    """The symptoms of what the guards of all ranks saw."""
    seen: list[dict[str, Any]] = []
    for line in text.splitlines():
        _, mark, rest = line.partition("IMAGEFACTORY-GUARD ")
        try:
            looked = json.loads(rest) if mark else None
        except ValueError:  # cut
            continue
        if isinstance(looked, dict):
            outside = [path for path in looked["foreign"] if not (own and path.startswith(own))]
            seen.append(looked | {"foreign": outside})
    return [fault["symptom"] for fault in guard.faults(seen, expect)]


def _logged(text: str, status: int) -> list[str]:
    """The symptom that the log reader would end the run with."""
    diagnosis = diagnose(read_text(text))
    found = loud_fault(diagnosis) if status else silent_fault(diagnosis)
    return [found.symptom.id] if found else []
