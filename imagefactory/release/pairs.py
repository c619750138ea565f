"""Which node of an old lock became which node of a new one.

A lock may hold several nodes of one name (a package built by two compilers, a Python for building
only), so a name alone says nothing: nodes are paired by what they share.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from imagefactory.release.lock import Node

# How much each thing that two nodes share speaks for them being the same: who uses a node and
# what it is made with and from say more than its number.
_USERS, _COMPILERS, _NEEDS, _VERSION, _VARIANTS, _PLACE = 4.0, 3.0, 3.0, 2.0, 2.0, 1.0
# Pairs tell more about the nodes around them each time. With every hash of a real lock of 1,238
# nodes changed (74 of one name), 29 were wrong after two rounds, 2 after three, 4 after more.
_ROUNDS = 3
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
class _Candidate:
    """Two nodes that may be a pair, and how much alike they are without those around them."""

    old: str
    new: str
    likeness: float


_Around = tuple[frozenset[str], frozenset[str]]  # users and needs of a node


def pair(old: Side, new: Side) -> dict[str, str]:
    """The hash in the new lock by the hash in the old one, for every node that is in both.

    An equal hash is a pair; so are two nodes where each lock has one of that name. Where a name
    stands several times, those pair that share most; nodes of another version that no common
    package uses are strangers.
    """
    certain = {key: key for key in old.nodes if key in new.nodes}
    crowds = []
    for mine, theirs in _groups(old, new):
        if len(mine) == len(theirs) == 1:
            certain[mine[0].hash] = theirs[0].hash
        else:
            mine = [node for node in mine if node.hash not in new.nodes]
            theirs = [node for node in theirs if node.hash not in old.nodes]
            crowds.append(list(_candidates(mine, theirs, old, new)))
    pairs = certain
    for _ in range(_ROUNDS):
        found = dict(certain)
        for crowd in crowds:
            found |= _pair_crowd(crowd, old, new, pairs)
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


def _candidates(
    mine: Iterable[Node], theirs: Iterable[Node], old: Side, new: Side
) -> Iterator[_Candidate]:
    """The pairs that are possible among nodes of one name."""
    other_side = [(node, _names(node, new), _own_traits(node)) for node in theirs]
    for one in mine:
        users, traits = _names(one, old), _own_traits(one)
        for other, their_users, their_traits in other_side:
            if one.version == other.version or users & their_users:
                shared = (
                    weight * _shared(trait, their_trait)
                    for (weight, trait), (_, their_trait) in zip(traits, their_traits, strict=True)
                )
                yield _Candidate(one.hash, other.hash, sum(shared))


def _names(node: Node, side: Side) -> frozenset[str]:
    """The names of those who use a node."""
    users = side.users.get(node.hash, frozenset())
    return frozenset(side.nodes[user].name if user else _ROOT for user in users)


def _own_traits(node: Node) -> list[tuple[float, frozenset[str]]]:
    """What of the node itself is compared, each with its weight."""
    compilers = (
        f"{language} {start}"
        for language, spec in node.compilers.items()
        for start in (spec.partition("@")[0], *_starts(spec))
    )
    variants = (f"{name}={value}" for name, value in node.parameters.items())
    return [
        (_COMPILERS, frozenset(compilers)),
        (_VERSION, frozenset(_starts(node.version))),
        (_VARIANTS, frozenset(variants)),
        (_PLACE, frozenset((node.target, node.namespace, str(node.external is None)))),
    ]


def _starts(text: str) -> Iterator[str]:
    """3, 3.11 and 3.11.7 of 3.11.7: what near versions share."""
    return (text[: match.start()] for match in re.finditer(r"[.]|$", text))


def _pair_crowd(
    crowd: Iterable[_Candidate], old: Side, new: Side, known: Mapping[str, str]
) -> dict[str, str]:
    """The pairs among nodes of one name, the most alike first; `known` are those around them."""
    mine: dict[str, _Around] = {}
    theirs: dict[str, _Around] = {}
    likeness = []
    for one in crowd:
        if one.old not in mine:
            mine[one.old] = _around(old.nodes[one.old], old, known)
        if one.new not in theirs:
            theirs[one.new] = _around(new.nodes[one.new], new, {})
        users, needs = mine[one.old]
        their_users, their_needs = theirs[one.new]
        around = _USERS * _shared(users, their_users) + _NEEDS * _shared(needs, their_needs)
        likeness.append((-one.likeness - around, one.old, one.new))
    pairs: dict[str, str] = {}
    taken: set[str] = set()
    for _, before, after in sorted(likeness):
        if before not in pairs and after not in taken:
            pairs[before] = after
            taken.add(after)
    return pairs


def _around(node: Node, side: Side, known: Mapping[str, str]) -> _Around:
    """Who uses a node and what it needs: by name, and by the hash in the new lock."""
    users = side.users.get(node.hash, frozenset())
    needs = [one.hash for one in node.dependencies]
    return (
        _names(node, side) | {known.get(user, user) for user in users},
        frozenset(one.name for one in node.dependencies) | {known.get(one, one) for one in needs},
    )


def _shared(one: frozenset[str], other: frozenset[str]) -> float:
    """How much of two sets is in both: 0 to 1."""
    if not one and not other:
        return 1.0
    both = len(one & other)
    return both / (len(one) + len(other) - both)
