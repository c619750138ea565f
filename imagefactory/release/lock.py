"""A Spack lock as data: format 5 (Spack 0.21 to 0.23) and format 6 (Spack 1.0 and 1.1).

Sources, read in Spack 1.1.0: spack/environment/__init__.py (the formats), spec.py `to_node_dict`
(a node). A lock of 800 nodes is read in well under 0.1 s; a JSON schema takes seconds for it,
so the shape is checked here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault
from imagefactory.release.integrity import find_edit

FORMATS = (5, 6)
LANGUAGES = ("c", "cxx", "fortran")
# Which Spack writes which format: the page "Lockfile Format" of Spack's documentation.
_WRITERS = {
    1: "0.12", 2: "0.13 to 0.16", 3: "0.17", 4: "0.18 to 0.20", 7: "1.2", 8: "1.3",
}  # fmt: skip
_AGAIN = "make it again with Spack: spack -e FOLDER concretize --force"

Document = dict[str, Any]
_Shape = Mapping[str, tuple[type | tuple[type, ...], bool]]  # key: kind, is it required
_SECTION: _Shape = {"roots": (list, True), "concrete_specs": (dict, True)}
_NODE: _Shape = {
    "name": (str, True), "version": (str, True), "arch": (dict, True), "hash": (str, True),
    "namespace": (str, False), "parameters": (dict, False), "dependencies": (list, False),
    "external": (dict, False), "package_hash": (str, False), "compiler": (dict, False),
    "annotations": (dict, False), "build_spec": (dict, False),
}  # fmt: skip
_INSIDE: Mapping[str, _Shape] = {
    "arch": {
        "platform": (str, True), "platform_os": (str, True), "target": ((str, dict), True),
    },
    "compiler": {"name": (str, True), "version": (str, True)},
    "build_spec": {"name": (str, True), "hash": (str, True)},
    "external": {
        "path": ((str, type(None)), False), "module": ((list, type(None)), False),
        "extra_attributes": ((dict, type(None)), False),
    },
}  # fmt: skip
_DEPENDENCY: _Shape = {"name": (str, True), "hash": (str, True), "parameters": (dict, True)}
_EDGE: _Shape = {"deptypes": (list, True), "virtuals": (list, True)}
_ROOT: _Shape = {"spec": (str, True), "hash": (str, True)}
_KINDS = {
    dict: "a mapping", list: "a list", str: "a text", int: "a number", float: "a number",
    bool: "true or false", type(None): "null",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dependency:
    """What a node needs: kinds of build, link, run, test; virtuals such as mpi or c."""

    name: str
    hash: str
    kinds: tuple[str, ...]
    virtuals: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class External:
    """Where a package is that Spack did not build, with what its spack.yaml says of it."""

    path: str | None
    modules: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """One package of a lock, everything decided.

    `compilers` maps a language (c, cxx, fortran) to `gcc@12.2.0`; before format 6 a node had one
    compiler, which stands there for all three. `build_spec` is the hash of the node that a
    spliced one was built as.
    """

    name: str
    version: str
    hash: str
    namespace: str
    platform: str
    system: str
    target: str
    parameters: Mapping[str, Any]
    dependencies: tuple[Dependency, ...]
    external: External | None
    package_hash: str | None
    compilers: Mapping[str, str]
    build_spec: str | None = None

    @property
    def spec(self) -> str:
        """name@version"""
        return f"{self.name}@{self.version}"

    @property
    def label(self) -> str:
        """name@version/abcdefg: unique in a lock, and short."""
        return f"{self.spec}/{self.hash[:7]}"


@dataclass(frozen=True, slots=True)
class Root:
    """What was asked for (as spack.yaml says it), and the node that it became."""

    spec: str
    hash: str


@dataclass(frozen=True)
class Lock:
    """A whole lock, sorted: two locks of the same content are equal.

    Roots and nodes of environments that it includes (`include_concrete`) are in it: Spack
    installs them too. The path under which they were included is not.
    """

    format: int
    spack_version: str | None
    spack_commit: str | None
    roots: tuple[Root, ...]
    nodes: Mapping[str, Node]

    def needed(self, kinds: frozenset[str] | None = None) -> Mapping[str, Node]:
        """The nodes that the roots need, by hash; with `kinds` only through such dependencies.

        What is left out of the whole lock are nodes that only tell how a spliced one was built.
        """
        found: dict[str, Node] = {}
        waiting = [root.hash for root in reversed(self.roots)]
        while waiting:
            node = self.nodes[waiting.pop()]
            if node.hash in found:
                continue
            found[node.hash] = node
            waiting += [
                one.hash for one in node.dependencies if kinds is None or kinds & set(one.kinds)
            ]
        return found


def read_lock(path: Path) -> Lock:
    """Read spack.lock; raises ConfigurationFault with every fault found."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as err:
        raise ConfigurationFault(f"cannot read the lock: {err.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise ConfigurationFault(
            "cannot read the lock: it is not UTF-8 text", where=str(path), fix=_AGAIN
        ) from None
    return parse_lock(text, str(path))


