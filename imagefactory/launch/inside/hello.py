"""Run in every rank of a trial: start MPI through its C library alone, say rank, size and library,
and what the guard sees.

Argument: the MPI library. Only the standard library of any Python 3 is used; guard.py is beside.
"""

import ctypes
import json
import os
import sys

import guard  # type: ignore[import-not-found, unused-ignore]


def main(path: str) -> None:
    names = {"namespace": "PMIX_NAMESPACE", "server": "PMIX_VERSION"}
    announced = {key: os.environ.get(name) for key, name in names.items()}
    library = ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    world: object
    if hasattr(library, "ompi_mpi_comm_world"):
        symbol = ctypes.c_char.in_dll(library, "ompi_mpi_comm_world")
        world = ctypes.c_void_p(ctypes.addressof(symbol))
    else:
        world = ctypes.c_int(0x44000000)  # MPICH's ABI
    if library.MPI_Init(None, None):
        sys.exit("MPI_Init failed")
    rank, size = ctypes.c_int(), ctypes.c_int()
    library.MPI_Comm_rank(world, ctypes.byref(rank))
    library.MPI_Comm_size(world, ctypes.byref(size))
    library.MPI_Barrier(world)
    name, length = ctypes.create_string_buffer(8192), ctypes.c_int()
    library.MPI_Get_library_version(name, ctypes.byref(length))
    told = " ".join(name.value.decode("utf-8", "replace").split())[:60]
    looked = guard.look(announced, told)
    os.write(
        1, f"IMAGEFACTORY-GUARD {json.dumps(looked)}\n".encode()
    )  # one write: lines stay whole
    print(f"IMAGEFACTORY-HELLO {rank.value} {size.value} {told}", flush=True)
    library.MPI_Finalize()


if __name__ == "__main__":
    main(sys.argv[1])
