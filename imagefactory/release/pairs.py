"""Which node of an old lock became which node of a new one.

A lock may hold several nodes of one name (a package built by two compilers, a Python for building
only), so a name alone says nothing: nodes are paired by what they share.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from imagefactory.release.lock import Node

# How much each thing that two nodes share speaks for them being the same: who uses a node and
# what it is made with and from say more than its number.
_USERS, _COMPILERS, _NEEDS, _VERSION, _VARIANTS, _PLACE = 4.0, 3.0, 3.0, 2.0, 2.0, 1.0
_ROOT = ""  # the user of a root


@dataclass(frozen=True)
class Side:
    """The nodes of one lock by hash, and the hashes of those that use each; `_ROOT` uses roots."""

    nodes: Mapping[str, Node]
    users: Mapping[str, frozenset[str]]

    @classmethod
    def of(cls, nodes: Mapping[str, Node], roots: Iterable[str]) -> Side:
        users: dict[str, set[str]] = defaultdict(set)
        for node in nodes.values():
            for one in node.dependencies:
                users[one.hash].add(node.hash)
        for root in roots:
            users[root].add(_ROOT)
        return cls(nodes, {key: frozenset(value) for key, value in users.items()})


@dataclass(frozen=True, slots=True)
class _Traits:
    """What of a node is compared; hashes in it are those of the new lock."""

    node: Node
    users: frozenset[str]
    compilers: frozenset[str]
    needs: frozenset[str]
    variants: frozenset[str]
    place: frozenset[str]


def pair(old: Side, new: Side) -> dict[str, str]:
    """The hash in the new lock by the hash in the old one, for every node that is in both.

    An equal hash is a pair; so are two nodes where each lock has one of that name. Where a name
    stands several times, those pair that share most; nodes of another version that no common
    package uses are strangers.
    """
    pairs = {key: key for key in old.nodes if key in new.nodes}
    crowded = []
    for mine, theirs in _groups(old, new):
        if len(mine) == len(theirs) == 1:
            pairs[mine[0].hash] = theirs[0].hash
        else:
            mine = [node for node in mine if node.hash not in new.nodes]
            theirs = [node for node in theirs if node.hash not in old.nodes]
            crowded.append((mine, theirs))
    certain = pairs
    # The second time it is known which nodes around became which.
    for _ in range(2):
        found = dict(certain)
        for mine, theirs in crowded:
            found |= _pair_crowd(
                [_traits(node, old, pairs) for node in mine],
                [_traits(node, new, {}) for node in theirs],
            )
        pairs = found
    return pairs


def _groups(old: Side, new: Side) -> Iterator[tuple[list[Node], list[Node]]]:
    """The nodes of each name that stands in both locks."""
    mine, theirs = _by_name(old.nodes.values()), _by_name(new.nodes.values())
    yield from ((nodes, theirs[name]) for name, nodes in mine.items() if name in theirs)


def _by_name(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    groups: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        groups[node.name].append(node)
    return groups


def _traits(node: Node, side: Side, pairs: Mapping[str, str]) -> _Traits:
    users = side.users.get(node.hash, frozenset())
    names = (side.nodes[user].name if user else _ROOT for user in users)
    compilers = node.compilers.items()
    return _Traits(
        node=node,
        users=frozenset(names) | {pairs.get(user, user) for user in users},
        compilers=frozenset(f"{word} {spec}" for word, spec in compilers)
        | {f"{word} {spec.partition('@')[0]}" for word, spec in compilers},
        needs=frozenset(one.name for one in node.dependencies)
        | {pairs.get(one.hash, one.hash) for one in node.dependencies},
        variants=frozenset(f"{name}={value}" for name, value in node.parameters.items()),
        place=frozenset((node.target, node.namespace, str(node.external is None))),
    )


def _pair_crowd(mine: Sequence[_Traits], theirs: Sequence[_Traits]) -> dict[str, str]:
    """The pairs among nodes of one name, the most alike first."""
    likeness = [
        (-_likeness(one, other), one.node.hash, other.node.hash)
        for one in mine
        for other in theirs
        if one.users & other.users or one.node.version == other.node.version
    ]
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, one, other in sorted(likeness):
        if one not in pairs and other not in taken:
            pairs[one] = other
            taken.add(other)
    return pairs


def _likeness(one: _Traits, other: _Traits) -> float:
    return (
        _USERS * _shared(one.users, other.users)
        + _COMPILERS * _shared(one.compilers, other.compilers)
        + _NEEDS * _shared(one.needs, other.needs)
        + _VERSION * (one.node.version == other.node.version)
        + _VARIANTS * _shared(one.variants, other.variants)
        + _PLACE * _shared(one.place, other.place)
    )


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    """How much of two sets is in both: 0 to 1."""
    if not one and not other:
        return 1.0
    both = len(one & other)
    return both / (len(one) + len(other) - both)
