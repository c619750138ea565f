"""What is known of a site: its record, its probe, and what the two say against each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.launch.site_facts import (
    ProbeRecord,
    level_of,
    probe_path,
    read_probe,
    side_of,
    write_probe,
)
from imagefactory.site import Access, Launcher, Scheduler, Site
from tests.unit.launch.samples import PSSLURM, SLURM

V3 = "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx avx2 bmi1 bmi2 f16c fma movbe xsave"


def site(plugin: str = "pmix") -> Site:
    return Site(
        name="here-or-there", description="", access=Access("ssh", "x"), apptainer="apptainer",
        scheduler=Scheduler("slurm"), launcher=Launcher("srun", plugin, True), store="/s",
        work="/w",
    )  # fmt: skip


def test_a_site_that_nobody_probed_is_unknown_but_for_its_launcher() -> None:
    side = side_of(site("pspmix"))
    assert side.launcher == "psslurm"
    assert [name for name, value in vars(side).items() if value is not None] == ["launcher"]


def test_a_probe_is_kept_and_used() -> None:
    write_probe(ProbeRecord("here-or-there", "2026-11-23", SLURM, {"gpus": "no job"}))
    assert side_of(site()) == SLURM
    found = read_probe("here-or-there")
    assert found is not None
    assert found.unknown == {"gpus": "no job"}


def test_a_record_that_contradicts_its_probe() -> None:
    write_probe(ProbeRecord("here-or-there", "2026-11-23", PSSLURM, {}))
    with pytest.raises(ConfigurationFault, match="probe of 2026-11-23 saw psslurm"):
        side_of(site("pmix"))


def test_another_plugin_is_no_contradiction() -> None:
    write_probe(ProbeRecord("here-or-there", "2026-11-23", replace(SLURM, launcher=None), {}))
    assert side_of(site("pmi2")).launcher == "slurm"


@pytest.mark.parametrize("text", ["", "{}", '{"schema": 1', "\x00\x01"])
def test_a_damaged_probe_is_told(text: str) -> None:
    path = probe_path("here-or-there")
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationFault):
        side_of(site())


@pytest.mark.parametrize(
    ("text", "level"),
    [
        (f"processor: 0\nflags\t\t: fpu {V3}\n", "x86_64_v3"),
        ("flags : cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 avx2", "x86_64_v2"),
        ("flags : fpu", "x86_64"),
        ("Features : asimd", None),
    ],
)
def test_levels(text: str, level: str | None) -> None:
    assert level_of(text) == level
