"""The file of a run's merged spikes: NumPy's npz with `step`, `neuron` and `about`.

It is read in pieces, so that a run need not fit into memory; `load_spikes` puts them together.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from imagefactory.base.errors import Fault, NoVerdict
from imagefactory.base.files import whole_file
from imagefactory.base.values import Digest
from imagefactory.model.spikes import (
    ARRAYS,
    Integers,
    Population,
    SpikeChecker,
    Spikes,
    about_spikes,
    read_spikes,
)

__all__ = [
    "Population",
    "SpikeFile",
    "Spikes",
    "load_spikes",
    "open_spikes",
    "read_spikes",
    "write_spikes",
]

PIECE = 1 << 20  # spikes
LONGEST_ABOUT = 1 << 20  # bytes


@dataclass(frozen=True)
class SpikeFile:
    """A file of spikes whose form was checked; the spikes themselves are checked as they are read.

    `count` is how many there are.
    """

    path: Path
    dt_ms: float
    duration_ms: float
    populations: tuple[Population, ...]
    count: int

    @property
    def size(self) -> int:
        """How many neurons were recorded."""
        return sum(population.size for population in self.populations)

    def pieces(self, size: int = PIECE) -> Iterator[tuple[Integers, Integers]]:
        """Neurons and steps, `size` spikes at a time, in canonical order.

        Raises NoVerdict with every fault after the last piece, at once where the file is damaged.
        """
        checker = SpikeChecker(self.dt_ms, self.duration_ms, self.size)
        with _opened(self.path) as archive, ExitStack() as stack:
            streams = [stack.enter_context(_open_array(archive, name)) for name in ARRAYS]
            for begin in range(0, self.count, size):
                length = min(size, self.count - begin)
                neuron, step = (_read(stream, length) for stream in streams)
                checker.add(neuron, step)
                yield neuron, step
        faults = list(checker.faults(str(self.path)))
        if faults:
            raise NoVerdict.from_faults(faults)

    def read_digest(self) -> Digest:
        """The digest of the spikes, as Spikes has it: it reads the whole file."""
        empty = np.zeros(0, np.int64)
        about = about_spikes(Spikes(empty, empty, self.dt_ms, self.duration_ms, self.populations))
        hasher = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        with _opened(self.path) as archive:
            for name in ("step", "neuron"):
                with _open_array(archive, name) as stream:
                    for begin in range(0, self.count, PIECE):
                        piece = _read(stream, min(PIECE, self.count - begin))
                        hasher.update(piece.astype("<i8", copy=False).tobytes())
        return Digest(f"sha256:{hasher.hexdigest()}")


def open_spikes(path: Path) -> SpikeFile:
    """Look at a file that write_spikes wrote; raises NoVerdict with every fault of its form."""
    names = (*ARRAYS, "about")
    with _opened(path) as archive:
        missing = [name for name in names if f"{name}.npy" not in archive.namelist()]
        if missing:
            raise NoVerdict(f"the file has no array {', '.join(missing)}", where=str(path))
        headers = {}
        for name in names:
            with archive.open(f"{name}.npy") as stream:
                headers[name] = _read_header(stream)
                text = stream.read(LONGEST_ABOUT) if name == "about" else b""
    faults = [
        Fault(f"{name} is {kind} with {len(shape)} axes, not int64 with 1", str(path))
        for name, (shape, kind) in headers.items()
        if name in ARRAYS and (kind != np.dtype(np.int64) or len(shape) != 1)
    ]
    if headers["neuron"][0] != headers["step"][0]:
        faults.append(Fault("neuron and step are not of the same length", str(path)))
    if faults:
        raise NoVerdict.from_faults(faults)
    return _described(path, text, headers["step"][0][0])


def load_spikes(path: Path) -> Spikes:
    """Read the whole of what write_spikes wrote; raises NoVerdict with every fault of the file."""
    file = open_spikes(path)
    pieces = list(file.pieces())
    neuron, step = (
        np.concatenate([np.zeros(0, np.int64), *(piece[place] for piece in pieces)])
        for place in (0, 1)
    )
    return Spikes(neuron, step, file.dt_ms, file.duration_ms, file.populations)


def write_spikes(spikes: Spikes, path: Path) -> None:
    """Write the merged spikes, whole or not at all."""
    about = np.frombuffer(json.dumps(about_spikes(spikes)).encode(), dtype=np.uint8)
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, neuron=spikes.neuron, step=spikes.step, about=about)


def _described(path: Path, text: bytes, count: int) -> SpikeFile:
    try:
        about = json.loads(text)
        populations = tuple(Population(**entry) for entry in about["populations"])
        dt, duration = float(about["dt_ms"]), float(about["duration_ms"])
        if not dt > 0:
            raise ValueError("its time step is not above 0")
    except (ValueError, KeyError, TypeError) as err:
        raise NoVerdict(
            f"the file does not say what its spikes belong to ({err})",
            where=str(path),
            fix="fetch or run it again",
        ) from None
    return SpikeFile(path, dt, duration, populations, count)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The file as an archive; whatever is damaged in it is one NoVerdict."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except FileNotFoundError:
        raise NoVerdict("the spikes are missing", where=str(path), fix="fetch them again") from None
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as err:
        raise NoVerdict(
            f"the file is cut or damaged ({type(err).__name__})",
            where=str(path),
            fix="fetch it again",
        ) from None


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type of an array in NumPy's format; the stream stands at its first byte then."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, kind = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, _, kind = np.lib.format.read_array_header_2_0(stream)
    return shape, kind


@contextmanager
def _open_array(archive: zipfile.ZipFile, name: str) -> Iterator[IO[bytes]]:
    with archive.open(f"{name}.npy") as stream:
        _read_header(stream)
        yield stream


def _read(stream: IO[bytes], count: int) -> Integers:
    data = stream.read(8 * count)
    if len(data) < 8 * count:
        raise EOFError
    return np.frombuffer(data, dtype=np.int64)
