"""What is known of a site: from its record, from the last probe, or, here, looked up."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault
from imagefactory.base.files import settings_folder, write_json
from imagefactory.base.settings import read_json
from imagefactory.launch.facts import SiteSide
from imagefactory.site import Site

SCHEMA = 1
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
# What each level of the x86-64 psABI needs beyond the one before, as /proc/cpuinfo writes it.
_LEVEL_FLAGS = (
    ("x86_64_v2", {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"}),
    ("x86_64_v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"}),
    ("x86_64_v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
)


@dataclass(frozen=True)
class ProbeRecord:
    """The result of a probe: draft facts of one day, and why the others could not be known."""

    site: str
    date: str
    facts: SiteSide
    unknown: Mapping[str, str]


def probe_path(site: str) -> Path:
    """Where the last probe of a site is kept."""
    return settings_folder() / "probes" / f"{site}.json"


def write_probe(record: ProbeRecord) -> Path:
    """Keep a probe; the one before is replaced. Returns its file."""
    found = {one.name: getattr(record.facts, one.name) for one in fields(SiteSide)}
    known = {name: value for name, value in found.items() if value is not None}
    document = {
        "schema": SCHEMA, "site": record.site, "date": record.date, "facts": known,
        "unknown": dict(record.unknown),
    }  # fmt: skip
    path = probe_path(record.site)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, document)
    return path


def read_probe(site: str) -> ProbeRecord | None:
    """The last probe of a site, or None. Raises ConfigurationFault with all faults of its file."""
    path = probe_path(site)
    if not path.is_file():
        return None
    document = read_json(path, _SCHEMA)
    found: dict[str, Any] = document["facts"]
    for name, value in found.items():
        if isinstance(value, list):
            found[name] = tuple(value)
    return ProbeRecord(site, document["date"], SiteSide(**found), document["unknown"])


def side_of(site: Site) -> SiteSide:
    """What is known of a site; its record and its last probe must not contradict each other."""
    probe = read_probe(site.name)
    said = _launcher_of(site)
    if probe is None:
        known = SiteSide(launcher=said)
        return replace(facts_here(site.store), launcher=said) if said == "own" else known
    seen = probe.facts.launcher
    if seen is not None and seen != said:
        raise ConfigurationFault.from_faults(
            [
                Fault(
                    f"the record says {said} starts ranks, the probe of {probe.date} saw {seen}",
                    f"site {site.name}: launcher",
                    "correct launcher.plugin of the site record, or: "
                    f"imagefactory site probe {site.name}",
                )
            ]
        )
    return replace(probe.facts, launcher=said)


def _launcher_of(site: Site) -> str:
    if site.launcher.kind == "mpirun":
        return "own"
    return "psslurm" if site.launcher.plugin == "pspmix" else "slurm"


def facts_here(store: str) -> SiteSide:
    """What this machine says of itself, without a job."""
    uname = platform.uname()
    place = Path(store)
    while not place.exists():
        place = place.parent
    fuse = Path("/dev/fuse")
    return SiteSide(
        architecture=_MACHINES.get(uname.machine, uname.machine),
        kernel=uname.release,
        glibc=platform.libc_ver()[1] or None,
        cpu=cpu_level(Path("/proc/cpuinfo")),
        fuse=fuse.exists() and bool(fuse.stat().st_mode & 0o006 == 0o006 or os.access(fuse, 6)),
        free=shutil.disk_usage(place).free,
        gpus=tuple(sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))),
        fabric=(),
    )


def cpu_level(path: Path) -> str | None:
    """The psABI level of the processor that /proc/cpuinfo tells of; None for another kind."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return None
    return level_of(text)


def level_of(cpuinfo: str) -> str | None:
    """The psABI level of the first processor in the text of /proc/cpuinfo."""
    for line in cpuinfo.splitlines():
        if line.startswith("flags"):
            flags = set(line.partition(":")[2].split())
            found = "x86_64"
            for level, needed in _LEVEL_FLAGS:
                if not needed <= flags:
                    break
                found = level
            return found
    return None


def _kinds() -> dict[str, dict[str, Any]]:
    """The JSON type of every fact, from the types of SiteSide."""
    kinds: dict[str, dict[str, Any]] = {
        "str": {"type": "string"}, "bool": {"type": "boolean"},
        "int": {"type": "integer", "minimum": 0},
        "tuple[str, ...]": {"type": "array", "items": {"type": "string"}},
    }  # fmt: skip
    return {one.name: kinds[str(one.type).removesuffix(" | None")] for one in fields(SiteSide)}


_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "site", "date", "facts", "unknown"],
    "properties": {
        "schema": {"const": SCHEMA},
        "site": {"type": "string"},
        "date": {"type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}"},
        "facts": {"type": "object", "additionalProperties": False, "properties": _kinds()},
        "unknown": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
