"""A job description as UNICORE/X 11 reads it: what it takes, drops, and refuses. No effects.

Followed in the sources of unicorex 05a9c0a (JSONParser, GrounderImpl) and measured
(facts/unicore-nmpi.md 2.1, 2.9).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

JOB_TYPES = {
    "BATCH": "BATCH",
    "NORMAL": "BATCH",
    "ON_LOGIN_NODE": "ON_LOGIN_NODE",
    "INTERACTIVE": "ON_LOGIN_NODE",
    "RAW": "RAW",
}
APPLICATIONS = {("Date", "1.0"): "/bin/date"}
_SECONDS = {
    "": 1, "sec": 1, "seconds": 1, "min": 60, "minutes": 60, "h": 3600, "hours": 3600,
    "d": 86400, "days": 86400,
}  # fmt: skip
_BYTES = {
    "": 1, "bytes": 1, "k": 2**10, "kilobytes": 2**10, "kb": 2**10, "m": 2**20,
    "megabytes": 2**20, "mb": 2**20, "g": 2**30, "gigabytes": 2**30, "gb": 2**30, "t": 2**40,
    "terabytes": 2**40, "tb": 2**40,
}  # fmt: skip
# Taken as they are, whatever the partition says.
_FREE = {"Reservation", "Project", "NodeConstraints", "QoS", "Exclusive"}
_COMPUTE = {"Nodes", "CPUsPerNode", "TotalCPUs"}


class Unfit(Exception):
    """The server cannot work with this description; the text goes into the job's statusMessage."""


@dataclass(frozen=True)
class Partition:
    """A batch queue: from-to limits, and what holds where a job asks for nothing."""

    name: str
    limits: Mapping[str, tuple[int, int]]
    defaults: Mapping[str, int]

    def document(self) -> dict[str, str]:
        """As the resource of a factory shows it."""
        return {name: f"{low}-{high}" for name, (low, high) in self.limits.items()}


@dataclass(frozen=True)
class Import:
    """A file that the server writes before the job. `content` None: from elsewhere."""

    to: str
    content: str | None
    source: str
    may_fail: bool


@dataclass(frozen=True)
class Work:
    """What the server understood of a job description."""

    name: str
    kind: str
    executable: str | None
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    ignore_exit_code: bool
    before: str | None
    before_on_login: bool
    before_may_fail: bool
    after: str | None
    after_on_login: bool
    bss_file: str | None
    stdin: str | None
    stdout: str
    stderr: str
    resources: Mapping[str, str]
    imports: tuple[Import, ...]
    exports: tuple[str, ...]


def read_work(document: Mapping[str, Any]) -> Work:
    """What the server makes of a description; raises Unfit where a real one fails the job."""
    kind = str(document.get("Job type", "BATCH")).upper()
    if kind not in JOB_TYPES:
        raise Unfit(f"No enum constant eu.unicore.xnjs.idb.ApplicationInfo.JobType.{kind}")
    if JOB_TYPES[kind] == "RAW" and document.get("BSS file") is None:
        raise Unfit("Job type 'raw' requires 'BSS file'")
    resources = _read_resources(document.get("Resources"))
    if document.get("Project") is not None:
        resources["Project"] = str(document["Project"])
    return Work(
        name=str(document.get("Name") or document.get("ApplicationName") or "UNICORE_Job"),
        kind=JOB_TYPES[kind],
        executable=_executable(document),
        arguments=_arguments(document.get("Arguments")),
        environment=_environment(document),
        ignore_exit_code=_truth(document, "IgnoreNonZeroExitCode", False),
        before=_lines(document.get("User precommand")),
        before_on_login=_truth(document, "RunUserPrecommandOnLoginNode", True),
        before_may_fail=_truth(document, "UserPrecommandIgnoreNonZeroExitCode", False),
        after=_lines(document.get("User postcommand")),
        after_on_login=_truth(document, "RunUserPostcommandOnLoginNode", True),
        bss_file=_text(document, "BSS file"),
        stdin=_text(document, "Stdin"),
        stdout=_text(document, "Stdout") or "stdout",
        stderr=_text(document, "Stderr") or "stderr",
        resources=resources,
        imports=tuple(_imports(document.get("Imports"))),
        exports=tuple(_exports(document.get("Exports"))),
    )


