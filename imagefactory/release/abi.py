"""Which packages of a lock define a binary interface that others, or a site, must match."""

from __future__ import annotations

from collections.abc import Iterable

from imagefactory.release.lock import LANGUAGES, Node

MPI = frozenset({
    "openmpi", "mpich", "mvapich", "mvapich2", "mvapich-plus", "intel-mpi", "intel-oneapi-mpi",
    "cray-mpich", "psmpi", "parastationmpi", "spectrum-mpi", "hpcx-mpi", "mpt", "fujitsu-mpi",
})  # fmt: skip
# Around MPI; the process's own libraries and language; compilers and what they leave at run time.
OTHERS = frozenset({
    "pmix", "ucx", "prrte", "libfabric", "hwloc", "python", "glibc", "musl", "gcc", "llvm",
    "gcc-runtime", "intel-oneapi-runtime", "intel-oneapi-compilers", "nvhpc", "aocc",
})  # fmt: skip
_VIRTUALS = frozenset({"mpi", "libc", *LANGUAGES})


def interface_names(nodes: Iterable[Node]) -> frozenset[str]:
    """The names that define an interface: the known ones, and what serves as MPI, libc or
    compiler to a node."""
    serving = {
        one.name
        for node in nodes
        for one in node.dependencies
        if one.virtuals and not _VIRTUALS.isdisjoint(one.virtuals)
    }
    return MPI | OTHERS | serving
