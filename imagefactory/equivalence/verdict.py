"""The verdict on two runs: gate on provenance, then every spike, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import Fault, NoVerdict
from imagefactory.equivalence.provenance import (
    Row,
    find_gate_faults,
    list_facts,
    show,
)

if TYPE_CHECKING:
    from imagefactory.equivalence.bitwise import Counts, Divergence
    from imagefactory.model import Spikes
    from imagefactory.run import RunRecord


class Verdict(StrEnum):
    """What can be said of two runs."""

    IDENTICAL = "IDENTICAL"
    DIFFERENT = "DIFFERENT"
    INVALID = "INVALID"


EXIT_CODES = {Verdict.IDENTICAL: 0, Verdict.DIFFERENT: 3, Verdict.INVALID: 9}
SHOWN_CAUSES = 8


@dataclass(frozen=True)
class Comparison:
    """Two runs and what came of comparing them.

    `faults` say why there is no verdict; `divergence` and `counts` are there unless INVALID (and
    `divergence` only if DIFFERENT); `hints` are likely causes, most likely first.
    """

    verdict: Verdict
    a: RunRecord
    b: RunRecord
    rows: tuple[Row, ...]
    faults: tuple[Fault, ...] = ()
    counts: Counts | None = None
    divergence: Divergence | None = None
    hints: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """The command's exit status for this verdict."""
        return EXIT_CODES[self.verdict]

    def document(self) -> dict[str, Any]:
        """The comparison as JSON can hold it."""
        return {
            "verdict": str(self.verdict),
            "a": self.a.id,
            "b": self.b.id,
            "faults": [asdict(fault) for fault in self.faults],
            "counts": asdict(self.counts) if self.counts else None,
            "divergence": asdict(self.divergence) if self.divergence else None,
            "hints": list(self.hints),
            "provenance": [asdict(row) | {"differs": row.differs} for row in self.rows],
        }


def compare(a: RunRecord, b: RunRecord) -> Comparison:
    """Compare two runs; never raises for what is wrong with a run, that is INVALID."""
    from imagefactory.equivalence.bitwise import count, find_divergence

    rows = list_facts(a, b)
    faults = find_gate_faults(a, b)
    found = [_load(record, faults) for record in (a, b)] if a.id != b.id else []
    sides = [spikes for spikes in found if spikes is not None]
    if len(sides) == 2:
        faults += _find_shape_faults(sides[0], sides[1], (a, b))
    if faults or len(sides) < 2:
        return Comparison(Verdict.INVALID, a, b, rows, tuple(faults))
    divergence = find_divergence(sides[0], sides[1], (a.id, b.id))
    verdict = Verdict.DIFFERENT if divergence else Verdict.IDENTICAL
    hints = tuple(_hint_at_causes(rows) if divergence else _remarks(rows))
    counts = count(sides[0], sides[1])
    return Comparison(verdict, a, b, rows, (), counts, divergence, hints)


def explain(comparison: Comparison) -> str:
    """The verdict as people read it on a terminal."""
    return "\n".join(_lines(comparison))


def headline(comparison: Comparison) -> str:
    """The verdict in one sentence."""
    a, b = comparison.a.id, comparison.b.id
    return {
        Verdict.IDENTICAL: f"{a} and {b} computed the same spikes, bit for bit",
        Verdict.DIFFERENT: f"{a} and {b} did not compute the same spikes",
        Verdict.INVALID: f"{a} and {b} cannot be compared",
    }[comparison.verdict]


def describe_divergence(divergence: Divergence) -> str:
    """Where two runs part, in one sentence."""
    return (
        f"{divergence.time_ms:g} ms, {divergence.population} neuron {divergence.index} "
        f"(number {divergence.neuron} of all): only {divergence.only_in} has a spike"
    )


def describe_counts(counts: Counts) -> tuple[str, str]:
    """Spikes and neurons in one sentence each."""
    return (
        f"{counts.spikes_a} and {counts.spikes_b}, {counts.shared} shared",
        f"{counts.neurons_that_differ} of {counts.neurons} differ",
    )


