"""The shipped rules: well made, silent where all is well, unknown where a fact is withheld."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from imagefactory.base.errors import VerdictAgainst
from imagefactory.launch import (
    ImageSide,
    Launch,
    SiteSide,
    Verdict,
    preflight,
    require,
    shipped_rules,
)
from imagefactory.launch.conditions import conditions_of
from imagefactory.launch.derived import all_facts, cpu_fits
from tests.conftest import Golden
from tests.unit.launch.samples import DEBIAN, MPICH, NEST, OPEN_MPI_5, PARASTATION, SLURM

GOOD = Launch("pmix", "sharens")
MLX = {"fabric": ("mlx5_0",)}
OLD_PMIX = {"mpi": "ParaStationMPI", "mpi_version": "5.12", "pmix": "4.1.2"}


def words(image: ImageSide, site: SiteSide, launch: Launch) -> dict[str, str]:
    """What is not PASS, by rule."""
    found = preflight(image, site, launch).findings
    return {one.rule: str(one.verdict) for one in found if one.verdict is not Verdict.PASS}


def test_every_condition_is_of_known_facts() -> None:
    known = all_facts(ImageSide(), SiteSide(), Launch())
    for rule in shipped_rules():
        for lines in [rule.applies, *(case.lines for case in rule.cases)]:
            for condition in conditions_of(lines):
                assert set(condition.names) <= set(known), f"{rule.id}: {condition}"
                lists = {"has", "lacks"}
                listed = [
                    one.name
                    for side in (ImageSide, SiteSide)
                    for one in fields(side)
                    if "tuple" in str(one.type)
                ]
                if condition.operator in lists:
                    assert condition.name.partition(".")[2] in listed, f"{rule.id}: {condition}"


def test_every_rule_has_an_id_of_its_own_and_a_fix() -> None:
    ids = [rule.id for rule in shipped_rules()]
    assert len(ids) == len(set(ids))
    for rule in shipped_rules():
        assert all(case.fix and case.evidence for case in rule.cases), rule.id


@pytest.mark.parametrize("image", [NEST, PARASTATION], ids=["nest", "psmpi"])
def test_nothing_wrong(image: ImageSide) -> None:
    result = preflight(image, SLURM, GOOD)
    assert result.verdict is Verdict.PASS
    assert not words(image, SLURM, GOOD)


@pytest.mark.parametrize(
    ("rule", "verdict", "image", "site", "launch"),
    [
        ("architecture", "FAIL", {"architecture": "arm64"}, {}, {}),
        ("cpu-target", "FAIL", {"cpu_target": "zen4"}, {}, {}),
        ("cpu-target", "WARN", {"cpu_target": "zen2"}, {"cpu": "skylake_avx512"}, {}),
        ("kernel", "FAIL", {}, {"kernel": "2.6.32"}, {}),
        ("apptainer", "FAIL", {}, {"apptainer": ""}, {}),
        ("apptainer", "FAIL", {}, {"user_namespaces": False}, {}),
        ("apptainer", "FAIL", {}, {"fuse": False}, {}),
        ("apptainer-sharens", "FAIL", {}, {"apptainer": "1.2.5"}, {}),
        ("apptainer-sharens", "FAIL", {}, {"shm_writable": False}, {}),
        ("disk", "FAIL", {}, {"free": 200_000_000}, {}),
        ("plugin", "FAIL", {}, {"plugins": ("none", "pmi2")}, {}),
        ("protocol", "FAIL", {"mpi": "", "protocols": ()}, {}, {}),
        ("protocol", "FAIL", {}, {}, {"plugin": "none"}),
        ("protocol", "FAIL", {}, {}, {"plugin": "pmi2"}),
        ("protocol", "FAIL", {"mpi": "Intel MPI", "protocols": ("pmi1", "pmi2")}, {}, {}),
        ("hidden-variables", "FAIL", {}, {}, {"options": ("--cleanenv",)}),
        ("hidden-network", "FAIL", {}, {}, {"options": ("--net",)}),
        ("hidden-processes", "FAIL", {}, {}, {"options": ("--pid",)}),
        ("hidden-tmp", "FAIL", {}, {}, {"options": ("--no-mount", "tmp")}),
        ("private-memory", "WARN", {}, {}, {"options": ("--contain",)}),
        ("private-memory", "WARN", {}, {}, {"binds": ("/scratch/one:/dev/shm",)}),
        ("private-memory", "FAIL", {"mpi": "ParaStationMPI"}, {}, {"options": ("--ipc",)}),
        ("host-libraries", "FAIL", {}, {}, {"settings": {"LD_LIBRARY_PATH": "/opt/mpi/lib"}}),
        ("pmix-security", "FAIL", {"psec": ("native",)}, {"security": ("munge",)}, {}),
        ("pmix-security", "FAIL", {}, {"security": ("munge",)}, {}),
        ("pmix-datastore", "FAIL", {}, {}, {"settings": {"PMIX_MCA_gds": "ds21"}}),
        ("pmix-age", "FAIL", {"pmix": "2.0.3"}, {"pmix": "6.1.0"}, {}),
        ("pmix-age", "FAIL", {"pmix": "2.1.4"}, {"pmix": "2.0.3"}, {}),
        ("pmix-age", "FAIL", {"pmix": "2.0.3"}, {"pmix": "1.2.5"}, {}),
        ("pmix-5-early", "FAIL", {"pmix": "5.0.8", "gds_default": "", "mpi_version": "5.0.8"},
         {"pmix": "5.0.1"}, {}),
        ("pmix-datastore", "FAIL", {"gds": ("ds21",)}, {}, {}),
        ("pmix-security", "FAIL", {"psec": ("native",)}, {},
         {"settings": {"PMIX_MCA_psec": "munge"}}),
        ("pmix-security", "FAIL", {"psec_default": ""},
         {"security": ("munge",), "munge_socket": False}, {}),
        ("fakeroot", "WARN", {}, {}, {"options": ("--fakeroot",)}),
        ("open-mpi-pmix", "FAIL", {"pmix": "4.2.9"}, {}, {}),
        ("parastation-mpi", "FAIL", OLD_PMIX, {}, {}),
        ("shared-nothing", "WARN", {}, {"one_parent": False}, {}),
        ("open-mpi-4-cma", "WARN", {"cma_default": ""}, {}, {"sharing": "none"}),
        ("ucx-namespaces", "WARN", {"ucx": "1.13.1"}, MLX, {"sharing": "none"}),
        ("ucx-namespaces", "WARN", {"ucx": "1.20.1"}, MLX, {"sharing": "none"}),
        ("locked-memory", "WARN", {}, {"fabric": ("mlx5_0",), "memlock": "64"}, {}),
        ("fabric", "WARN", {"verbs": ()}, {"fabric": ("mlx5_0",)}, {}),
        ("gpu", "WARN", {"cuda": "12.4"}, {"gpus": ("nvidia0",)}, {}),
    ],
)  # fmt: skip
def test_one_thing_wrong(
    rule: str, verdict: str, image: dict[str, str], site: dict[str, str], launch: dict[str, str]
) -> None:
    found = words(replace(NEST, **image), replace(SLURM, **site), replace(GOOD, **launch))  # type: ignore[arg-type]
    assert found == {rule: verdict}


def test_containall_hides_everything() -> None:
    found = words(DEBIAN, SLURM, replace(GOOD, options=("--containall",)))
    assert {"hidden-variables", "hidden-processes"} <= set(found)


def test_mpich_without_pmix_under_a_pmix_launcher() -> None:
    assert words(MPICH, SLURM, GOOD) == {"protocol": "FAIL"}
    assert not words(MPICH, SLURM, replace(GOOD, plugin="pmi2"))


def test_a_hidden_server_folder_matters_to_pmix_5_only() -> None:
    site = replace(SLURM, server_tmpdir_seen=False)
    assert words(OPEN_MPI_5, site, GOOD) == {"hidden-tmp": "FAIL"}
    assert not words(OPEN_MPI_5, site, replace(GOOD, settings={"PMIX_MCA_gds": "hash"}))
    assert not words(NEST, site, GOOD)


@pytest.mark.parametrize("name", [one.name for one in fields(SiteSide)])
def test_a_withheld_fact_is_never_a_wrong_verdict(name: str) -> None:
    found = words(NEST, replace(SLURM, **{name: None}), GOOD)
    assert set(found.values()) <= {"UNKNOWN"}


def test_nothing_known_of_a_site_is_unknown_not_passed() -> None:
    result = preflight(NEST, SiteSide(), GOOD)
    assert result.verdict is Verdict.UNKNOWN
    assert not result.of(Verdict.FAIL)
    require(result)  # only FAIL refuses


def test_unknown_advice_does_not_hide_a_pass() -> None:
    result = preflight(NEST, replace(SLURM, memlock=None, fabric=("mlx5_0",)), GOOD)
    assert result.verdict is Verdict.WARN
    assert result.of(Verdict.UNKNOWN)[0].worst is Verdict.WARN


def test_a_failure_is_refused_with_every_reason() -> None:
    result = preflight(NEST, SLURM, replace(GOOD, options=("--cleanenv", "--net")))
    with pytest.raises(VerdictAgainst) as caught:
        require(result)
    assert len(caught.value.faults) == 2


@pytest.mark.parametrize(
    ("target", "machine", "expected"),
    [
        ("x86-64", "zen3", "yes"), ("x86_64_v4", "zen2", "no"), ("zen2", "zen2", "yes"),
        ("haswell", "zen3", "perhaps"), ("a64fx", "x86_64_v3", None), (None, "zen2", None),
    ],
)  # fmt: skip
def test_processors(target: str | None, machine: str | None, expected: str | None) -> None:
    assert cpu_fits(target, machine) == expected


def test_the_text(golden: Golden) -> None:
    launch = replace(GOOD, plugin="pmi2", options=("--contain",))
    result = preflight(
        NEST, replace(SLURM, kernel=None), launch, names=("nest.sif", "trixie"), line="srun ..."
    )
    golden.check("launch/preflight.txt", "\n".join(result.lines()) + "\n")


def test_the_rules_are_where_the_wheel_takes_them_from() -> None:
    from imagefactory import launch

    assert (Path(str(launch.__file__)).parent / "rules.yaml").is_file()
