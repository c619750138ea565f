"""Every case of facts/pmix-containers.md 10 (a real psmgmt 6.8.1), with its real outcome.

Facts of the site are an emulation's; outcomes are the measured ones. What happened after MPI_Init
(a rank that is killed, an abort) is not the pre-flight's to know.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest

from imagefactory.launch import ImageSide, Launch, SiteSide, Verdict, preflight
from imagefactory.launch.derived import all_facts
from tests.unit.launch.samples import DEBIAN, OPEN_MPI_5, PSMGMT, PSSLURM

TRIPLE = {"SLURM_NODELIST": "n", "SLURM_STEP_ID": "0", "SLURM_JOBID": "1"}
QUIET = {"OMPI_MCA_btl_vader_single_copy_mechanism": "none"}
RIGHT, WRONG = True, False


@dataclass(frozen=True)
class Case:
    """`starts`: whether N ranks came up as one world of N. `rule`: what tells it before."""

    name: str
    image: ImageSide
    site: SiteSide
    starts: bool
    rule: str = ""
    plugin: str = "pmix"
    options: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    sharing: str = "none"
    verdict: str = ""  # PASS where nothing, FAIL where it does not start; WARN is written here


SIF, NATIVE = DEBIAN, OPEN_MPI_5
SRUN = "pspmix"
CASES = [
    # Result 1: Open MPI 4.1.4 under plain `mpiexec --pmix`: silent singletons, exit 0.
    Case("mpiexec-singletons", SIF, PSMGMT, WRONG, "open-mpi-4-direct"),
    Case("mpiexec-slurm-triple", SIF, PSMGMT, RIGHT, settings=TRIPLE),
    Case("mpiexec-flux", SIF, PSMGMT, RIGHT, settings={"FLUX_JOB_ID": "1"}),
    Case("mpiexec-jsm", SIF, PSMGMT, RIGHT, settings={"JSM_JSRUN_PORT": "1"}),
    Case("mpiexec-ess-schizo", SIF, PSMGMT, RIGHT,
         settings={"OMPI_MCA_ess": "pmi", "OMPI_MCA_schizo": "ompi"}),
    Case("mpiexec-ess-alone", SIF, PSMGMT, WRONG, "open-mpi-4-direct",
         settings={"OMPI_MCA_ess": "pmi"}),
    Case("mpiexec-stepid-alone", SIF, PSMGMT, WRONG, "open-mpi-4-direct",
         settings={"SLURM_NODELIST": "n", "SLURM_STEPID": "0", "SLURM_JOBID": "1"}),
    # Result 2: a PMIx 5.0.7 client fails unless it asks for hash; the 4.2.2 client does not.
    Case("pmix-5-mpiexec", NATIVE, PSMGMT, WRONG, "pmix-5-parastation"),
    Case("pmix-5-srun", NATIVE, PSSLURM, WRONG, "pmix-5-parastation", SRUN),
    Case("pmix-5-hash", NATIVE, PSSLURM, RIGHT, plugin=SRUN, settings={"PMIX_MCA_gds": "hash"}),
    Case("pmix-4-srun", SIF, PSSLURM, RIGHT, plugin=SRUN),
    # Result 3: only pspmix gives PMIx under psslurm.
    Case("srun-pmix", SIF, PSSLURM, WRONG, "protocol", "pmix"),
    Case("srun-pmi2", SIF, PSSLURM, WRONG, "protocol", "pmi2"),
    Case("srun-pmix-native", NATIVE, PSSLURM, WRONG, "protocol", "pmix"),
    # The server's folder holds nothing that the 4.2.2 client needs.
    Case("no-mount-tmp", SIF, PSSLURM, RIGHT, plugin=SRUN, options=("--no-mount", "tmp")),
    Case("tmpdir-hidden", SIF, replace(PSSLURM, server_tmpdir_seen=False), RIGHT, plugin=SRUN),
    # --sharens groups nothing, without a warning; an instance does.
    Case("sharens", SIF, PSSLURM, RIGHT, "shared-nothing", SRUN, sharing="sharens",
         verdict="WARN"),
    Case("instance", SIF, PSSLURM, RIGHT, plugin=SRUN, sharing="instance"),
    # Faults.
    Case("cleanenv", SIF, PSSLURM, WRONG, "hidden-variables", SRUN, ("--cleanenv",)),
    Case("cleanenv-mpiexec", SIF, PSMGMT, WRONG, "hidden-variables", options=("--cleanenv",),
         settings=TRIPLE),
    Case("containall", SIF, PSSLURM, WRONG, "hidden-variables", SRUN, ("--containall",)),
    Case("contain", SIF, PSSLURM, RIGHT, "private-memory", SRUN, ("--contain",), verdict="WARN"),
    Case("network-none", SIF, PSMGMT, WRONG, "hidden-network",
         options=("--net", "--network", "none"), settings=TRIPLE),
    Case("psec-munge", SIF, PSSLURM, WRONG, "pmix-security", SRUN,
         settings={"PMIX_MCA_psec": "munge"}),
    Case("gds-ds21", SIF, PSSLURM, WRONG, "pmix-datastore", SRUN,
         settings={"PMIX_MCA_gds": "ds21"}),
    # Without --pmix, or with no PMI type: PMI-1, or nothing.
    Case("mpiexec-pmi1-native", NATIVE, PSMGMT, WRONG, "protocol", ""),
    Case("mpiexec-pmi1-sif", SIF, PSMGMT, WRONG, "protocol", ""),
    Case("mpiexec-pmi1-sif-triple", SIF, PSMGMT, WRONG, "protocol", "", settings=TRIPLE),
    Case("srun-no-type-native", NATIVE, PSSLURM, WRONG, "protocol", ""),
    Case("srun-no-type-sif", SIF, PSSLURM, WRONG, "protocol", "none"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case(case: Case) -> None:
    launch = Launch(case.plugin, case.sharing, case.options, {**QUIET, **case.settings})
    result = preflight(case.image, case.site, launch)
    expected = case.verdict or ("PASS" if case.starts else "FAIL")
    assert str(result.verdict) == expected
    told = {one.rule for one in result.findings if one.verdict is not Verdict.PASS}
    assert (case.rule in told) if case.rule else not told
    assert (result.verdict is not Verdict.FAIL) is case.starts


@pytest.mark.parametrize(
    ("sharing", "split"), [("none", True), ("sharens", True), ("instance", False)]
)
def test_memory_of_another_rank(sharing: str, split: bool) -> None:
    """CMA: `exec` and `exec --sharens` are refused (EPERM), ranks in one instance are not."""
    launch = Launch("pspmix", sharing)
    assert all_facts(DEBIAN, PSSLURM, launch)["launch.split"] is split
    warned = preflight(DEBIAN, PSSLURM, launch).findings
    told = {one.rule for one in warned if one.verdict is Verdict.WARN}
    assert ("open-mpi-4-cma" in told) is split


def test_setuid_apptainer_needs_none_of_it() -> None:
    site = replace(PSSLURM, setuid=True)
    assert all_facts(DEBIAN, site, Launch("pspmix"))["launch.split"] is False
