"""What was said before against what really happened: the confusion table of real pairs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from imagefactory.launch.rules import Verdict


@dataclass(frozen=True)
class Outcome:
    """What really happened: exit status, and for each rank that spoke the size of its world."""

    ranks: int
    status: int
    sizes: tuple[int, ...]
    line: str = ""  # the log's line that tells most
    swapped: bool = False  # the ranks had another MPI library than the image's

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


def counts(rows: Iterable[Row]) -> dict[str, int]:
    """How many rows were judged how; all three words are there."""
    found = Counter(row.judgement for row in rows)
    return {word: found[word] for word in ("right", "WRONG", "unknown")}


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
    numbers = counts(rows)
    lines = [
        f"{len(rows)} live runs: {numbers['right']} verdicts right, {numbers['WRONG']} wrong, "
        f"{numbers['unknown']} unknown.",
        "",
        *matrix(rows),
        "",
        "| server | client | fault | said before | what happened | |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        rules = f" ({', '.join(row.rules)})" if row.rules else ""
        mark = "" if row.judgement == "right" else f"**{row.judgement}**"
        lines.append(
            f"| {row.server} | {row.client} | {row.fault} | {row.verdict}{rules} | "
            f"{row.outcome.word} | {mark} |"
        )
    return "\n".join(lines) + "\n"


def read_outcome(text: str, ranks: int, status: int, version: str = "") -> Outcome:
    """What the ranks of `inside/hello.py` printed, among whatever else the log holds; `version` is
    that of the MPI library that they should have."""
    sizes, swapped = [], False
    told = ""
    for line in text.splitlines():
        _, mark, rest = line.partition("IMAGEFACTORY-HELLO ")
        words = rest.split()
        if mark and len(words) >= 2 and words[0].isdigit() and words[1].isdigit():
            sizes.append(int(words[1]))
            swapped |= version not in rest
        elif not told and any(word in line for word in ("ERROR", "FATAL", "abort", "rror:")):
            told = line.strip()
    return Outcome(ranks, status, tuple(sizes), told[:200], swapped)
