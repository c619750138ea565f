"""Two ranks, one message to and fro: latency and bandwidth, by the MPI library's C functions alone.

Arguments: the MPI library (libmpi.so.40), and a module to import first ("" for none). Only the
standard library of any Python 3 is used. Each rank prints one line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
import time
from typing import Any

MARK = "IMAGEFACTORY-BENCH "
SIZES = (8, 512, 8192, 65536, 1048576, 4194304)
SECONDS = 0.15  # for each size, about


def handles(library: Any) -> tuple[Any, Any, Any]:
    """World, byte and "no status", as this library's ABI has them: Open MPI's, else MPICH's."""
    if hasattr(library, "ompi_mpi_comm_world"):
        world, byte = (
            ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(library, name)))
            for name in ("ompi_mpi_comm_world", "ompi_mpi_byte")
        )
        return world, byte, ctypes.c_void_p(0)
    return ctypes.c_int(0x44000000), ctypes.c_int(0x4C00010D), ctypes.c_void_p(1)


def one_way(library: Any, rank: int, size: int, turns: int) -> float:
    """Seconds of one message of `size` bytes in one direction, the mean of `turns` both ways."""
    world, byte, ignore = handles(library)
    buffer = ctypes.create_string_buffer(size)
    began = time.perf_counter()
    for _ in range(turns):
        for sender in (0, 1):
            if rank == sender:
                library.MPI_Send(buffer, size, byte, 1 - rank, 7, world)
            else:
                library.MPI_Recv(buffer, size, byte, 1 - rank, 7, world, ignore)
    return (time.perf_counter() - began) / turns / 2


def measured(library: Any, rank: int, size: int) -> float:
    """The best of three, each after a warm-up; both ranks take the same number of turns."""
    one_way(library, rank, size, 3)
    # A number of turns that both ranks know without asking: of a slow transport, 0.3 GB/s.
    turns = max(5, min(2000, int(SECONDS / (2e-5 + size / 3e8) / 6)))
    return min(one_way(library, rank, size, turns) for _ in range(3))


def main(path: str, module: str) -> None:
    began = float(os.environ.get("IMAGEFACTORY_BEGAN") or 0.0)
    started = time.time() - began if began else None
    imported = None
    if module:
        before = time.perf_counter()
        try:
            __import__(module)
            imported = time.perf_counter() - before
        except ImportError:
            pass
    library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    before = time.perf_counter()
    if library.MPI_Init(None, None):
        sys.exit("MPI_Init failed")
    init = time.perf_counter() - before
    rank, size = ctypes.c_int(), ctypes.c_int()
    world = handles(library)[0]
    library.MPI_Comm_rank(world, ctypes.byref(rank))
    library.MPI_Comm_size(world, ctypes.byref(size))
    times = {}
    if size.value == 2:
        times = {str(count): measured(library, rank.value, count) for count in SIZES}
    seen = {
        "rank": rank.value, "size": size.value, "host": socket.gethostname(), "start_s": started,
        "import_s": imported, "init_s": init, "one_way_s": times,
    }  # fmt: skip
    sys.stdout.write(f"{MARK}{json.dumps(seen)}\n")
    sys.stdout.flush()
    library.MPI_Finalize()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
