"""The launch line and the settings of each kind of site and image, whole."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace

import pytest

from imagefactory.launch import ImageSide, Launch, SiteSide, Verdict, make_launch_line, preflight
from imagefactory.launch.launch_line import LaunchLine
from imagefactory.site import Access, Launcher, Scheduler, Site, shell_lines
from tests.conftest import Golden
from tests.unit.launch.samples import DEBIAN, NEST, OPEN_MPI_5, PARASTATION, PSSLURM, SLURM

UCX = replace(OPEN_MPI_5, ucx="1.16.0")
OLD_SLURM = replace(
    SLURM, pmix="4.2.2", gds=("ds12", "ds21", "hash"), security=("munge", "native"), slurm="22.05.8"
)


def site(kind: str, sharens: bool = True) -> Site:
    launchers = {
        "slurm": Launcher("srun", "pmix", sharens),
        "pspmix": Launcher("srun", "pspmix", sharens),
        "here": Launcher("mpirun"),
    }
    here = kind == "here"
    return Site(
        name=kind, description="", apptainer="apptainer", launcher=launchers[kind],
        access=Access("local") if here else Access("ssh", "login.example.org"),
        scheduler=Scheduler("none" if here else "slurm"), store="/shared/store",
        work="/shared/runs",
    )  # fmt: skip


def line(image: ImageSide, place: SiteSide, kind: str, clean: bool = False) -> LaunchLine:
    return make_launch_line(
        image, site(kind), place, "/shared/store/sha256-0.sif", ["python3", "start.py"],
        ranks=4, nodes=1 if kind == "here" else 2, threads=2, binds=["/shared/runs/r1"],
        folder="/shared/runs/r1", clean=clean,
    )  # fmt: skip


FABRIC = replace(PSSLURM, fabric=("mlx5_0",))
PRRTE = replace(SLURM, launcher="prrte")
NOTHING = SiteSide(launcher="slurm")
CASES = {
    "here": (NEST, SiteSide(launcher="own"), "here"),
    "slurm-nest": (NEST, SLURM, "slurm"),
    "slurm-not-probed": (NEST, NOTHING, "slurm"),
    "slurm-setuid": (UCX, replace(SLURM, setuid=True), "slurm"),
    "slurm-22-debian": (DEBIAN, OLD_SLURM, "slurm"),
    "slurm-hidden-tmpdir": (OPEN_MPI_5, replace(SLURM, server_tmpdir_seen=False), "slurm"),
    "pspmix-nest": (NEST, PSSLURM, "pspmix"),
    "pspmix-debian": (DEBIAN, PSSLURM, "pspmix"),
    "pspmix-open-mpi-5": (OPEN_MPI_5, PSSLURM, "pspmix"),
    "pspmix-ucx": (UCX, FABRIC, "pspmix"),
    "pspmix-ucx-no-fabric": (UCX, PSSLURM, "pspmix"),
    "pspmix-psmpi": (PARASTATION, PSSLURM, "pspmix"),
    "pspmix-not-probed": (OPEN_MPI_5, SiteSide(launcher="psslurm"), "pspmix"),
    "gpu": (replace(NEST, cuda="12.4"), replace(SLURM, gpus=("nvidia0",)), "slurm"),
}


@pytest.mark.parametrize("name", CASES)
def test_launch_line(name: str, golden: Golden) -> None:
    made = line(*CASES[name])
    text = [f"# {made.launch.sharing}: {made.reason}", *shell_lines(made.settings)]
    golden.check(
        f"launch/line-{name}.txt", "\n".join([*text, shlex.join(made.argv), *made.after]) + "\n"
    )


@pytest.mark.parametrize("name", CASES)
def test_our_own_line_never_fails_its_own_rules(name: str) -> None:
    image, place, kind = CASES[name]
    result = preflight(image, place, line(image, place, kind).launch)
    assert not result.of(Verdict.FAIL)
    if place.pmix is not None:
        assert result.verdict is Verdict.PASS


def test_a_line_typed_by_hand_would_have_failed() -> None:
    assert preflight(OPEN_MPI_5, PSSLURM, Launch("pspmix", "sharens")).verdict is Verdict.FAIL


@pytest.mark.parametrize("place", [PRRTE, replace(PSSLURM, launcher="psmgmt")])
def test_open_mpi_4_is_told_who_started_it(place: SiteSide) -> None:
    """Measured under both: N singletons with exit status 0."""
    assert preflight(NEST, place, Launch("pmix")).of(Verdict.FAIL)[0].rule == "open-mpi-4-direct"
    made = make_launch_line(NEST, site("slurm"), place, "x.sif", ["true"], ranks=2)
    assert made.launch.settings["OMPI_MCA_schizo"] == "ompi"
    assert not preflight(NEST, place, made.launch).of(Verdict.FAIL)


def test_clean_hands_the_launcher_variables_on(golden: Golden) -> None:
    made = line(NEST, SLURM, "slurm", clean=True)
    assert "--cleanenv" in made.argv
    assert preflight(NEST, SLURM, made.launch).verdict is Verdict.PASS
    golden.check("launch/line-clean.txt", shlex.join(made.argv) + "\n")


def test_the_record_of_the_site_wins() -> None:
    own = replace(site("pspmix"), environment=(("PMIX_MCA_gds", "shmem2"),))
    made = make_launch_line(OPEN_MPI_5, own, PSSLURM, "x.sif", ["true"], ranks=2)
    assert made.launch.settings["PMIX_MCA_gds"] == "shmem2"
    assert preflight(OPEN_MPI_5, PSSLURM, made.launch).verdict is Verdict.FAIL


@pytest.mark.parametrize("name", CASES)
def test_every_decision_has_a_reason_and_a_source(name: str) -> None:
    made = line(*CASES[name])
    assert made.reason
    assert all(one.why and one.source for one in made.settings)


def test_nothing_hides_the_server() -> None:
    hiding = {"-e", "--contain", "-c", "--containall", "-C", "--no-mount", "--net", "--cleanenv"}
    for case in CASES.values():
        argv = line(*case).argv
        assert not hiding & set(argv[argv.index("apptainer") :])


def test_no_program_is_started_to_make_a_line() -> None:
    assert subprocess.Popen.__init__.__qualname__.endswith("refuse")  # the seal of conftest
    assert line(NEST, SLURM, "slurm").argv[0] == "srun"
