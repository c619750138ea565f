"""The text of a spack.yaml that comes from elsewhere: made independent of its checkout, and read
for what it pins. Pure: texts and documents in, texts and data out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagefactory.release.lock import Lock
from imagefactory.release.releases import Pin

# What a site's settings, or an included file, may say about what is solved.
SETTINGS = ("packages", "compilers", "toolchains", "concretizer", "definitions")
# What names places outside of the release; sources.yaml and `release lock` say where things are.
PLACES = ("repos", "mirrors", "upstreams", "bootstrap")
_SPEC = re.compile(r"(?:[\w-]+\.)?(?P<name>[a-z0-9][a-z0-9_-]*)(?P<rest>.*)", re.DOTALL)
_VERSION = re.compile(r"\s*@\s*(?P<version>[A-Za-z0-9_.:,/=-]+)")
_TARGET = re.compile(r"(?:^|\s)(?:target|arch)=(?:[a-z]+-[a-z0-9]+-)?([a-z0-9_]+)(?:\s|$)")


@dataclass(frozen=True)
class Settings:
    """A settings file of Spack: its name for people, and its text."""

    name: str
    text: str


@dataclass(frozen=True)
class Adapted:
    """The environment as the release keeps it, and what was taken in or left out."""

    text: str
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """A package that an environment asks for; `exact` is the version of an `@=` that holds."""

    package: str
    spec: str
    exact: str | None


def adapt(text: str, further: Sequence[Settings]) -> Adapted:
    """The environment without places of its checkout, with further settings below its own.

    What `include:` names is among the further settings, where it is to be had.

    Of the settings the earlier wins over the later, and the environment over all, as in Spack.
    The text is the same, byte for byte, where nothing has to change; else its comments are lost,
    but each scalar stays as written (3.10 is no number).
    """
    import yaml

    top: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    own = _value(top, "spack")
    own, _ = _without(own, lambda key: key != "include", "spack.yaml", "")
    own, remarks = _without(own, lambda key: key not in PLACES, "spack.yaml", "")
    changed = len(own.value) < len(_value(top, "spack").value)
    for one in further:
        low = yaml.compose(one.text, Loader=yaml.SafeLoader)
        if low is None:
            continue
        low, gone = _without(low, lambda key: key in SETTINGS, one.name, ": not what is built")
        taken = [key.value for key, _ in low.value]
        remarks += [f"{one.name}: {key}: taken into spack.yaml" for key in taken] + gone
        changed = changed or bool(taken)
        own = _merge(own, low)
    if not changed:
        return Adapted(text, tuple(remarks))
    remarks.append("spack.yaml: written anew, its comments are lost")
    whole = yaml.MappingNode(top.tag, [(key, own) for key, _ in top.value if key.value == "spack"])
    return Adapted(yaml.serialize(whole, Dumper=yaml.SafeDumper, width=100), tuple(remarks))


def _without(
    mapping: Any, keep: Callable[[str], bool], name: str, reason: str
) -> tuple[Any, list[str]]:
    """A mapping with the keys to keep, and what is told of the others."""
    import yaml

    kept = [(key, value) for key, value in mapping.value if keep(key.value.rstrip(":"))]
    gone = [
        f"{name}: {key.value.rstrip(':')}: left out{reason}: {_short(value)}"
        for key, value in mapping.value
        if not keep(key.value.rstrip(":"))
    ]
    return yaml.MappingNode(mapping.tag, kept, flow_style=mapping.flow_style), gone


def _value(mapping: Any, name: str) -> Any:
    return next(value for key, value in mapping.value if key.value == name)


def _merge(high: Any, low: Any) -> Any:
    """A mapping of both: below `high` what `low` has, key by key; lists behind, texts not.

    New nodes: with an anchor one node may stand in two places.
    """
    import yaml

    known = {key.value: value for key, value in high.value}
    merged = dict(known)
    keys = {key.value: key for key, _ in high.value}
    for key, value in low.value:
        name = key.value.removesuffix(":")
        if f"{name}:" in known:  # `packages::` takes nothing from below
            continue
        mine = known.get(name)
        if mine is None:
            keys[key.value], merged[key.value] = key, value
        elif mine.id == value.id == "mapping":
            merged[name] = _merge(mine, value)
        elif mine.id == value.id == "sequence":
            seen = [_content(item) for item in mine.value]
            more = [item for item in value.value if _content(item) not in seen]
            merged[name] = yaml.SequenceNode(mine.tag, [*mine.value, *more])
    return yaml.MappingNode(high.tag, [(keys[name], value) for name, value in merged.items()])


def _content(node: Any) -> Any:
    """What a node says, in whatever style it is written; scalars as their text."""
    if node.id == "mapping":
        return {key.value: _content(value) for key, value in node.value}
    return [_content(item) for item in node.value] if node.id == "sequence" else node.value


def _short(node: Any) -> str:
    """A value in one line, for people."""
    import json

    import yaml

    loader = yaml.SafeLoader("")
    shown = json.dumps(loader.construct_document(node), default=str)
    return shown if len(shown) <= 100 else f"{shown[:97]}..."


def included(document: Mapping[str, Any]) -> list[str]:
    """The paths under `include:`, as written; Spack 1.x may write a mapping for each."""
    entries = document.get("include", document.get("include:")) or []
    found = [entry.get("path", entry) if isinstance(entry, dict) else entry for entry in entries]
    return [str(one) for one in found]


def builtin_of(document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the environment says of upstream's package repository, if it pins it to a commit."""
    repos = document.get("repos", document.get("repos:"))
    entry = repos.get("builtin") if isinstance(repos, dict) else None
    if isinstance(entry, dict) and re.fullmatch("[0-9a-f]{40}", str(entry.get("commit", ""))):
        return entry if isinstance(entry.get("git"), str) else None
    return None


