"""The order of versions, as Spack has it (spack/version in 1.1.0)."""

from __future__ import annotations

import re

_SEGMENT = re.compile(r"([0-9]+)|([a-zA-Z]+)")
# Above every number, in this order.
_ENDLESS = ("stable", "nightly", "trunk", "head", "master", "main", "develop")
_EARLY = {"alpha": 0, "beta": 1, "rc": 2}
_FINAL = 3
_COMMIT = re.compile(r"[0-9a-f]{40}")

VersionKey = tuple[tuple[tuple[int, int, str], ...], tuple[int, ...]]


def version_key(text: str) -> VersionKey | None:
    """Something that sorts as Spack sorts versions; None for a bare commit, which has no order.

    A name stands before a number, alpha, beta and rc before the release, develop above all. A
    git version (`git.REF=1.2`) stands where the version after the `=` stands.
    """
    if "=" in text:
        text = text.rpartition("=")[2]
    elif text.startswith("git.") or _COMMIT.fullmatch(text):
        return None
    parts: list[tuple[str, str]] = _SEGMENT.findall(text)
    early: tuple[int, ...] = (_FINAL,)
    if len(parts) >= 3 and parts[-2][1] in _EARLY and parts[-1][0]:
        early = (_EARLY[parts[-2][1]], int(parts[-1][0]))
        parts = parts[:-2]
    elif len(parts) >= 2 and parts[-1][1] in _EARLY:
        early = (_EARLY[parts[-1][1]],)
        parts = parts[:-1]
    return tuple(_component(number, word) for number, word in parts), early


def _component(number: str, word: str) -> tuple[int, int, str]:
    if number:
        return 1, int(number), ""
    return (2, _ENDLESS.index(word), "") if word in _ENDLESS else (0, 0, word)
