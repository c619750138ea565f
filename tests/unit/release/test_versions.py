"""The order of versions: checked against Spack's own on these pairs, see `ORDER`."""

from __future__ import annotations

from itertools import pairwise

import pytest

from imagefactory.release.versions import version_key

# Sorted by spack.version.Version of Spack 1.1.0.
ORDER = [
    "a", "b1", "1", "1.0alpha", "1.0alpha1", "1.0beta2", "1.0rc1", "1.0rc2", "1.0", "1.0-x",
    "1.0.0", "1.0.1", "1.2", "1.2b", "1.9", "1.10", "2023.06", "2023.12", "stable", "nightly",
    "trunk", "head", "master", "main", "develop",
]  # fmt: skip


@pytest.mark.parametrize(("low", "high"), list(pairwise(ORDER)))
def test_the_order(low: str, high: str) -> None:
    one, other = version_key(low), version_key(high)
    assert one is not None
    assert other is not None
    assert one < other


def test_separators_do_not_count() -> None:
    assert version_key("1.2-3") == version_key("1_2.3")


def test_git_versions() -> None:
    assert version_key("git.main=3.9") == version_key("3.9")
    assert version_key("a" * 40) is None
    assert version_key("git.v3.9-rc1") is None
