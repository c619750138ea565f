"""What changed between two locks, and what must be built again for it. Needs no Spack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from imagefactory.release.abi import interface_names
from imagefactory.release.lock import Lock, Node, Root
from imagefactory.release.pairs import Side, pair
from imagefactory.release.summary import Summary, summarize
from imagefactory.release.versions import version_key

BUILT = "built by Spack"  # the place of what is no external


class Kind(StrEnum):
    """What can change of a package, the most important first: a change is named after its first."""

    ADDED = "added"
    REMOVED = "removed"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    OTHER_VERSION = "other version"  # two that have no order, such as commits
    VARIANTS = "variants"
    EXTERNAL = "external"
    DEPENDENCIES = "dependencies"
    RECIPE = "recipe"
    # The others come to every package at once when one thing changes.
    COMPILER = "compiler"
    TARGET = "target"
    OTHER_BUILD = "other build"  # of a dependency, in the same version
    DETAILS = "details"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs: `what` names the variant, language or dependency; empty texts where
    it was not there before, or is gone."""

    kind: Kind
    what: str
    old: str
    new: str


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """What a package was on one side."""

    version: str
    hash: str


@dataclass(frozen=True, slots=True)
class Change:
    """A package that changed by itself, not only through what it depends on.

    `old` is None where it was added, `new` where it was removed.
    `interface` is true for what others link with or a site must match (MPI, PMIx, compiler, ...).
    """

    name: str
    kind: Kind
    interface: bool
    old: Package | None
    new: Package | None
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A package of the new lock that must be built: for what changed of itself (`own`), or
    because of the packages named in `because`, those that define interfaces first."""

    name: str
    version: str
    hash: str
    own: tuple[Kind, ...]
    because: tuple[str, ...]


@dataclass(frozen=True)
class RootChange:
    """What is asked for differently; None where nothing was, or is, asked."""

    old: str | None
    new: str | None


@dataclass(frozen=True)
class LockDiff:
    """Two locks compared.

    `origins` are what the locks themselves do not say, such as the commit of the recipes.
    `changes` are sorted by interface, kind and name; `rebuilds` are the nodes of the new lock
    that Spack builds, whose hash is not in the old one; `kept` counts the hashes in both.
    """

    names: tuple[str, str]
    origins: tuple[Mapping[str, str], Mapping[str, str]]
    old: Summary
    new: Summary
    roots: tuple[RootChange, ...]
    changes: tuple[Change, ...]
    rebuilds: tuple[Rebuild, ...]
    kept: int


def diff_locks(
    old: Lock,
    new: Lock,
    names: tuple[str, str] = ("old", "new"),
    origins: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> LockDiff:
    """Compare two locks; `names` is what they are called in texts, `origins` what is told of
    each besides its content."""
    mine = Side.of(old.needed(), (root.hash for root in old.roots))
    theirs = Side.of(new.needed(), (root.hash for root in new.roots))
    pairs = pair(mine, theirs)
    interface = interface_names([*mine.nodes.values(), *theirs.nodes.values()])
    changes = sorted(_find_changes(mine, theirs, pairs, interface), key=_rank)
    return LockDiff(
        names=names,
        origins=origins,
        old=summarize(old),
        new=summarize(new),
        roots=tuple(_compare_roots(old, new)),
        changes=tuple(changes),
        rebuilds=tuple(_find_rebuilds(mine, theirs, changes, interface)),
        kept=sum(key in mine.nodes for key in theirs.nodes),
    )


def _rank(change: Change) -> tuple[object, ...]:
    """What counts most first, and always in one order."""
    place = list(Kind).index(change.kind)
    sides = [one for one in (change.old, change.new) if one is not None]
    return not change.interface, place, change.name, sides


def _find_changes(
    old: Side, new: Side, pairs: Mapping[str, str], interface: frozenset[str]
) -> Iterator[Change]:
    """Everything that changed by itself, in no order."""
    arrived = set(new.nodes) - set(pairs.values())
    for key, node in old.nodes.items():
        if key not in pairs:
            yield Change(node.name, Kind.REMOVED, node.name in interface, _package(node), None, ())
    for key in arrived:
        node = new.nodes[key]
        yield Change(node.name, Kind.ADDED, node.name in interface, None, _package(node), ())
    for before, after in pairs.items():
        if before == after:
            continue
        one, other = old.nodes[before], new.nodes[after]
        found = tuple(_compare(one, other, old, new, pairs))
        if found:
            yield Change(
                one.name,
                found[0].kind,
                one.name in interface,
                _package(one),
                _package(other),
                found,
            )


def _package(node: Node) -> Package:
    return Package(node.version, node.hash)


def _compare(
    old: Node, new: Node, before: Side, after: Side, pairs: Mapping[str, str]
) -> Iterator[Difference]:
    """What differs between two nodes that are a pair, in the order of Kind; nothing where only
    a dependency was built again."""
    found = [
        *_compare_versions(old, new),
        *_compare_variants(old, new),
        *_compare_externals(old, new),
        *_compare_needs(_uses(old, before), _uses(new, after), before, after, pairs),
        *_compare_recipes(old, new),
        *_compare_compilers(old, new),
        *_compare_targets(old, new),
    ]
    if not found and all(one.hash in before.nodes for one in new.dependencies):
        # Nothing below it is new, so it must be told what we leave out otherwise, or that the
        # hash covers more than we show: the CPU target's description, the format of the node.
        all_uses = _uses(old, before, _NOTHING), _uses(new, after, _NOTHING)
        found = list(_compare_needs(*all_uses, before, after, pairs))
        found = found or [Difference(Kind.DETAILS, "hash", old.hash[:7], new.hash[:7])]
    order = list(Kind)
    yield from sorted(found, key=lambda one: order.index(one.kind))


def _compare_versions(old: Node, new: Node) -> Iterator[Difference]:
    if old.version == new.version:
        return
    before, after = version_key(old.version), version_key(new.version)
    kind = Kind.OTHER_VERSION
    if before is not None and after is not None and before != after:
        kind = Kind.UPGRADED if before < after else Kind.DOWNGRADED
    yield Difference(kind, "version", old.version, new.version)


def _compare_variants(old: Node, new: Node) -> Iterator[Difference]:
    for name in sorted({*old.parameters, *new.parameters}):
        before, after = old.parameters.get(name), new.parameters.get(name)
        if before != after:
            yield Difference(Kind.VARIANTS, name, _variant(name, before), _variant(name, after))


def _variant(name: str, value: object) -> str:
    """A variant as a spec says it; an empty text where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return f"{'+' if value else '~'}{name}"
    if isinstance(value, list):
        if name == "patches":  # by their sha256; nobody reads those
            return f"patches={','.join(str(one)[:7] for one in value)}"
        return f"{name}={','.join(map(str, value)) or 'none'}"
    return f"{name}={value}"