def target_of(document: Mapping[str, Any]) -> str | None:
    """The one CPU target of all packages; None where none or several are named."""
    settings = (document.get("packages") or {}).get("all") or {}
    found = [str(one) for one in _list(settings.get("target"))]
    for text in _texts(settings.get("require")):
        found += _TARGET.findall(text)
    return found[0] if len(set(found)) == 1 else None


def asked_of(document: Mapping[str, Any]) -> list[Asked]:
    """The packages that an environment asks for, and those that it requires in a version.

    Definitions count where `specs:` refers to them. What stands under a `when:` or beside an
    `exclude:` need not hold, and so its version is not exact.
    """
    definitions: dict[str, list[tuple[Any, bool]]] = {}
    for block in _list(document.get("definitions")):
        for name, entries in block.items():
            if name != "when":
                rows = [(entry, "when" not in block) for entry in _list(entries)]
                definitions.setdefault(name, []).extend(rows)
    found: list[Asked] = []
    for text, sure in _specs(_list(document.get("specs")), definitions, True, ()):
        found += _asked(text, sure)
    for name, settings in (document.get("packages") or {}).items():
        for text in _texts((settings or {}).get("require")):
            if _VERSION.match(text):
                found += _asked(f"{name}{text}", True)
    return sorted(set(found), key=lambda one: (one.package, one.spec, one.exact or ""))


def _specs(
    entries: Iterable[Any],
    definitions: Mapping[str, list[tuple[Any, bool]]],
    sure: bool,
    inside: tuple[str, ...],
) -> Iterator[tuple[str, bool]]:
    """Every spec of a list with its references and matrices; and whether it surely holds."""
    for entry in entries:
        if isinstance(entry, dict):
            rows = [item for row in _list(entry.get("matrix")) for item in _list(row)]
            whole = sure and "exclude" not in entry
            yield from _specs(rows, definitions, whole, inside)
        elif isinstance(entry, str) and entry.startswith("$"):
            name = entry.lstrip("$^%").strip("{}")
            # `$^mpis` and `$%compilers` give what others depend on, and a name stands in itself
            # only in a file that Spack refuses.
            if entry.startswith(("$^", "$%")) or name in inside:
                continue
            for item, certain in definitions.get(name, []):
                yield from _specs([item], definitions, sure and certain, (*inside, name))
        elif isinstance(entry, str):
            yield entry, sure


def _asked(text: str, sure: bool) -> Iterator[Asked]:
    """The package that a spec begins with; nothing for a constraint such as `%gcc` or `+mpi`."""
    match = _SPEC.fullmatch(text.strip())
    if match is None or match["rest"].startswith("="):
        return
    version = _VERSION.match(match["rest"])
    number = version["version"] if version else ""
    exact = number.removeprefix("=") if number.startswith("=") and "," not in number else None
    yield Asked(match["name"].replace("_", "-"), text.strip(), exact if sure else None)


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _texts(value: Any) -> list[str]:
    return [one for one in _list(value) if isinstance(one, str)]


def pins_of(asked: Sequence[Asked], lock: Lock | None) -> tuple[Pin, ...]:
    """The versions that the release has on purpose: verified from its lock, or from `@=`.

    Anything else is unknown, and its source says what was asked for.
    """
    names = {one.package for one in asked}
    if lock is not None:
        names |= {lock.nodes[root.hash].name for root in lock.roots}
    pins: list[Pin] = []
    for name in sorted(names):
        mine = [one for one in asked if one.package == name]
        exact = sorted({one.exact for one in mine if one.exact})
        specs = ", ".join(dict.fromkeys(one.spec for one in mine))
        if lock is None:
            pins += _from_specs(name, exact, specs)
        else:
            pins += _from_lock(name, exact, specs, lock)
    return tuple(pins)


def _from_specs(name: str, exact: Sequence[str], specs: str) -> list[Pin]:
    if exact:
        return [Pin(name, one, "verified", f"the imported spack.yaml: {specs}") for one in exact]
    return [
        Pin(
            name,
            None,
            "unknown",
            f"the imported spack.yaml asks for {specs}; it came without a lock that says more",
        )
    ]


def _from_lock(name: str, exact: Sequence[str], specs: str, lock: Lock) -> list[Pin]:
    roots = [lock.nodes[root.hash] for root in lock.roots]
    nodes = [one for one in roots if one.name == name] or [
        one for one in lock.nodes.values() if one.name == name
    ]
    versions = sorted({one.version for one in nodes})
    if versions and set(exact) <= set(versions):
        return [Pin(name, one, "verified", "the imported spack.lock") for one in versions]
    said = f"{name}@{', '.join(versions)}" if versions else "none"
    return [
        Pin(
            name,
            None,
            "unknown",
            f"the imported spack.yaml asks for {specs}, its spack.lock has {said}",
        )
    ]


def disagreements(pins: Sequence[Pin], lock: Lock | None) -> list[str]:
    """Where environment and lock of a checkout say different things."""
    if lock is None:
        return []
    return [f"{pin.package}: {pin.source}"
            for pin in pins if pin.version is None]  # fmt: skip
