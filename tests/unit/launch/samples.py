"""Images and sites for the tests: the ones that were measured, by name."""

from __future__ import annotations

from dataclasses import replace

from imagefactory.launch import ImageSide, SiteSide

# recipes/nest: Debian 12's Open MPI, with the image's own parameter files.
NEST = ImageSide(
    architecture="amd64", size=190_640_128, mpi="Open MPI", mpi_version="4.1.4",
    protocols=("pmix",), pmix="4.2.2", bfrops=("v20", "v21", "v3", "v4", "v41"),
    gds=("ds12", "ds21", "hash"), psec=("munge", "native"), gds_default="hash",
    psec_default="native", cma_default="none", ucx="1.13.1", ofi="1.17.0", ofi_providers=(),
    verbs=("mlx5",), hwloc="2.9.0", glibc="2.36", libstdcxx="3.4.30", python="3.11.2",
    cpu_target="x86-64", cpu_source="label", cuda="",
)  # fmt: skip
# The same libraries without the parameters that our recipe adds.
DEBIAN = replace(NEST, gds_default="", psec_default="", cma_default="")
OPEN_MPI_5 = replace(DEBIAN, mpi_version="5.0.7", pmix="5.0.7", gds=("hash", "shmem2"))
MPICH = replace(
    DEBIAN, mpi="MPICH", mpi_version="4.0.2", protocols=("pmi1", "pmi2"), pmix="", gds=(), psec=(),
    gds_default="", psec_default="", cma_default="",
)  # fmt: skip
PARASTATION = replace(
    DEBIAN, mpi="ParaStationMPI", mpi_version="5.14.0", protocols=("pmi1", "pmix"), pmix="5.0.10",
    gds=("hash", "shmem2"), cma_default="",
)  # fmt: skip

# A site where nothing is wrong and everything is known: Slurm 24.11 with PMIx 5.
SLURM = SiteSide(
    launcher="slurm", plugins=("cray_shasta", "none", "pmi2", "pmix", "pmix_v5"), slurm="24.11.5",
    pmix="5.0.7", uris=("URI2", "URI21", "URI3", "URI4", "URI41"), gds=("hash", "shmem2"),
    security=("native",), server_tmpdir="/var/spool/slurmd/pmix.5.0", server_tmpdir_seen=True,
    one_parent=True, apptainer="1.5.3", setuid=False, user_namespaces=True, fuse=True, cma=True,
    ptrace_scope="0", shm_writable=True, munge_socket=True, memlock="unlimited", fabric=(),
    gpus=(), kernel="6.12.1", glibc="2.41", cpu="x86_64_v3", architecture="amd64",
    free=10_000_000_000,
)  # fmt: skip
# psmgmt 6.8.1 as section 10 of facts/pmix-containers.md has it.
PSSLURM = replace(
    SLURM, launcher="psslurm", plugins=("none", "pmi2", "pmix", "pspmix"), one_parent=False,
    server_tmpdir="/tmp/pspmix_1000",
)  # fmt: skip
PSMGMT = replace(PSSLURM, launcher="psmgmt", plugins=None, slurm=None)
