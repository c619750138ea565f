"""What is in a lock, roots first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imagefactory.release.abi import MPI
from imagefactory.release.lock import Lock, Node, Root

UNKNOWN = "unknown"
_RUNNING = frozenset({"link", "run"})


@dataclass(frozen=True)
class RootEntry:
    """A root: what was asked for, and what it became."""

    asked: str
    name: str
    version: str
    hash: str


@dataclass(frozen=True)
class Summary:
    """A lock for people. Compilers, MPI, PMIx and Python are texts, the most used first.

    `pmix` is `unknown` where MPI was not built by Spack: such a node does not say what it was
    linked with.
    """

    format: int
    spack_version: str | None
    spack_commit: str | None
    targets: tuple[str, ...]
    compilers: tuple[str, ...]
    mpi: tuple[str, ...]
    pmix: tuple[str, ...]
    python: tuple[str, ...]
    roots: tuple[RootEntry, ...]
    packages: int
    externals: tuple[str, ...]

    @property
    def spack(self) -> str:
        """Spack's version and commit in a few letters."""
        version = self.spack_version or UNKNOWN
        return f"{version} ({self.spack_commit[:12]})" if self.spack_commit else version

    def facts(self) -> list[tuple[str, str]]:
        """What a reader looks for first, as name and text."""
        return [
            ("Spack", self.spack),
            ("target", ", ".join(self.targets)),
            ("compiler", ", ".join(self.compilers) or "none"),
            ("MPI", ", ".join(self.mpi) or "none"),
            ("PMIx", ", ".join(self.pmix) or "none"),
            ("Python", ", ".join(self.python) or "none"),
        ]

    def lines(self) -> Iterator[str]:
        """The summary as people read it on a terminal."""
        for name, text in self.facts():
            yield f"{name:<10}{text}"
        yield f"packages  {self.packages}, {len(self.externals)} of them external"
        yield ""
        yield f"roots ({len(self.roots)})"
        width = max(len(f"{root.name}@{root.version}") for root in self.roots)
        for root in self.roots:
            spec = f"{root.name}@{root.version}"
            yield f"  {spec:<{width}}  {root.hash[:7]}  {root.asked}"
        if self.externals:
            yield ""
            yield f"externals ({len(self.externals)})"
            yield from (f"  {text}" for text in self.externals)


def summarize(lock: Lock) -> Summary:
    """What a reader looks for first in a lock."""
    nodes = lock.needed()
    # Python or an MPI may also be there for building only, in another version.
    running = lock.needed(_RUNNING)
    mpi = _mpi(running.values()) or _mpi(nodes.values())
    return Summary(
        format=lock.format,
        spack_version=lock.spack_version,
        spack_commit=lock.spack_commit,
        targets=_ranked(node.target for node in nodes.values() if node.target),
        compilers=_ranked(spec for node in nodes.values() for spec in set(node.compilers.values())),
        mpi=tuple(dict.fromkeys(_described(node) for node in mpi)),
        pmix=_pmix(running.values(), mpi),
        python=_versions("python", running.values()) or _versions("python", nodes.values()),
        roots=tuple(_root_entry(root, lock.nodes[root.hash]) for root in lock.roots),
        packages=len(nodes),
        externals=tuple(
            sorted(f"{node.spec}  {_place(node)}" for node in nodes.values() if node.external)
        ),
    )


def _root_entry(root: Root, node: Node) -> RootEntry:
    return RootEntry(root.spec, node.name, node.version, node.hash)


def _mpi(nodes: Iterable[Node]) -> list[Node]:
    nodes = list(nodes)
    serving = {one.hash for node in nodes for one in node.dependencies if "mpi" in one.virtuals}
    found = [node for node in nodes if node.name in MPI or node.hash in serving]
    return sorted(found, key=lambda node: (node.name, node.version))


def _pmix(nodes: Iterable[Node], mpi: Iterable[Node]) -> tuple[str, ...]:
    found = _versions("pmix", nodes)
    if any(node.external for node in mpi):
        return (*found, f"{UNKNOWN} (the external MPI does not say)")
    return found


def _versions(name: str, nodes: Iterable[Node]) -> tuple[str, ...]:
    return tuple(sorted({_mark(node) for node in nodes if node.name == name}))


def _mark(node: Node) -> str:
    return f"{node.version} (external)" if node.external else node.version


def _described(node: Node) -> str:
    return f"{node.spec} (external)" if node.external else node.spec


def _place(node: Node) -> str:
    if node.external is None:
        return ""
    return ", ".join(word for word in (node.external.path, *node.external.modules) if word)


def _ranked(words: Iterable[str]) -> tuple[str, ...]:
    """Each once, the most frequent first."""
    counts = Counter(words)
    return tuple(sorted(counts, key=lambda word: (-counts[word], word)))
