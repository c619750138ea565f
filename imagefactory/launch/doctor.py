"""What a log says of a run: symptoms and lanes as findings, each with its lines and one fix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from imagefactory.launch.lanes import Lane
from imagefactory.launch.reader import Line, Reading
from imagefactory.launch.rules import Verdict
from imagefactory.launch.symptoms import Effect, Symptom, symptom

_SHOWN_LANES = 8
_VERDICTS = {
    Effect.STOPS: Verdict.FAIL,
    Effect.WRONG: Verdict.FAIL,
    Effect.SLOW: Verdict.WARN,
    Effect.NOISE: Verdict.WARN,
}


@dataclass(frozen=True)
class Ailment:
    """One symptom of this log, with the lines that show it."""

    symptom: Symptom
    verdict: Verdict
    count: int
    ranks: tuple[int, ...]
    lines: tuple[Line, ...]

    def told(self) -> Iterator[str]:
        """For people."""
        known = self.symptom
        times = "once" if self.count == 1 else f"{self.count} times"
        who = f", ranks {' '.join(map(str, self.ranks[:16]))}" if self.ranks else ""
        yield f"{self.verdict:8}{known.name}: {known.cause} ({times}{who})"
        for line in self.lines:
            yield f"        line {line.number}: {line.text}"
        yield f"        check: {known.check}"
        yield f"        fix: {known.fix}"
        yield f"        source: {known.source} ({known.evidence})"


@dataclass(frozen=True)
class Diagnosis:
    """The verdict on a log: that of its worst finding; PASS says that no line is in our table."""

    verdict: Verdict
    ailments: tuple[Ailment, ...]
    lanes: tuple[tuple[Lane, Line, int], ...]
    log_lines: int
    log_bytes: int

    def lines(self) -> list[str]:
        """For people."""
        found = [line for ailment in self.ailments for line in ailment.told()]
        lanes = [f"lane    {lane} ({count} times)" for lane, _, count in self.lanes[:_SHOWN_LANES]]
        if len(self.lanes) > _SHOWN_LANES:
            lanes.append(f"lane    and {len(self.lanes) - _SHOWN_LANES} others")
        said = f"{self.verdict}: {len(self.ailments)} findings"
        if not self.ailments:
            said = f"{self.verdict}: no line is in the table of symptoms"
        return [*found, *lanes, f"{said}; {self.log_lines} lines, {self.log_bytes} bytes read"]


def diagnose(reading: Reading, fabric: bool | None = None) -> Diagnosis:
    """Judge a log; `fabric` says whether its nodes have one (None: nobody knows).

    TCP between nodes is a finding unless it is known that there is no fabric, and ends a run as
    failed where there is one. TCP within a node always is a finding.
    """
    ailments = [
        Ailment(hit.symptom, _verdict(hit.symptom, fabric), hit.count, hit.ranks, hit.lines)
        for hit in reading.hits
    ]
    ailments += _of_lanes(reading, fabric, {one.symptom.id for one in ailments})
    order = list(Verdict)
    ailments.sort(key=lambda one: -order.index(one.verdict))
    worst = max((one.verdict for one in ailments), key=order.index, default=Verdict.PASS)
    return Diagnosis(worst, tuple(ailments), reading.lanes, reading.lines, reading.bytes)


def _verdict(known: Symptom, fabric: bool | None) -> Verdict:
    if known.effect is Effect.SLOW and fabric:
        return Verdict.FAIL
    return _VERDICTS[known.effect]


def _of_lanes(reading: Reading, fabric: bool | None, known: set[str]) -> Iterator[Ailment]:
    for id_, where in (("ucx-silent-tcp", "intra-node"), ("tcp-lane", "inter-node")):
        bad = [(line, n) for lane, line, n in reading.lanes if lane.tcp and lane.where == where]
        if not bad or id_ in known or (where == "inter-node" and fabric is False):
            continue
        found = symptom(id_)
        ranks = tuple(sorted({line.rank for line, _ in bad if line.rank is not None}))
        lines = tuple(line for line, _ in bad[:3])
        yield Ailment(found, _verdict(found, fabric), sum(n for _, n in bad), ranks, lines)


def silent_fault(diagnosis: Diagnosis) -> Ailment | None:
    """What makes a run that ended with exit status 0 a failed one; None where nothing does."""
    for one in diagnosis.ailments:
        wrong = one.symptom.effect is Effect.WRONG
        if wrong or (one.symptom.effect is Effect.SLOW and one.verdict is Verdict.FAIL):
            return one
    return None


def loud_fault(diagnosis: Diagnosis) -> Ailment | None:
    """What most likely ended a run that failed: the first symptom that stops one, else the first
    that makes it wrong."""
    for effect in (Effect.STOPS, Effect.WRONG, Effect.SLOW):
        for one in diagnosis.ailments:
            if one.symptom.effect is effect:
                return one
    return None
