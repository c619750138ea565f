"""What changed between two locks, for people: text for a terminal, markdown to send around."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum

from imagefactory.release.diff import Change, Difference, Kind, LockDiff, Rebuild

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
    Kind.DETAILS: "Other details",
}
_INTERFACE = "What others link with: MPI, PMIx, Python, libc, compiler"


class Format(StrEnum):
    """How a changelog is written."""

    TEXT = "text"
    MARKDOWN = "markdown"


def changelog(diff: LockDiff, form: Format = Format.TEXT) -> str:
    """The whole of a comparison; interfaces first, the rebuild set last."""
    lines = _markdown(diff) if form is Format.MARKDOWN else _text(diff)
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
        text = other if one == other else f"**{_escaped(other)}**"
        yield f"| {name} | {_escaped(one)} | {text if one != other else _escaped(other)} |"
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
            text = f"- **{head}** {what.replace(' -> ', ' → ')}".rstrip()
            yield text + "".join(f"\n  - {_code(detail)}" for detail in details)
    yield from ("", "## To build", "", f"{_build_count(diff)}.")
    followers = list(_followers(diff))
    if followers:
        yield from ("", "| because of | built again |", "|---|---|")
        for causes, names in followers:
            yield f"| {causes} | {', '.join(names)} |"


def _facts(diff: LockDiff) -> Iterator[tuple[str, str, str]]:
    """The top of both locks, line by line."""
    for (name, before), (_, after) in zip(diff.old.facts(), diff.new.facts(), strict=True):
        yield name, before, after
    yield "packages", str(diff.old.packages), str(diff.new.packages)


def _remarks(diff: LockDiff) -> Iterator[str]:
    if not diff.changes and not diff.rebuilds:
        yield "the two locks hold the same packages"
    if diff.old.format != diff.new.format:
        yield (
            f"the locks are of formats {diff.old.format} and {diff.new.format}: every hash "
            "differs, and Spack 1.x counts compilers as packages"
        )


def _sections(diff: LockDiff) -> Iterator[tuple[str, list[tuple[str, str, list[str]]]]]:
    """Titles with entries of name, change and details; alike changes share one entry."""
    interface = [one for one in diff.changes if one.interface]
    if interface:
        yield _INTERFACE, [_entry(one, named=True) for one in interface]
    groups: dict[Kind, list[Change]] = defaultdict(list)
    for one in diff.changes:
        if not one.interface:
            groups[one.kind].append(one)
    for kind in Kind:
        if kind in groups:
            yield _TITLES[kind], list(_entries(kind, groups[kind]))


def _entries(kind: Kind, changes: Sequence[Change]) -> Iterator[tuple[str, str, list[str]]]:
    if kind is not Kind.COMPILER:
        yield from (_entry(one) for one in changes)
        return
    alike: dict[str, list[str]] = defaultdict(list)
    for one in changes:
        first = one.differences[0]
        alike[_arrow(first.old, first.new)].append(one.name)
        # What changed besides is told in the list of that package in JSON.
    for what, names in sorted(alike.items()):
        yield what, f"{len(names)} packages", list(_wrapped(sorted(names), 90))


def _entry(change: Change, named: bool = False) -> tuple[str, str, list[str]]:
    """One package; `named` says what happened, where no title does."""
    told = change.differences
    if change.old is None or change.new is None:
        what = (change.new or change.old or ("", ""))[0]
    elif change.old[0] != change.new[0]:
        what, told = _arrow(change.old[0], change.new[0]), told[1:]
    else:
        what = change.old[0]
    word = f"{change.kind}: " if named else ""
    return change.name, f"{word}{what}", [_detail(one) for one in told]


def _detail(one: Difference) -> str:
    if one.kind is Kind.VARIANTS:
        return _arrow(one.old or f"(no {one.what})", one.new or f"(no {one.what})")
    if one.kind is Kind.DEPENDENCIES:
        if not one.old:
            return f"now needs {one.new if '@' in one.new else f'{one.what} ({one.new})'}"
        if not one.new:
            return f"no longer needs {one.old}"
    if one.kind is Kind.COMPILER:
        return f"compiler for {one.what}: {_arrow(one.old, one.new)}"
    if one.kind is Kind.DETAILS:
        return f"nothing that is shown here; the hash covers more: {_arrow(one.old, one.new)}"
    return f"{one.what}: {_arrow(one.old, one.new)}"


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
    groups: dict[tuple[str, ...], list[Rebuild]] = defaultdict(list)
    for one in diff.rebuilds:
        if not one.own:
            groups[one.because].append(one)
    for because in sorted(groups, key=lambda one: (-len(groups[one]), one)):
        yield _few(because), sorted(one.name for one in groups[because])


def _few(words: Sequence[str], most: int = 6) -> str:
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more


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


def _code(text: str) -> str:
    return f"`{text}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
