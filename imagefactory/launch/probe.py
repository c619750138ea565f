"""The probe of a site: one small job that asks, and what its answers mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Done
from imagefactory.launch.facts import SiteSide, text_of
from imagefactory.launch.site_facts import ProbeRecord, level_of, write_probe
from imagefactory.site import Site

SECONDS = 900.0
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_PARENTS = {"slurmstepd": "slurm", "psidforwarder": "psslurm", "prted": "prrte", "orted": "orte"}
_NAMESPACES = (
    (r"pspmix_", "psslurm"), (r"slurm\.pmix\.", "slurm"), (r"prterun-", "prrte"), (r"\d+$", "orte"),
)  # fmt: skip


class Shell(Protocol):
    """A way to run POSIX sh on a login node."""

    @property
    def where(self) -> str: ...

    def run(
        self,
        script: str,
        *arguments: str,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        log: Path | None = None,
    ) -> Done: ...


@dataclass(frozen=True)
class Probed:
    """A probe: what was found, where it is kept, and the launcher section of a draft record."""

    record: ProbeRecord
    file: Path
    draft: str

    def lines(self) -> list[str]:
        """For people."""
        facts = self.record.facts
        known = [
            f"{one.name:20} {text_of(getattr(facts, one.name))}"
            for one in fields(SiteSide)
            if getattr(facts, one.name) is not None
        ]
        unknown = [f"{name:20} unknown: {why}" for name, why in self.record.unknown.items()]
        return [*known, *unknown, f"draft for the site record: {self.draft}", f"kept: {self.file}"]


def probe_site(site: Site, shell: Shell, now: datetime | None = None) -> Probed:
    """Ask a site, keep the answers. Raises ToolFailed where not even the login node answers."""
    moment = now or datetime.now(UTC)
    script = files("imagefactory.launch").joinpath("probe.sh").read_text(encoding="utf-8")
    done = shell.run(
        script, site.store, site.work, site.apptainer, f"{moment:%Y%m%dT%H%M%S}",
        *starting_words(site), timeout=SECONDS,
    )  # fmt: skip
    if not done.output.strip():
        raise ToolFailed("the probe gave no answer", where=shell.where, detail=done.tail)
    facts, unknown = read_answers(done.output, site)
    record = ProbeRecord(site.name, f"{moment:%Y-%m-%d}", facts, unknown)
    return Probed(record, write_probe(record), draft_of(facts, site))


def starting_words(site: Site) -> list[str]:
    """What starts two ranks on one node; nothing where there is no queue."""
    if site.launcher.kind != "srun":
        return []
    words = ["srun", f"--mpi={site.launcher.plugin}", "--nodes=1", "--ntasks=2", "--time=5"]
    words += [f"--partition={site.scheduler.partition}"] if site.scheduler.partition else []
    return words + ([f"--account={site.scheduler.account}"] if site.scheduler.account else [])


def draft_of(facts: SiteSide, site: Site) -> str:
    """The launcher section that the answers ask for."""
    if site.launcher.kind != "srun":
        return "launcher: {kind: mpirun}"
    plugins = facts.plugins or ()
    plugin = site.launcher.plugin
    if facts.launcher == "psslurm" and "pspmix" in plugins:
        plugin = "pspmix"
    elif plugins and plugin not in plugins and "pmix" in plugins:
        plugin = "pmix"
    joined = facts.setuid is False and facts.one_parent is True
    return f"launcher: {{kind: srun, plugin: {plugin}, sharens: {'true' if joined else 'false'}}}"


def read_answers(text: str, site: Site) -> tuple[SiteSide, dict[str, str]]:
    """Facts of what probe.sh printed, and for each that is unknown, why.

    Output that was cut, or ranks that say different things, make facts unknown, never wrong.
    """
    answers = _answers(text)
    login = answers.get("login", {})
    ranks = [part for name, part in sorted(answers.items()) if name.startswith("rank")]
    whole = [rank for rank in ranks if rank.get("over") == "yes"]
    found: dict[str, Any] = {
        "launcher": _launcher(whole, site),
        "plugins": _plugins(login.get("plugins")),
        "slurm": _version(login.get("slurm")),
        "free": _number(login.get("free")),
        "one_parent": _one_parent(whole, site),
        **_of_ranks(whole),
    }
    if site.launcher.kind != "srun":
        found["launcher"] = "own"
    unknown = {
        one.name: _why(login, ranks, whole, text)
        for one in fields(SiteSide)
        if found.get(one.name) is None
    }
    return SiteSide(**found), unknown


def _answers(text: str) -> dict[str, dict[str, str]]:
    """Values by part and fact; a last line without its end was cut, and is left out."""
    found: dict[str, dict[str, str]] = {}
    lines = text.split("\n")[:-1]
    for line in lines:
        part, tab, rest = line.partition("\t")
        name, second, value = rest.partition("\t")
        # srun --label and motd lines of a login shell are no answers.
        if tab and second and re.fullmatch(r"login|rank\d+", part):
            found.setdefault(part, {})[name] = value.strip()
    return found


def _of_ranks(ranks: list[dict[str, str]]) -> dict[str, Any]:
    def agreed(name: str) -> str | None:
        values = {rank.get(name) for rank in ranks}
        return values.pop() if len(values) == 1 else None

    def listed(name: str, separator: str | None = None) -> tuple[str, ...] | None:
        value = agreed(name)
        if value is None:
            return None
        return tuple(sorted(word.strip() for word in value.split(separator) if word.strip()))

    kernel, flags, machine = agreed("kernel"), agreed("flags"), agreed("machine")
    ran = bool(ranks) and all(rank.get("container", "").startswith("ran") for rank in ranks)
    return {
        "pmix": _version(agreed("PMIX_VERSION")),
        "uris": listed("uris"),
        "gds": listed("PMIX_GDS_MODULE", ","),
        "security": listed("PMIX_SECURITY_MODE", ","),
        "server_tmpdir": agreed("PMIX_SERVER_TMPDIR"),
        "server_tmpdir_seen": _seen([rank.get("container", "") for rank in ranks]),
        "apptainer": {"none": ""}.get(agreed("apptainer") or "", agreed("apptainer") or None),
        "setuid": _yes(agreed("setuid")),
        "user_namespaces": True if ran else _yes(agreed("userns")),
        "fuse": _yes(agreed("fuse")),
        "cma": _yes(agreed("cma")),
        "ptrace_scope": agreed("ptrace_scope") or None,
        "shm_writable": _yes(agreed("shm")),
        "munge_socket": _yes(agreed("munge")),
        "memlock": agreed("memlock") or None,
        "fabric": listed("fabric"),
        "gpus": listed("gpus"),
        "kernel": kernel or None,
        "glibc": _version(agreed("glibc")),
        "cpu": level_of(flags) if flags else None,
        "architecture": _MACHINES.get(machine, machine) if machine else None,
    }


def _launcher(ranks: list[dict[str, str]], site: Site) -> str | None:
    found = set()
    for rank in ranks:
        space = rank.get("PMIX_NAMESPACE", "")
        named = [launcher for pattern, launcher in _NAMESPACES if re.match(pattern, space)]
        parent = rank.get("parent", "").partition(" ")[2]
        found.add(named[0] if named else _PARENTS.get(parent))
    return found.pop() if len(found) == 1 else None


def _one_parent(ranks: list[dict[str, str]], site: Site) -> bool | None:
    hosts = {rank.get("host") for rank in ranks}
    if len(ranks) < 2 or len(hosts) != 1:
        return None
    return len({rank.get("parent") for rank in ranks}) == 1


def _plugins(text: str | None) -> tuple[str, ...] | None:
    """`MPI plugin types are... none pmi2 pmix specific pmix plugin versions available: pmix_v4`."""
    if not text:
        return None
    words = re.findall(r"(?<![\w-])(?:none|pmi2|pspmix|cray_shasta|openmpi|pmix(?:_v\d+)?)(?!\w)",
                       text.replace("specific pmix plugin", ""))  # fmt: skip
    return tuple(sorted(set(words))) or None


def _seen(answers: list[str]) -> bool | None:
    if not answers or not all("tmpdir-" in answer for answer in answers):
        return None
    return all("tmpdir-seen" in answer for answer in answers)


def _yes(value: str | None) -> bool | None:
    if not value:
        return None
    return {"yes": True, "no": False}.get(value.partition(",")[0])


def _version(value: str | None) -> str | None:
    found = re.search(r"\d+(?:\.\d+)+\w*", value or "")
    return found[0] if found else None


def _number(value: str | None) -> int | None:
    return int(value) if value and value.isdigit() else None


def _why(
    login: Mapping[str, str], ranks: list[dict[str, str]], whole: list[dict[str, str]], text: str
) -> str:
    if login.get("error"):
        return login["error"]
    if not ranks:
        return "no rank answered"
    if len(whole) < len(ranks) or not text.rstrip("\t\n").endswith("end"):
        return "the probe's output was cut"
    return "the site did not tell, or its ranks told different things"
