"""What a build prints: shown as progress, and read backwards when it fails."""

from __future__ import annotations

import pytest

from imagefactory.base.report import Silent
from imagefactory.image.watch import BuildWatch, failing_line

DEFINITION = """\
Bootstrap: localimage
From: base

%post
    cd /
    export SOURCE_DATE_EPOCH=1767225600
    sed -i '1i #pragma once' nest_impl.h
    cmake --build ../build --parallel $(nproc)
    rm -rf /var/log/* /var/cache/*
"""


@pytest.mark.parametrize(
    ("command", "number"),
    [
        ("cd /", 5),
        ("sed -i 1i #pragma once nest_impl.h", 7),
        ("cmake --build ../build --parallel 2", 8),
        ("rm -rf /var/log/apt /var/log/btmp /var/cache/apt", 9),
        ("", None),
        ("completely unlike anything that stands there", None),
    ],
)
def test_the_failing_line_is_found_as_the_shell_prints_it(command: str, number: int | None) -> None:
    assert failing_line(DEFINITION, command) == number


class Heard(Silent):
    """Keeps notes and progress too."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.parts: list[tuple[float, float | None]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, what: str, done: float, total: float | None = None, unit: str = "B") -> None:
        self.parts.append((done, total))


def test_a_user_sees_what_is_being_done_and_how_far_it_is() -> None:
    report = Heard()
    watch = BuildWatch(report)
    for text in (
        "INFO:    Running post scriptlet",
        "+ cd /",
        "+ cmake --build ../build --parallel 2",
        "[  7%] Building CXX object a.o",
        "[100%] Built target nest",
    ):
        watch.line(text)
    assert report.notes == ["cmake --build ../build --parallel 2"]
    assert report.parts == [(7, None), (100, None)]
    assert watch.last_command == "cmake --build ../build --parallel 2"


def test_what_fails_after_post_is_not_blamed_on_post() -> None:
    watch = BuildWatch(Silent())
    watch.line("+ rm -rf /var/log/apt")
    watch.line("INFO:    Creating SIF file...")
    watch.line("FATAL:   While creating SIF: write: no space left on device")
    assert watch.last_command == ""


def test_packages_of_spack_are_counted_and_the_one_that_fails_is_named() -> None:
    report = Heard()
    watch = BuildWatch(report)
    for text in (
        "+ /opt/build/spack install --only-concrete --fail-fast",
        "==> Installing py-cython-3.1.3-nfx5y7iwpqfjm6dbgxv5wbmmkhyktvu3 [3/9]",
        "==> No binary for py-cython-3.1.3-nfx5y7iwpqfjm6dbgxv5wbmmkhyktvu3 found: "
        "installing from source",
        "==> py-cython: Executing phase: 'install'",
        "==> py-cython: Successfully installed py-cython-3.1.3-nfx5y7iwpqfjm6dbgxv5wbmmkhyktvu3",
        "==> Installing nest-3.10.0-6dbgxv5wbmmkhyktvu3nfx5y7iwpqfjm [9/9]",
        "==> No patches needed for nest",
    ):
        watch.line(text)
    assert report.parts == [(3, 9), (9, 9)]
    assert "build py-cython-3.1.3 (3 of 9)" in report.notes
    assert (watch.package, watch.phase) == ("nest-3.10.0", "fetch")
    watch.line("==> nest: Executing phase: 'cmake'")
    assert (watch.package, watch.phase) == ("nest-3.10.0", "cmake")
    watch.line("==> nest: Successfully installed nest-3.10.0-6dbgxv5wbmmkhyktvu3nfx5y7iwpqfjm")
    assert watch.package == ""
    watch.line("==> Installing nest-3.10.0-6dbgxv5wbmmkhyktvu3nfx5y7iwpqfjm [9/9]")
    watch.line("==> Updating view at /opt/release/view")
    watch.line("+ /opt/build/spack gc --yes-to-all")
    assert (watch.package, watch.last_command) == ("", "/opt/build/spack gc --yes-to-all")
