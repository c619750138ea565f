"""What the probe's answers mean; the answers of pspmix are an emulation's (pspmix.py)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from imagefactory import launch
from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Done
from imagefactory.launch import Launch, Verdict, preflight, probe_site
from imagefactory.launch.probe import draft_of, read_answers, starting_words
from imagefactory.launch.site_facts import read_probe, side_of
from imagefactory.site import Access, Launcher, Scheduler, Site
from tests.conftest import Golden
from tests.unit.launch.pspmix import rank_environment
from tests.unit.launch.samples import DEBIAN, NEST, OPEN_MPI_5

FLAGS = (
    "flags\t\t: fpu cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma movbe xsave"
)
MACHINE = {
    "host": "c1", "kernel": "6.1.0-18-amd64", "machine": "x86_64", "glibc": "glibc 2.36",
    "flags": FLAGS.replace("\t", " "), "ptrace_scope": "0", "memlock": "unlimited", "fabric": "",
    "gpus": "", "fuse": "yes", "shm": "yes", "munge": "yes", "apptainer": "1.5.3", "setuid": "no",
    "cma": "yes", "userns": "yes",
}  # fmt: skip
LISTS = {
    "slurm": "MPI plugin types are... none pmi2 pmix specific pmix plugin versions available: "
    "pmix_v4,pmix_v5",
    "pspmix": "MPI plugin types are... none pmi2 pmix pspmix",
}


def site(plugin: str = "pmix", kind: str = "srun") -> Site:
    queued = kind == "srun"
    return Site(
        name="probed", description="", access=Access("ssh", "x") if queued else Access("local"),
        apptainer="apptainer", scheduler=Scheduler("slurm" if queued else "none", "batch", "proj"),
        launcher=Launcher(kind, plugin if queued else ""), store="/s", work="/w",
    )  # fmt: skip


def answers(ranks: list[dict[str, str]], plugins: str) -> str:
    login = {"slurm": "slurm 24.11.5", "plugins": plugins, "free": "123456789012"}
    parts = [("login", login), *((f"rank{n}", rank) for n, rank in enumerate(ranks))]
    lines = [f"{part}\t{name}\t{value}" for part, values in parts for name, value in values.items()]
    return "\n".join([*lines, "end\t\t", ""])


def slurm_ranks() -> list[dict[str, str]]:
    told = {
        "PMIX_NAMESPACE": "slurm.pmix.12.0", "PMIX_VERSION": "5.0.7",
        "PMIX_GDS_MODULE": "shmem2,hash",
        "PMIX_SECURITY_MODE": "munge,native", "PMIX_SERVER_TMPDIR": "/var/spool/slurmd/pmix.12.0",
        "uris": "URI2 URI3 URI4", "parent": "811 slurmstepd",
        "container": "ran tmpdir-seen pmix-announced user-user:[4026531]",
    }  # fmt: skip
    return [{**MACHINE, **told, "over": "yes"} for _ in range(2)]


def pspmix_ranks(starter: str = "psslurm", pmi: str = "pmix") -> list[dict[str, str]]:
    """As probe.sh prints what the emulation exports; each rank has a forwarder of its own."""
    ranks = []
    for rank in range(2):
        found = rank_environment(rank, starter=starter, pmi=pmi)
        uris = " ".join(name.removeprefix("PMIX_SERVER_") for name in found if "_URI" in name)
        shown = {name: value for name, value in found.items() if name.startswith(("PMIX", "PMI_"))}
        own = {"uris": uris, "parent": f"{900 + rank} psidforwarder"}
        own["container"] = "ran tmpdir-seen pmix-announced user-x"
        ranks.append({**MACHINE, **shown, **own, "over": "yes"})
    return ranks


def text_of(facts: Any, unknown: dict[str, str]) -> str:
    lines = [f"{name}: {value}" for name, value in vars(facts).items() if value is not None]
    return "\n".join([*lines, *(f"? {name}: {why}" for name, why in unknown.items())]) + "\n"


@pytest.mark.parametrize("kind", ["slurm", "pspmix"])
def test_the_facts_of_a_whole_probe(kind: str, golden: Golden) -> None:
    ranks = slurm_ranks() if kind == "slurm" else pspmix_ranks()
    text = answers(ranks, LISTS[kind])
    golden.check(f"launch/probe-{kind}.txt", text_of(*read_answers(text, site())))


def test_from_the_probe_of_pspmix_to_its_verdicts() -> None:
    facts, _ = read_answers(answers(pspmix_ranks(), LISTS["pspmix"]), site("pspmix"))
    assert (facts.launcher, facts.one_parent, facts.pmix) == ("psslurm", False, "5.0.7a1")

    def told(image: Any, line: Launch) -> set[tuple[str, str]]:
        found = preflight(replace(image, size=1), facts, line).findings
        bad = {Verdict.FAIL, Verdict.WARN, Verdict.UNKNOWN}
        return {(one.rule, str(one.verdict)) for one in found if one.verdict in bad}

    assert told(OPEN_MPI_5, Launch("pspmix")) == {("pmix-5-parastation", "FAIL")}
    assert told(NEST, Launch("pspmix", "sharens")) == {("shared-nothing", "WARN")}
    assert not told(NEST, Launch("pspmix", "instance"))
    assert ("protocol", "FAIL") in told(DEBIAN, Launch("pmix"))


def test_a_launcher_that_gave_pmi1_tells_no_pmix_facts() -> None:
    facts, unknown = read_answers(answers(pspmix_ranks(pmi="pmi1"), LISTS["pspmix"]), site())
    assert facts.launcher == "psslurm", "by the parent process"
    assert facts.pmix is None
    assert {"pmix", "gds", "security"} <= set(unknown)
    assert draft_of(facts, site()) == "launcher: {kind: srun, plugin: pspmix, sharens: false}"


@pytest.mark.parametrize("place", range(0, 2400, 37))
def test_a_probe_that_was_cut_gives_no_wrong_fact(place: int) -> None:
    text = answers(slurm_ranks(), LISTS["slurm"])
    whole, _ = read_answers(text, site())
    cut, unknown = read_answers(text[:place], site())
    for name, value in vars(cut).items():
        assert value in {None, getattr(whole, name)}, name
    if place < len(text) - 200:
        assert unknown


def test_ranks_that_contradict_each_other() -> None:
    ranks = slurm_ranks()
    ranks[1]["PMIX_VERSION"] = "4.2.2"
    ranks[1]["kernel"] = "5.14"
    facts, unknown = read_answers(answers(ranks, LISTS["slurm"]), site())
    assert (facts.pmix, facts.kernel) == (None, None)
    assert "different things" in unknown["pmix"]


@pytest.mark.parametrize("noise", ["Welcome to the site\n", "\x00\xff\ufffd\t\t\n", "rank0\tx\n"])
def test_noise_is_no_answer(noise: str) -> None:
    text = answers(slurm_ranks(), LISTS["slurm"])
    assert read_answers(noise + text, site()) == read_answers(text, site())


def test_a_job_that_was_refused_says_why() -> None:
    text = "login\tplugins\tnone pmi2\nlogin\terror\tstatus 1: Invalid account\nend\t\t\n"
    facts, unknown = read_answers(text, site())
    assert facts.plugins == ("none", "pmi2")
    assert unknown["pmix"] == "status 1: Invalid account"
    assert draft_of(facts, site()) == "launcher: {kind: srun, plugin: pmix, sharens: false}"


class FakeShell:
    """A login node that answers what it is given, and remembers what it was asked."""

    where = "x"

    def __init__(self, output: str) -> None:
        self.output = output
        self.arguments: tuple[str, ...] = ()

    def run(self, script: str, *arguments: str, timeout: float, **_: Any) -> Done:
        assert "rank.sh" in script
        self.arguments = arguments
        return Done(arguments, 0, self.output, "", timeout)


def test_a_probe_is_kept_and_the_site_is_known_by_it() -> None:
    shell = FakeShell(answers(slurm_ranks(), LISTS["slurm"]))
    probed = probe_site(site(), shell, datetime(2026, 11, 23, 12, tzinfo=UTC))
    assert shell.arguments[:4] == ("/s", "/w", "apptainer", "20261123T120000")
    assert list(shell.arguments[4:]) == starting_words(site())
    assert {"--partition=batch", "--account=proj"} <= set(shell.arguments)
    assert side_of(site()).pmix == "5.0.7"
    kept = read_probe("probed")
    assert kept is not None
    assert kept.date == "2026-11-23"
    assert probed.draft == "launcher: {kind: srun, plugin: pmix, sharens: true}"
    assert any(line.startswith("pmix ") for line in probed.lines())


def test_a_site_without_a_queue() -> None:
    text = answers([{**MACHINE, "parent": "1 sh", "over": "yes"}], "")
    facts, _ = read_answers(text, site(kind="mpirun"))
    assert facts.launcher == "own"
    assert starting_words(site(kind="mpirun")) == []


def test_no_answer_at_all() -> None:
    with pytest.raises(ToolFailed, match="no answer"):
        probe_site(site(), FakeShell(""))


def test_the_script_is_plain_sh() -> None:
    text = Path(str(launch.__file__)).with_name("probe.sh").read_text(encoding="utf-8")
    assert "[[" not in text
    assert "bash" not in text