def parse_lock(text: str, where: str) -> Lock:
    """The text of a spack.lock as a Lock; `where` names it in faults.

    Raises ConfigurationFault with every fault found: no JSON, another format, keys that are
    missing or of the wrong type, hashes that lead nowhere or do not fit their node.
    """
    document = _load(text, where)
    number = _require_format(document, where)
    faults: list[Fault] = []
    roots: list[Root] = []
    found: dict[str, Document] = {}
    known: set[str] = set()
    for section, place in _sections(document, where, faults):
        known |= set(section["concrete_specs"])
        found |= _check_nodes(section["concrete_specs"], place, faults)
        roots += _check_roots(section["roots"], place, faults)
    faults += _find_loose_ends(roots, found, known, where)
    if faults:
        raise ConfigurationFault.from_faults(faults)
    spack = document.get("spack") or {}
    return Lock(
        format=number,
        spack_version=spack.get("version"),
        spack_commit=spack.get("commit"),
        roots=tuple(sorted(set(roots), key=lambda root: (root.spec, root.hash))),
        nodes={
            key: _node(found[key], found)
            for key in sorted(found, key=lambda key: (found[key]["name"], key))
        },
    )


def _load(text: str, where: str) -> Document:
    try:
        document = json.loads(text)
    except json.JSONDecodeError as err:
        if err.pos >= len(text.rstrip()):
            raise ConfigurationFault(
                "the lock ends in the middle: it was cut off",
                where=f"{where}:{err.lineno}",
                fix=f"copy it again from where it came, or {_AGAIN}",
            ) from None
        raise ConfigurationFault(
            f"this is no JSON: {err.msg}",
            where=f"{where}:{err.lineno}:{err.colno}",
            fix=f"take back the edit or the merge, or {_AGAIN}",
        ) from None
    except RecursionError:
        raise ConfigurationFault("this is no lock: nested too deep", where=where) from None
    if not isinstance(document, dict):
        raise ConfigurationFault(f"this is {_kind(document)}, not a lock", where=where)
    return document


def _require_format(document: Document, where: str) -> int:
    """The number of the format; refuses others before their keys are called wrong."""
    meta = document.get("_meta")
    if not isinstance(meta, dict) or meta.get("file-type") != "spack-lockfile":
        raise ConfigurationFault(
            "this is no spack.lock: _meta.file-type is not 'spack-lockfile'",
            where=where,
            fix="give the file spack.lock that stands beside spack.yaml",
        )
    number = meta.get("lockfile-version")
    place = f"{where}: _meta.lockfile-version"
    if not isinstance(number, int) or isinstance(number, bool):
        raise ConfigurationFault(f"{number!r} is no format of a lock", where=place, fix=_AGAIN)
    if number in FORMATS:
        return number
    writer = f" (Spack {_WRITERS[number]})" if number in _WRITERS else ""
    if number > FORMATS[-1]:
        raise ConfigurationFault(
            f"lock format {number}{writer} is newer than what can be read: 5 and 6",
            where=place,
            fix="take a newer imagefactory, or make the lock with Spack 1.0 or 1.1",
        )
    raise ConfigurationFault(
        f"lock format {number}{writer} is older than what can be read: 5 and 6",
        where=place,
        fix="make it again with Spack 0.21 or later: spack -e FOLDER concretize --force",
    )


def _sections(document: Any, where: str, faults: list[Fault]) -> Iterator[tuple[Document, str]]:
    """The lock itself and the environments that it includes, those of theirs too."""
    misfits = list(_misfits(document, _SECTION, where))
    faults += misfits
    if not misfits:
        yield document, where
    if not isinstance(document, dict):
        return
    included = document.get("include_concrete", {})
    if not isinstance(included, dict):
        faults.append(Fault(f"include_concrete is {_kind(included)}, not a mapping", where))
        return
    for name, section in included.items():
        yield from _sections(section, f"{where}: include_concrete.{Path(name).name}", faults)


def _check_nodes(nodes: Document, where: str, faults: list[Fault]) -> dict[str, Document]:
    """The nodes that have the shape of one; what is wrong with the others goes to `faults`."""
    good = {}
    for key, node in nodes.items():
        name = node.get("name") if isinstance(node, dict) else None
        place = f"{where}: {name}/{key[:7]}" if isinstance(name, str) else f"{where}: {key[:7]}"
        misfits = list(_node_misfits(node, place))
        if not misfits:
            good[key] = node
            if node["hash"] != key:
                misfits.append(
                    Fault(
                        f"it stands under the hash {key[:7]}, but says {node['hash'][:7]}",
                        place,
                        _AGAIN,
                    )
                )
            misfits += find_edit(node, place)
        faults += misfits
    return good


