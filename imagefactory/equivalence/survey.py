"""A look through the spikes of a run: are they those of the record, and of the whole run?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imagefactory.base.errors import Fault, NoVerdict

if TYPE_CHECKING:
    from imagefactory.base.values import Digest
    from imagefactory.model import SpikeFile
    from imagefactory.run import RunRecord

# A silent end is a cut one where this many spikes were to be expected in it, and it is this many
# times as long as any other pause.
EXPECTED_SPIKES = 30
LONGER = 5
LEAST_PAUSE_MS = 20.0


@dataclass(frozen=True)
class Surveyed:
    """A run whose spikes are good: the file to read them from, and their digest."""

    record: RunRecord
    file: SpikeFile
    digest: Digest


def survey(record: RunRecord, faults: list[Fault]) -> Surveyed | None:
    """Look through the spikes of a run; None and the reasons among the faults if they are bad."""
    from imagefactory.model import open_spikes

    if not record.spikes or not record.spikes.get("file"):
        return None
    path = record.folder / str(record.spikes["file"])
    try:
        file = open_spikes(path)
        pauses = _Pauses()
        for _, step in file.pieces():
            pauses.add(step)
        digest = file.read_digest()
    except NoVerdict as err:
        faults += err.faults
        return None
    if str(digest) != str(record.spikes.get("digest")):
        faults.append(
            Fault(
                "the spikes were altered: their digest is not the one in the record",
                str(path),
                "fetch them again, or run it again",
            )
        )
        return None
    faults += _find_faults(record, file, pauses)
    return Surveyed(record, file, digest)


def find_shape_faults(a: Sequence[Surveyed], b: Sequence[Surveyed]) -> Iterator[Fault]:
    """Runs whose populations are not those of the first one."""
    first = a[0]
    for each in (*a[1:], *b):
        if each.file.populations != first.file.populations:
            sizes = [
                ", ".join(f"{p.name} {p.size}" for p in one.file.populations)
                for one in (first, each)
            ]
            where = f"{first.record.id}, {each.record.id}"
            yield Fault(f"unequal populations: {sizes[0]} and {sizes[1]}", where)


def find_copies(side: Sequence[Surveyed]) -> Iterator[Fault]:
    """Runs of one side with equal spikes: as a sample they are one."""
    seen: dict[str, str] = {}
    for each in side:
        first = seen.setdefault(str(each.digest), each.record.id)
        if first != each.record.id:
            yield Fault(
                "two runs of one side have equal spikes: a repeat is no replicate",
                f"{first}, {each.record.id}",
                "give runs of other seeds, whose input is not frozen",
            )


class _Pauses:
    """The longest pause between spikes, and the last one."""

    def __init__(self) -> None:
        self.count = self.longest = self.last = 0

    def add(self, step: np.ndarray[tuple[int], np.dtype[np.int64]]) -> None:
        """Take in a piece of steps in order."""
        if not len(step):
            return
        pauses = np.diff(step, prepend=self.last if self.count else step[0])
        self.longest = max(self.longest, int(pauses.max()))
        self.last = int(step[-1])
        self.count += len(step)

    def is_cut(self, steps: int, dt_ms: float) -> bool:
        """True where the end of a run of `steps` is silent against all expectation."""
        rest = steps - self.last
        expected = self.count * rest / max(1, self.last)
        far = rest > LONGER * self.longest and rest * dt_ms > LEAST_PAUSE_MS
        return far and expected > EXPECTED_SPIKES


def _find_faults(record: RunRecord, file: SpikeFile, pauses: _Pauses) -> Iterator[Fault]:
    told = (record.parameters.get("dt_ms"), record.parameters.get("duration_ms"))
    if None not in told and told != (file.dt_ms, file.duration_ms):
        yield Fault("the spikes have another time step or duration than the record", record.id)
    if not file.count:
        yield Fault(
            "the run has no spike at all; silence proves nothing", record.id, "run it longer"
        )
    elif pauses.is_cut(round(file.duration_ms / file.dt_ms), file.dt_ms):
        yield Fault(
            f"the spikes end at {pauses.last * file.dt_ms:g} of {file.duration_ms:g} ms: the file "
            "is cut, or the network died",
            record.id,
            "fetch it again, or run it again",
        )
