"""Spikes as GDF, the text of NEST's recorders, which Neo reads (neo.io.NestIO).

One spike a line: the neuron's number, a tab, its time in ms. The kept format is npz: whole steps
and populations, which GDF has not; so this is a copy for other tools, and is not read back.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from imagefactory.base.files import whole_file

if TYPE_CHECKING:
    from imagefactory.model.spike_file import SpikeFile

PIECE = 1 << 16  # spikes of which the text is held at once


def write_gdf(spikes: SpikeFile, path: Path) -> None:
    """Write all spikes, in canonical order, piece by piece; raises NoVerdict as SpikeFile does."""
    # As many digits as a step has: 0.1 ms is "0.1", not the nearest binary fraction.
    digits = max(0, len(f"{spikes.dt_ms:.9f}".rstrip("0").partition(".")[2]))
    with whole_file(path) as temporary, temporary.open("w", encoding="ascii") as stream:
        for neuron, step in spikes.pieces(PIECE):
            times = step * spikes.dt_ms
            stream.writelines(
                f"{one}\t{time:.{digits}f}\n"
                for one, time in zip(neuron.tolist(), times.tolist(), strict=True)
            )
