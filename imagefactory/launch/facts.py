"""What decides whether an image starts at a site: the image's side, the site's, the launch line's.

In all three None means that nobody could find out; an empty text or tuple, that it is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from imagefactory.launch.conditions import Value

SUITE = ("image", "site", "launch")


@dataclass(frozen=True)
class ImageSide:
    """What was read in a SIF, without running it. Versions are those of the files themselves."""

    architecture: str | None = None  # amd64, arm64, ... as the SIF's header has it
    size: int | None = None  # bytes
    mpi: str | None = None  # Open MPI, MPICH, ParaStationMPI, Intel MPI
    mpi_version: str | None = None
    protocols: tuple[str, ...] | None = None  # what its MPI may be started by: pmix, pmi1, pmi2
    pmix: str | None = None  # the client's version
    bfrops: tuple[str, ...] | None = None
    gds: tuple[str, ...] | None = None
    psec: tuple[str, ...] | None = None
    gds_default: str | None = None  # as its parameter files set it
    psec_default: str | None = None
    cma_default: str | None = None  # Open MPI's btl_vader_single_copy_mechanism
    ucx: str | None = None
    ofi: str | None = None
    ofi_providers: tuple[str, ...] | None = None
    verbs: tuple[str, ...] | None = None  # providers of rdma-core
    hwloc: str | None = None
    glibc: str | None = None
    libstdcxx: str | None = None
    python: str | None = None
    cpu_target: str | None = None
    cpu_source: str | None = None
    cuda: str | None = None

    def lines(self) -> list[str]:
        """For people."""
        return [f"{one.name:16} {text_of(getattr(self, one.name))}" for one in fields(self)]


@dataclass(frozen=True)
class SiteSide:
    """What a probe, or the site's record, says."""

    # What starts ranks there: slurm (slurmstepd), psslurm, psmgmt (its own mpiexec), prrte, orte,
    # own (the image's mpirun inside one container).
    launcher: str | None = None
    plugins: tuple[str, ...] | None = None  # srun --mpi=list
    slurm: str | None = None
    pmix: str | None = None  # the server's version, or its series
    uris: tuple[str, ...] | None = None
    gds: tuple[str, ...] | None = None
    security: tuple[str, ...] | None = None
    server_tmpdir: str | None = None
    server_tmpdir_seen: bool | None = None  # inside a container that is started as a run's is
    one_parent: bool | None = None  # the ranks of a node have one parent process
    apptainer: str | None = None
    setuid: bool | None = None
    user_namespaces: bool | None = None
    fuse: bool | None = None
    cma: bool | None = None  # between two ranks without a container
    ptrace_scope: str | None = None
    shm_writable: bool | None = None
    munge_socket: bool | None = None
    memlock: str | None = None  # unlimited, or KiB
    fabric: tuple[str, ...] | None = None
    gpus: tuple[str, ...] | None = None
    kernel: str | None = None
    glibc: str | None = None
    cpu: str | None = None
    architecture: str | None = None
    free: int | None = None  # bytes in the store's file system


@dataclass(frozen=True)
class Launch:
    """How ranks will be started. `plugin` is srun's word; `options` are Apptainer's.

    `sharing` is what puts the ranks of a node into one namespace: sharens, instance, container
    (the image's own mpirun), or none.
    """

    plugin: str = ""
    sharing: str = "none"
    options: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    binds: tuple[str, ...] = ()
    ranks: int = 2
    nodes: int = 1
    # Whether Slurm's variables reach the ranks; None: as the launcher does it.
    slurm_marks: bool | None = None
    # --cleanenv, but with the launcher's variables handed on, rank by rank.
    passes: bool = False


def text_of(value: Value) -> str:
    """A fact for people."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return str(value) or "none"


def flatten(image: ImageSide, site: SiteSide) -> dict[str, Value]:
    """Both sides under the names that rules use: `image.pmix`, `site.pmix`."""
    found: dict[str, Value] = {}
    for room, side in (("image", image), ("site", site)):
        for one in fields(side):
            found[f"{room}.{one.name}"] = getattr(side, one.name)
    return found
