"""The grammar of conditions, and what an unknown fact does."""

from __future__ import annotations

import pytest

from imagefactory.launch.conditions import (
    Facts,
    Lines,
    Value,
    holds,
    parse,
    unknown_names,
    version_key,
)

FACTS: Facts = {
    "image.pmix": "4.2.2", "image.mpi": "Open MPI", "image.ucx": "", "image.gds": ("hash", "ds12"),
    "image.psec": (), "site.pmix": "5.0.7a1", "site.glibc": None, "launch.split": True,
    "site.gds": ("hash",), "launch.gds": "ds12", "site.kernel": "5.0",
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("image.mpi is Open MPI", True),
        ("image.mpi is not Open MPI", False),
        ("image.pmix < 4.2.3", True),
        ("image.pmix >= 4.10", False),
        ("site.pmix >= 5.0", True),
        ("image.pmix < site.pmix", True),
        ("image.ucx is absent", True),
        ("image.ucx < 1.16", False),  # what is not there is not old
        ("image.psec is absent", True),
        ("image.gds is present", True),
        ("image.gds has ds12", True),
        ("image.gds lacks hash", False),
        ("site.gds lacks launch.gds", True),
        ("launch.split is yes", True),
        ("launch.split is no", False),
        ("site.glibc < 2.30", None),
        ("image.pmix in 4.2.2, 5.0.1", True),
        ("site.kernel >= 5.0.3", None),  # a series may be older or newer than a release of it
        ("site.kernel in 5.0.0, 5.0.1", None),
        ("site.kernel >= 4.18", True),
        ("site.pmix is 5.0.7", True),  # it calls itself 5.0.7a1
        ("site.pmix in 5.0.6, 5.0.7", True),
        ("site.pmix is not 5.0.8", True),
    ],
)
def test_a_condition(line: str, expected: bool | None) -> None:
    assert holds([line], FACTS) is expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["image.ucx is absent", "site.glibc < 2.30"], None),
        (["image.ucx is present", "site.glibc < 2.30"], False),  # one false line is enough
        ([{"any": ["image.ucx is absent", "site.glibc < 2.30"]}], True),
        ([{"any": ["image.ucx is present", "site.glibc < 2.30"]}], None),
        ([{"any": ["image.ucx is present", "image.mpi is MPICH"]}], False),
        ([], True),
    ],
)
def test_lists_of_conditions(lines: Lines, expected: bool | None) -> None:
    assert holds(lines, FACTS) is expected


def test_what_would_have_to_be_known() -> None:
    lines: Lines = ["image.pmix < site.nothing", {"any": ["site.glibc < 2", "image.mpi is MPICH"]}]
    assert unknown_names(lines, FACTS) == ("site.nothing", "site.glibc")


@pytest.mark.parametrize("line", ["image.pmix", "image.pmix = 4", "pmix is 4", ""])
def test_no_condition(line: str) -> None:
    with pytest.raises(ValueError, match="is no condition"):
        parse(line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5.0.7a1", (5, 0, 7)), ("v4.2.2-1+deb12u1", (4, 2, 2)), ("none", ()), ("2.36", (2, 36))],
)
def test_version_keys(text: str, expected: tuple[int, ...]) -> None:
    assert version_key(text) == expected


def test_facts_are_never_compared_as_text() -> None:
    facts: dict[str, Value] = {"image.ucx": "1.9.0"}
    assert holds(["image.ucx < 1.16"], facts) is True
