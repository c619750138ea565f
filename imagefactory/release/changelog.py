"""What changed between two locks, for people: text for a terminal, markdown to send around."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from enum import StrEnum

from imagefactory.release.diff import BUILT, Change, Difference, Kind, LockDiff

_TITLES = {
    Kind.ADDED: "Added",
    Kind.REMOVED: "Removed",
    Kind.UPGRADED: "Upgraded",
    Kind.DOWNGRADED: "Downgraded",
    Kind.OTHER_VERSION: "Another version, with no order between the two",
    Kind.VARIANTS: "Other variants",
    Kind.EXTERNAL: "External or built: changed",
    Kind.COMPILER: "Other compiler",
    Kind.TARGET: "Other target",
    Kind.DEPENDENCIES: "Other dependencies",
    Kind.RECIPE: "Other recipe, same version",
    Kind.OTHER_BUILD: "Another build of a dependency, same version",
    Kind.DETAILS: "The same, but Spack describes it otherwise",
}
_INTERFACE = "What others link with: MPI, PMIx, Python, libc, compiler"
# What one change elsewhere does to every package.
_CROWDS = frozenset({Kind.COMPILER, Kind.TARGET, Kind.OTHER_BUILD, Kind.DETAILS})
SHOWN_CAUSES = 3
Entry = tuple[str, str, list[str]]  # a name, what became of it, details


class Format(StrEnum):
    """How a changelog is written."""

    TEXT = "text"
    MARKDOWN = "markdown"


def changelog(diff: LockDiff, form: str = Format.TEXT) -> str:
    """The whole of a comparison in a `Format`; interfaces first, the rebuild set last."""
    lines = _markdown(diff) if Format(form) is Format.MARKDOWN else _text(diff)
    return "\n".join(lines)


def _text(diff: LockDiff) -> Iterator[str]:
    yield f"{diff.names[0]} -> {diff.names[1]}"
    yield ""
    for name, before, after in _facts(diff):
        yield f"  {name:<10}{before}" + ("" if before == after else f" -> {after}")
    for remark in _remarks(diff):
        yield f"  {remark}"
    if diff.roots:
        yield from ("", "Roots")
        for root in diff.roots:
            yield f"  {_arrow(root.old or '(not asked for)', root.new or '(no longer asked for)')}"
    for title, entries in _sections(diff):
        yield from ("", title)
        width = max(len(head) for head, _, _ in entries)
        for head, what, details in entries:
            yield f"  {head:<{width}}  {what}".rstrip()
            yield from (f"      {detail}" for detail in details)
    yield ""
    yield f"To build: {_build_count(diff)}"
    for causes, names in _followers(diff):
        yield f"  because of {causes}"
        yield from (f"      {line}" for line in _wrapped(names, 90))


def _markdown(diff: LockDiff) -> Iterator[str]:
    before, after = diff.names
    yield f"# {after}: what changed since {before}"
    yield ""
    yield f"| | {before} | {after} |"
    yield "|---|---|---|"
    for name, one, other in _facts(diff):
        text = _marked(other) if one == other else f"**{_marked(other)}**"
        yield f"| {name} | {_marked(one)} | {text} |"
    remarks = list(_remarks(diff))
    if remarks:
        yield ""
        yield from (f"{remark[0].upper()}{remark[1:]}." for remark in remarks)
    if diff.roots:
        yield from ("", "## Roots", "")
        for root in diff.roots:
            old = f"`{root.old}`" if root.old else "not asked for"
            new = f"`{root.new}`" if root.new else "no longer asked for"
            yield f"- {old} → {new}"
    for title, entries in _sections(diff):
        yield from ("", f"## {title}", "")
        for head, what, details in entries:
            yield f"- **{_marked(head)}** {_marked(what)}".rstrip()
            yield from (f"  - {_marked(detail)}" for detail in details)
    yield from ("", "## To build", "", f"{_build_count(diff)}.")
    followers = list(_followers(diff))
    if followers:
        yield from ("", "| because of | built again |", "|---|---|")
        for causes, names in followers:
            yield f"| {causes} | {', '.join(names)} |"


def _facts(diff: LockDiff) -> Iterator[tuple[str, str, str]]:
    """The top of both locks, line by line."""
    before, after = diff.origins
    for name in {**before, **after}:
        yield name, before.get(name, "unknown"), after.get(name, "unknown")
    for (name, old), (_, new) in zip(diff.old.facts(), diff.new.facts(), strict=True):
        yield name, old, new
    yield "packages", str(diff.old.packages), str(diff.new.packages)


def _remarks(diff: LockDiff) -> Iterator[str]:
    if not diff.changes and not diff.rebuilds:
        yield "the two locks hold the same packages"
    if diff.old.format != diff.new.format:
        yield (
            f"the locks are of formats {diff.old.format} and {diff.new.format}: every hash "
            "differs, and Spack 1.x counts compilers as packages"
        )


def _sections(diff: LockDiff) -> Iterator[tuple[str, list[Entry]]]:
    """Titles with their entries."""
    told = [one for one in diff.changes if one.kind not in _CROWDS]
    interface = _merged(_entry(one, named=True) for one in told if one.interface)
    if interface:
        yield _INTERFACE, interface
    for kind in Kind:
        if kind in _CROWDS:
            entries = list(_crowd(kind, diff.changes))
        else:
            entries = _merged(_entry(one) for one in told if one.kind is kind and not one.interface)
        if entries:
            yield _TITLES[kind], entries


def _merged(entries: Iterable[Entry]) -> list[Entry]:
    """What stands there several times (a package built several ways) is told once."""
    counts = Counter((head, what, tuple(details)) for head, what, details in entries)
    return [
        (head, what if count == 1 else f"{what}  ({count} times)", list(details))
        for (head, what, details), count in counts.items()
    ]


def _crowd(kind: Kind, changes: Sequence[Change]) -> Iterator[Entry]:
    """What comes to many packages alike: one entry for each way, with the names of all."""
    alike: dict[str, set[str]] = defaultdict(set)
    for one in changes:
        for difference in one.differences:
            if difference.kind is kind:
                what = (
                    "hash only" if kind is Kind.DETAILS else _arrow(difference.old, difference.new)
                )
                alike[what].add(one.name)
    for what, names in sorted(alike.items()):
        yield what, _count(names), list(_wrapped(sorted(names), 90))


def _count(group: Collection[object]) -> str:
    return f"{len(group)} package{'s' if len(group) > 1 else ''}"


def _entry(change: Change, named: bool = False) -> Entry:
    """One package; `named` says what happened, where no title does."""
    told = change.differences
    versions = [one.version for one in (change.old, change.new) if one is not None]
    what = " -> ".join(dict.fromkeys(versions))
    if len(set(versions)) > 1:
        told = tuple(one for one in told[1:] if one.what != "patches")  # theirs, as a rule
    word = f"{change.kind}: " if named else ""
    if change.kind is Kind.RECIPE:
        told = ()  # said already, and nobody reads hashes
    return change.name, f"{word}{what}", list(_details(told))


def _details(differences: Sequence[Difference]) -> Iterator[str]:
    """What else changed of a package; what came and what went in one line each."""
    places = [one for one in differences if one.kind is Kind.EXTERNAL]
    if any(BUILT in (one.old, one.new) for one in places):
        # An external has the variants and dependencies that someone wrote down: few or none.
        yield from (_arrow(one.old, one.new) for one in places)
        return
    for kind, came, went in (
        (Kind.VARIANTS, "new variants", "variants gone"),
        (Kind.DEPENDENCIES, "now needs", "no longer needs"),
    ):
        ours = [one for one in differences if one.kind is kind]
        for title, words in (
            (came, [one.new for one in ours if not one.old]),
            (went, [one.old for one in ours if not one.new]),
        ):
            if words:
                yield f"{title}: {', '.join(_without_hash(word) for word in words)}"
        yield from (_detail(one) for one in ours if one.old and one.new)
    others = (Kind.VARIANTS, Kind.DEPENDENCIES, *_CROWDS)
    yield from (_detail(one) for one in differences if one.kind not in others)


def _detail(one: Difference) -> str:
    if one.kind is Kind.VARIANTS:
        return _arrow(one.old, one.new)
    if one.kind is Kind.RECIPE and one.what != "namespace":
        return "another recipe"
    return f"{one.what}: {_arrow(one.old, one.new)}"


def _without_hash(text: str) -> str:
    return re.sub(r"/[a-z2-7]{7}(?= |$)", "", text)


def _arrow(old: str, new: str) -> str:
    return f"{old} -> {new}"


def _build_count(diff: LockDiff) -> str:
    """How many packages must be built, and why, in one line."""
    added = sum(Kind.ADDED in one.own for one in diff.rebuilds)
    follow = sum(not one.own for one in diff.rebuilds)
    own = len(diff.rebuilds) - added - follow
    built = diff.new.packages - len(diff.new.externals)
    if not diff.rebuilds:
        return f"nothing; all {built} packages are those of {diff.names[0]}"
    return (
        f"{len(diff.rebuilds)} of {built} packages: {added} new, {own} changed themselves, "
        f"{follow} only because of what they depend on"
    )


def _followers(diff: LockDiff) -> Iterator[tuple[str, list[str]]]:
    """Packages that are built again for their dependencies only, by what these are."""
    groups: dict[str, set[str]] = defaultdict(set)
    for one in diff.rebuilds:
        if not one.own:
            shown = ", ".join(one.because[:SHOWN_CAUSES])
            others = " and others" if len(one.because) > SHOWN_CAUSES else ""
            groups[shown + others].add(one.name)
    for causes in sorted(groups, key=lambda one: (-len(groups[one]), one)):
        yield causes, sorted(groups[causes])


def _wrapped(words: Iterable[str], width: int) -> Iterator[str]:
    """Words with commas, in lines of at most `width`."""
    line = ""
    for word in words:
        if line and len(line) + len(word) + 2 > width:
            yield f"{line},"
            line = word
        else:
            line = f"{line}, {word}" if line else word
    if line:
        yield line


def _marked(text: str) -> str:
    """Text as markdown: nothing in it is markup; an arrow is one."""
    return re.sub(r"([~*|<])", r"\\\1", text).replace(" -> ", " → ")
