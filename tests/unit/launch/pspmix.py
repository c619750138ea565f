"""An emulation of what psmgmt 6.8.1 with pspmix exports to a rank; no real psmgmt is here.

Names and shapes are those measured on a real one (facts/pmix-containers.md 10, "Environment of a
rank"); the numbers in them are made up.
"""

from __future__ import annotations

UID = 1000
SLURM = {
    "SLURM_NODELIST": "node1", "SLURM_STEP_ID": "0", "SLURM_JOBID": "77", "SLURM_JOB_ID": "77",
    "SLURM_PROCID": "0",
}  # fmt: skip


def rank_environment(
    rank: int = 0,
    size: int = 2,
    *,
    starter: str = "psmgmt",
    pmi: str = "pmix",
    security: str = "native",
) -> dict[str, str]:
    """One rank's variables. `starter` is psmgmt (its mpiexec) or psslurm (srun); `pmi` is pmix,
    pmi1 or none."""
    found = {
        "PS_JOB_ID": "72", "PS_JOB_RANK": str(rank), "PS_JOB_SIZE": str(size),
        "PS_SESSION_ID": "72", "PSP_SMP_NODE_ID": "0", "PSI_NP_INFOS": "1",
        "PSID_CPU_PINNING": "1", "__PSI_CREATE_MPI_JOB": "1",
    }  # fmt: skip
    if starter == "psslurm":
        found |= SLURM | {"SLURM_PROCID": str(rank)}
        found |= {"PSSLURM_PMI_TYPE": pmi} if pmi != "pmi1" else {}
    if pmi == "pmi1":
        return found | {"PMI_FD": "7", "PMI_RANK": str(rank), "PMI_SIZE": str(size)}
    if pmi == "none":
        return found
    uris = {f"PMIX_SERVER_URI{n}": f"pspmix_{UID}.0;tcp4://127.0.0.1:40123" for n in _URIS}
    return found | uris | {
        "PMIX_NAMESPACE": "pspmix_0x000000000048[0:72]", "PMIX_RANK": str(rank),
        "PMIX_VERSION": "5.0.7a1", "PMIX_HOSTNAME": "node1",
        "PMIX_SERVER_TMPDIR": f"/tmp/pspmix_{UID}", "PMIX_SYSTEM_TMPDIR": "/tmp",
        "PMIX_GDS_MODULE": "shmem2,hash", "PMIX_SECURITY_MODE": security,
        "PMIX_BFROP_BUFFER_TYPE": "PMIX_BFROP_BUFFER_NON_DESC", "PMIX_JOB_SIZE": str(size),
        "PMIX_JOB_NUM_APPS": "1", "PMIX_UNIV_SIZE": str(size), "PMIX_APP_WDIR_0": "/work",
        "PMIX_APP_ARGV_0": "apptainer exec image.sif python3 inside/start.py",
    }  # fmt: skip


_URIS = ("2", "21", "3", "4", "41")