def _lines(comparison: Comparison) -> Iterator[str]:
    yield f"{comparison.verdict}: {headline(comparison)}"
    for fault in comparison.faults:
        place = f"{fault.where}: " if fault.where else ""
        yield f"  - {place}{fault.what}"
        if fault.fix:
            yield f"      fix: {fault.fix}"
    if comparison.divergence:
        yield f"  first divergence  {describe_divergence(comparison.divergence)}"
    if comparison.counts:
        spikes, neurons = describe_counts(comparison.counts)
        yield f"  spikes            {spikes}"
        yield f"  neurons           {neurons}"
    if comparison.hints:
        yield "  likely causes" if comparison.divergence else "  remarks"
        yield from (f"    - {hint}" for hint in comparison.hints)


def _load(record: RunRecord, faults: list[Fault]) -> Spikes | None:
    """The spikes of a run, or None and the reason among the faults."""
    from imagefactory.model import load_spikes

    if not record.spikes or not record.spikes.get("file"):
        return None
    path = record.folder / str(record.spikes["file"])
    try:
        spikes = load_spikes(path)
    except NoVerdict as err:
        faults += err.faults
        return None
    if str(spikes.digest) != str(record.spikes.get("digest")):
        faults.append(
            Fault(
                "the spikes were altered: their digest is not the one in the record",
                str(path),
                "fetch them again, or run it again",
            )
        )
        return None
    if not len(spikes):
        faults.append(
            Fault("the run has no spike at all; silence proves nothing", record.id, "run it longer")
        )
    return spikes


def _find_shape_faults(a: Spikes, b: Spikes, records: tuple[RunRecord, RunRecord]) -> list[Fault]:
    where = f"{records[0].id}, {records[1].id}"
    faults = []
    if a.populations != b.populations:
        sizes = [", ".join(f"{p.name} {p.size}" for p in side.populations) for side in (a, b)]
        faults.append(Fault(f"unequal populations: {sizes[0]} and {sizes[1]}", where))
    for record, spikes in zip(records, (a, b), strict=True):
        told = (record.parameters.get("dt_ms"), record.parameters.get("duration_ms"))
        if None not in told and told != (spikes.dt_ms, spikes.duration_ms):
            faults.append(
                Fault("the spikes have another time step or duration than the record", record.id)
            )
    return faults


# What may explain unequal spikes of equal seed, step and virtual processes; most likely first.
CAUSES = {
    "the parameters differ": ("parameters.",),
    "the guard against wrong delivery differs": ("network.use_compressed_spikes",),
    "the software differs": ("versions.",),
    "the images differ": ("image.sif",),
    "the libm or the CPU differs, and with them perhaps the last bit of exp and log": (
        "machine.libm",
        "machine.cpu",
    ),
}


def _hint_at_causes(rows: tuple[Row, ...]) -> list[str]:
    differing = [row for row in rows if row.differs]
    hints = []
    for text, names in CAUSES.items():
        chosen = [row for row in differing if row.name.startswith(names)]
        if chosen:
            hints.append(f"{text}: {_pairs(chosen)}")
    if not hints:
        hints.append(
            "no parameter, software or hardware in the records explains it: run both again"
        )
    return [*hints, _about_networks(rows)]


def _about_networks(rows: tuple[Row, ...]) -> str:
    if any(row.name == "network.digest" and row.differs for row in rows):
        return "the networks differ in connections, weights or delays (network digest)"
    return "the networks are equal, bit for bit (network digest): it arose in the simulation"


def _remarks(rows: tuple[Row, ...]) -> list[str]:
    differing = [row for row in rows if row.differs]
    remarks = []
    if any(row.name == "network.digest" for row in differing):
        remarks.append("the network digests differ although all spikes are equal")
    parameters = [row for row in differing if row.name.startswith("parameters.")]
    if parameters:
        remarks.append(f"the parameters differ: {_pairs(parameters)}")
    return remarks


def _pairs(rows: list[Row]) -> str:
    said = [
        f"{row.name.partition('.')[2]} {show(row.a)} and {show(row.b)}"
        for row in rows[:SHOWN_CAUSES]
    ]
    more = len(rows) - SHOWN_CAUSES
    return "; ".join([*said, f"and {more} more"] if more > 0 else said)