def granted_resources(work: Work, partition: Partition) -> dict[str, str]:
    """What a batch job gets; raises Unfit where a request is unknown or out of range.

    The server looks at this when it submits the job: after the precommand.
    """
    queue = work.resources.get("Queue", partition.name)
    if queue != partition.name:
        raise Unfit(f"Resource request <Queue = {queue}> is out of range.")
    granted = {"Queue": queue}
    for name, value in work.resources.items():
        if name in _FREE:
            granted[name] = value
        elif name != "Queue":
            granted[name] = _within(name, value, partition)
    asked = _COMPUTE & set(work.resources)
    for name, number in partition.defaults.items():
        if not (asked and name in _COMPUTE):
            granted.setdefault(name, str(number))
    return granted


def _within(name: str, value: str, partition: Partition) -> str:
    if name not in partition.limits:
        raise Unfit(f"Resource <{name}> is not available for partition <{partition.name}>")
    low, high = partition.limits[name]
    if not re.fullmatch(r"\d+", value) or not low <= int(value) <= high:
        raise Unfit(f"Resource request <{name}={value}> is out of range.")
    return value


def _read_resources(asked: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in asked.items() if isinstance(asked, dict) else ():
        text = _java_text(value)
        if name == "Runtime":
            found[name] = _measured(name, text, _SECONDS)
        elif name in {"Memory", "MemoryPerNode"}:
            found["MemoryPerNode"] = _measured(name, text, _BYTES)
        elif name == "Exclusive":
            found[name] = text.lower()
        else:
            found[name] = text
    return found


def _measured(name: str, text: str, units: Mapping[str, int]) -> str:
    """UnitParser: a number and a unit, which may be shortened to any length."""
    found = re.fullmatch(r"\s*(\d*[.,]?\d*)\s*(\w*)\s*", text)
    number = found[1].replace(",", ".") if found else ""
    factors = [
        factor
        for unit, factor in units.items()
        if found and (unit == found[2].lower() or (found[2] and unit.startswith(found[2].lower())))
    ]
    if not number.strip(".") or not factors:
        raise Unfit(f"Could not parse requested resource <{name}>: not a parsable value: {text}")
    return str(int(float(number) * factors[0]))


def _executable(document: Mapping[str, Any]) -> str | None:
    name = document.get("ApplicationName")
    if name is None:
        return _text(document, "Executable")
    for (known, version), executable in APPLICATIONS.items():
        if name == known and document.get("ApplicationVersion", version) == version:
            return executable
    raise Unfit(f"Application <{name}> could not be found.")


def _arguments(given: object) -> tuple[str, ...]:
    if not isinstance(given, list):  # one text instead of a list is dropped in silence
        return ()
    for number, item in enumerate(given):
        if not isinstance(item, str):
            raise Unfit(f"JSONArray[{number}] is not a String.")
    return tuple(given)


def _environment(document: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key in ("Parameters", "Environment"):
        given = document.get(key)
        if isinstance(given, dict):
            found |= {str(name): _java_text(value) for name, value in given.items()}
        elif isinstance(given, list) and key == "Environment":
            for item in given:
                name, _, value = str(item).partition("=")
                found[name.strip()] = value.strip()
    return found


def _lines(given: object) -> str | None:
    """A command; the lines of a list each get a line feed at their end."""
    if isinstance(given, list):
        texts = [item if isinstance(item, str) else "" for item in given]
        return "".join(text if text.endswith("\n") else f"{text}\n" for text in texts) or None
    return None if given is None else _java_text(given)


def _imports(given: object) -> list[Import]:
    found = []
    for to, item in _staging(given, "Imports"):
        source = item.get("From", item.get("source"))
        content = _lines(item.get("Data"))
        if source is None and content is None:
            raise Unfit("Cannot invoke String.startsWith: the source is null")
        inline = content is not None and str(source or "inline:").startswith("inline:")
        name = to or str(item.get("To", item.get("file", "")))
        may_fail = str(item.get("FailOnError", "true")).lower() != "true"
        found.append(Import(name, content if inline else None, str(source), may_fail))
    return found


def _exports(given: object) -> list[str]:
    return [
        to or str(item.get("From", item.get("file", ""))) for to, item in _staging(given, "Exports")
    ]


def _staging(given: object, name: str) -> list[tuple[str, Mapping[str, Any]]]:
    if given is None:
        return []
    if isinstance(given, dict):
        return [(str(key), item) for key, item in given.items() if isinstance(item, dict)]
    if isinstance(given, list) and all(isinstance(item, dict) for item in given):
        return [("", item) for item in given]
    raise Unfit(f"'{name}' must be an array or a map")


def _truth(document: Mapping[str, Any], key: str, default: bool) -> bool:
    """optBoolean of org.json: true, false, or those words in any case; else the default."""
    word = str(document.get(key, default)).lower()
    return default if word not in {"true", "false"} else word == "true"


def _text(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return None if value is None else _java_text(value)


def _java_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