def _compare_externals(old: Node, new: Node) -> Iterator[Difference]:
    if old.external == new.external:
        return
    before, after = _place(old), _place(new)
    if before == after:
        yield Difference(Kind.EXTERNAL, "attributes", "as before", "others")
    else:
        yield Difference(Kind.EXTERNAL, "place", before, after)


def _place(node: Node) -> str:
    if node.external is None:
        return BUILT
    words = [node.external.path or "", *node.external.modules]
    return f"external {', '.join(word for word in words if word)}"


def _compare_compilers(old: Node, new: Node) -> Iterator[Difference]:
    """One difference for all languages that changed alike. A language that only one side has is
    no other compiler: before format 6 a node had all of them."""
    changed: dict[tuple[str, str], list[str]] = {}
    for language, before in old.compilers.items():
        after = new.compilers.get(language, before)
        if before != after:
            changed.setdefault((before, after), []).append(language)
    for (before, after), languages in changed.items():
        yield Difference(Kind.COMPILER, ", ".join(languages), before, after)


def _compare_targets(old: Node, new: Node) -> Iterator[Difference]:
    before = (old.platform, old.system, old.target)
    after = (new.platform, new.system, new.target)
    if before != after:
        yield Difference(Kind.TARGET, "architecture", "-".join(before), "-".join(after))


_Uses = dict[str, dict[str, str]]  # what a dependency is used for, by its name and hash


def _compare_needs(
    mine: _Uses, theirs: _Uses, before: Side, after: Side, pairs: Mapping[str, str]
) -> Iterator[Difference]:
    """Dependencies that came, went, serve another purpose or are another node than the one that
    the old became."""
    for name in sorted({*mine, *theirs}):
        were, are = mine.get(name, {}), theirs.get(name, {})
        stayed = {key: pairs[key] for key in were if pairs.get(key) in are}
        gone = {key: use for key, use in were.items() if key not in stayed}
        came = {key: use for key, use in are.items() if key not in stayed.values()}
        if _specs(gone, before) != _specs(came, after):
            yield Difference(Kind.DEPENDENCIES, name, _told(gone, before), _told(came, after))
        elif came and before.nodes.keys() >= came.keys():
            yield Difference(Kind.OTHER_BUILD, name, _labels(gone, before), _labels(came, after))
        for key, became in stayed.items():
            if were[key] != are[became]:
                yield Difference(Kind.DEPENDENCIES, name, were[key], are[became])


