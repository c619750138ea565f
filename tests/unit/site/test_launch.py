"""The launch line and the environment of each kind of site, whole."""

from __future__ import annotations

import shlex

import pytest

from imagefactory.site import (
    Access,
    Launcher,
    Scheduler,
    Site,
    decide_environment,
    launch_argv,
    shell_lines,
)
from tests.conftest import Golden

SSH, SLURM = Access("ssh", "login.example.org"), Scheduler("slurm")
KINDS = {
    "pmix": Launcher("srun", "pmix", True),
    "pspmix": Launcher("srun", "pspmix", True),
    "setuid": Launcher("srun", "pmix_v4", False),
    "here": Launcher("mpirun"),
}


def site(kind: str) -> Site:
    launcher = KINDS[kind]
    here = launcher.kind == "mpirun"
    return Site(
        name=kind,
        description="",
        access=Access("local") if here else SSH,
        apptainer="apptainer",
        scheduler=Scheduler("none") if here else SLURM,
        launcher=launcher,
        store="/shared/store",
        work="/shared/runs",
        environment=(("UCX_TLS", "sysv self"),) if kind == "setuid" else (),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_launch_line(kind: str, golden: Golden) -> None:
    argv = launch_argv(
        site(kind),
        "/shared/store/sha256-0.sif",
        ["python3", "inside/start.py", "parameters.json"],
        ranks=4,
        nodes=1 if kind == "here" else 2,
        threads=2,
        binds=["/shared/runs/r1"],
        folder="/shared/runs/r1",
    )
    golden.check(f"site/launch-{kind}.txt", shlex.join(argv) + "\n")


@pytest.mark.parametrize("kind", KINDS)
def test_environment(kind: str, golden: Golden) -> None:
    lines = shell_lines(decide_environment(site(kind), threads=2))
    golden.check(f"site/environment-{kind}.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_hides_the_pmix_server(kind: str) -> None:
    argv = launch_argv(site(kind), "x.sif", ["true"], ranks=2)
    hiding = {"--cleanenv", "-e", "--contain", "-c", "--containall", "-C", "--no-mount", "--net"}
    assert not hiding & set(argv)
    names = {setting.name for setting in decide_environment(site(kind), 1)}
    assert not [name for name in names if name.startswith("PMIX_MCA_")], "the image sets these"


def test_every_decision_has_a_reason_and_a_source() -> None:
    for kind in KINDS:
        assert all(setting.why and setting.source for setting in decide_environment(site(kind), 1))