def _node_misfits(node: object, place: str) -> Iterator[Fault]:
    misfits = list(_misfits(node, _NODE, place))
    yield from misfits
    if misfits or not isinstance(node, dict):
        return
    for key, shape in _INSIDE.items():
        if key in node:
            yield from _misfits(node[key], shape, f"{place}: {key}")
    for one in node.get("dependencies", ()):
        misfits = list(_misfits(one, _DEPENDENCY, f"{place}: dependencies"))
        yield from misfits
        if not misfits:
            yield from _misfits(one["parameters"], _EDGE, f"{place}: dependencies.{one['name']}")


def _misfits(value: object, shape: _Shape, place: str) -> Iterator[Fault]:
    if not isinstance(value, dict):
        yield Fault(f"this is {_kind(value)}, not a mapping", place, _AGAIN)
        return
    for key, (kind, required) in shape.items():
        if key not in value:
            if required:
                yield Fault(f"the key {key!r} is missing", place, _AGAIN)
        elif not isinstance(value[key], kind):
            wanted = kind if isinstance(kind, tuple) else (kind,)
            words = " or ".join(_KINDS[one] for one in wanted)
            yield Fault(f"{key!r} is {_kind(value[key])}, not {words}", place, _AGAIN)


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _check_roots(roots: list[Any], where: str, faults: list[Fault]) -> list[Root]:
    good = []
    for number, root in enumerate(roots):
        misfits = list(_misfits(root, _ROOT, f"{where}: roots[{number}]"))
        faults += misfits
        if not misfits:
            good.append(Root(root["spec"], root["hash"]))
    return good


def _find_loose_ends(
    roots: list[Root], nodes: dict[str, Document], known: set[str], where: str
) -> Iterator[Fault]:
    """Hashes that lead nowhere; `known` are those of all nodes, the misshapen ones too."""
    if not roots:
        yield Fault("the lock has no roots: nothing was concretized", where, _AGAIN)
    for root in roots:
        if root.hash not in known:
            yield Fault(
                f"the root {root.spec!r} leads to {root.hash[:7]}, which is not in the lock",
                where,
                _AGAIN,
            )
    for key, node in nodes.items():
        built_as = [node["build_spec"]] if "build_spec" in node else []
        for end in [*node.get("dependencies", ()), *built_as]:
            if end["hash"] not in known:
                yield Fault(
                    f"it needs {end['name']}/{end['hash'][:7]}, which is not in the lock",
                    f"{where}: {node['name']}/{key[:7]}",
                    _AGAIN,
                )


def _node(node: Document, nodes: Mapping[str, Document]) -> Node:
    arch = node["arch"]
    target = arch["target"]
    return Node(
        name=node["name"],
        version=node["version"],
        hash=node["hash"],
        namespace=node.get("namespace", ""),
        platform=arch["platform"],
        system=arch["platform_os"],
        target=target if isinstance(target, str) else str(target.get("name", "")),
        parameters=node.get("parameters", {}),
        dependencies=tuple(
            sorted(
                (_dependency(one) for one in node.get("dependencies", ())),
                key=lambda one: (one.name, one.hash),
            )
        ),
        external=_external(node["external"]) if node.get("external") else None,
        package_hash=node.get("package_hash"),
        compilers=dict(sorted(_compilers(node, nodes))),
        build_spec=node["build_spec"]["hash"] if "build_spec" in node else None,
    )


def _dependency(one: Document) -> Dependency:
    edge = one["parameters"]
    return Dependency(
        one["name"],
        one["hash"],
        tuple(sorted(map(str, edge["deptypes"]))),
        tuple(sorted(map(str, edge["virtuals"]))),
    )


def _external(one: Document) -> External:
    modules = tuple(map(str, one.get("module") or ()))
    return External(one.get("path"), modules, one.get("extra_attributes") or {})


def _compilers(node: Document, nodes: Mapping[str, Document]) -> Iterator[tuple[str, str]]:
    old = node.get("compiler")
    if old:
        yield from ((language, f"{old['name']}@{old['version']}") for language in LANGUAGES)
    elif "compiler" in node.get("annotations", {}):  # of Spack 0.23, taken over by 1.x
        spec = str(node["annotations"]["compiler"]).replace("@=", "@")
        yield from ((language, spec) for language in LANGUAGES)
    for one in node.get("dependencies", ()):
        for language in one["parameters"]["virtuals"]:
            if language in LANGUAGES:
                compiler = nodes[one["hash"]]
                yield language, f"{compiler['name']}@{compiler['version']}"