def _specs(uses: Mapping[str, str], side: Side) -> list[tuple[str, str]]:
    return sorted((side.nodes[key].spec, use) for key, use in uses.items())


# They come and go with the compiler, the language that a recipe asks for, and the libc.
_COMPANIONS = frozenset(
    {"compiler-wrapper", "gcc-runtime", "intel-oneapi-runtime", "glibc", "musl"}
)
_NOTHING: frozenset[str] = frozenset()


def _uses(node: Node, side: Side, left_out: frozenset[str] = _COMPANIONS) -> _Uses:
    """The dependencies of a node; compilers and their companions are left out unless asked for:
    they are told of once."""
    found: _Uses = {}
    compilers = node.compilers.values() if left_out else ()
    for one in node.dependencies:
        if one.name in left_out or side.nodes[one.hash].spec in compilers:
            continue
        virtuals = f" as {', '.join(one.virtuals)}" if one.virtuals else ""
        found.setdefault(one.name, {})[one.hash] = f"{', '.join(one.kinds)}{virtuals}"
    return found


def _labels(uses: Iterable[str], side: Side) -> str:
    return "; ".join(sorted(side.nodes[key].label for key in uses))


def _told(uses: Mapping[str, str], side: Side) -> str:
    return "; ".join(sorted(f"{side.nodes[key].label} ({use})" for key, use in uses.items()))


def _compare_recipes(old: Node, new: Node) -> Iterator[Difference]:
    if old.namespace != new.namespace:
        yield Difference(Kind.RECIPE, "namespace", old.namespace, new.namespace)
    # Another version is another recipe as a rule: sources and patches are part of it.
    if old.version == new.version and old.package_hash != new.package_hash:
        before, after = (one.package_hash or "" for one in (old, new))
        yield Difference(Kind.RECIPE, "package hash", before[:7], after[:7])


def _compare_roots(old: Lock, new: Lock) -> Iterator[RootChange]:
    """Roots that are asked for differently, paired by the name of their package."""
    gone = _by_package(old, set(old.roots) - _asked_alike(old, new))
    come = _by_package(new, set(new.roots) - _asked_alike(new, old))
    for name in sorted({*gone, *come}):
        before, after = gone.get(name, []), come.get(name, [])
        for index in range(max(len(before), len(after))):
            yield RootChange(
                before[index] if index < len(before) else None,
                after[index] if index < len(after) else None,
            )


def _asked_alike(lock: Lock, other: Lock) -> set[Root]:
    specs = {root.spec for root in other.roots}
    return {root for root in lock.roots if root.spec in specs}


def _by_package(lock: Lock, roots: set[Root]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for root in sorted(roots, key=lambda root: root.spec):
        found.setdefault(lock.nodes[root.hash].name, []).append(root.spec)
    return found


def _find_rebuilds(
    old: Side, new: Side, changes: list[Change], interface: frozenset[str]
) -> Iterator[Rebuild]:
    """What Spack must build, by name; what it takes from elsewhere (externals) is only a cause."""
    own = {one.new.hash: one for one in changes if one.new is not None}
    fresh = {key: node for key, node in new.nodes.items() if key not in old.nodes}
    for node in sorted(fresh.values(), key=lambda node: (node.name, node.version, node.hash)):
        if node.external is not None:
            continue
        change = own.get(node.hash)
        if change is None:
            causes = {fresh[key].spec for key in _origins(node, fresh, own)}
            because = sorted(causes, key=lambda one: (one.partition("@")[0] not in interface, one))
            kinds: tuple[Kind, ...] = ()
        else:
            because = []
            kinds = tuple(dict.fromkeys(one.kind for one in change.differences)) or (change.kind,)
        yield Rebuild(node.name, node.version, node.hash, kinds, tuple(because))


def _origins(node: Node, fresh: Mapping[str, Node], own: Mapping[str, Change]) -> set[str]:
    """The nearest nodes below this one that changed by themselves."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [node.hash]
    while waiting:
        for one in fresh[waiting.pop()].dependencies:
            if one.hash not in fresh or one.hash in seen:
                continue
            seen.add(one.hash)
            if one.hash in own:
                found.add(one.hash)
            else:
                waiting.append(one.hash)
    return found
