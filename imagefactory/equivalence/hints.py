"""What may explain that spikes differ, from what the records say. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from imagefactory.equivalence.provenance import SEED, Row, show

SHOWN_CAUSES = 8
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


def hint_at_causes(rows: Sequence[Row]) -> list[str]:
    """Likely causes of unequal spikes, most likely first; never empty."""
    differing = [row for row in rows if row.differs and row.name != SEED]
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


def list_remarks(rows: Sequence[Row]) -> list[str]:
    """What to know of two sides that agree."""
    differing = [row for row in rows if row.differs]
    remarks = []
    if any(row.name == "network.digest" for row in differing):
        remarks.append("the network digests differ although all spikes are equal")
    return remarks + list_parameters(rows)


def list_parameters(rows: Sequence[Row]) -> list[str]:
    """In which parameters, the seed aside, two sides differ."""
    parameters = [
        row
        for row in rows
        if row.differs and row.name.startswith("parameters.") and row.name != SEED
    ]
    return [f"the parameters differ: {_pairs(parameters)}"] if parameters else []


def _about_networks(rows: Sequence[Row]) -> str:
    if any(row.name == "network.digest" and row.differs for row in rows):
        return "the networks differ in connections, weights or delays (network digest)"
    return "the networks are equal, bit for bit (network digest): it arose in the simulation"


def _pairs(rows: Sequence[Row]) -> str:
    said = [
        f"{row.name.partition('.')[2]} {show(row.a)} and {show(row.b)}"
        for row in rows[:SHOWN_CAUSES]
    ]
    more = len(rows) - SHOWN_CAUSES
    return "; ".join([*said, f"and {more} more"] if more > 0 else said)
