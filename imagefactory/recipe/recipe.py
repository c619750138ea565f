"""What a recipe says, as frozen objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagefactory.base.values import Digest
from imagefactory.release import Lock, Release


@dataclass(frozen=True)
class Requirement:
    """One file of PyPI: `name==version` and the sha256 of the wheel or sdist that is meant."""

    requirement: str
    digest: Digest
    is_sdist: bool = False

    @property
    def name(self) -> str:
        return self.requirement.partition("==")[0]


@dataclass(frozen=True)
class Source:
    """Software compiled from a PyPI sdist with CMake; `files` go into the source."""

    name: str
    sdist: Requirement
    file: str
    prefix: str
    files: Mapping[str, str] = field(default_factory=dict)
    prepare: tuple[str, ...] = ()
    cmake: Mapping[str, str] = field(default_factory=dict)


# The CPython that Debian ships with each suite; wheels and compiled modules must be for it.
PYTHON_OF = {"bookworm": "3.11", "trixie": "3.13"}


@dataclass(frozen=True)
class Base:
    """What both stages stand on: a suite of Debian, and the packages that each of them adds."""

    distribution: str
    suite: str
    build_packages: tuple[str, ...]
    final_packages: tuple[str, ...]

    @property
    def python(self) -> str:
        """Like 3.11."""
        return PYTHON_OF[self.suite]


@dataclass(frozen=True)
class Distro:
    """A software stack of Debian packages, PyPI wheels and compiled sdists.

    `prepare` are shell commands run when the wheels are installed.
    """

    wheels: tuple[Requirement, ...] = ()
    prepare: tuple[str, ...] = ()
    build_only: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Every file that must be fetched from PyPI."""
        return (*self.wheels, *(source.sdist for source in self.sources))


@dataclass(frozen=True)
class SpackStack:
    """A software stack by the lock of a release.

    `externals` maps each package that the lock leaves to Debian to the Debian package whose
    version the lock means.
    """

    release: Release
    lock: Lock
    digest: Digest  # of the bytes of the lock
    externals: Mapping[str, str]


@dataclass(frozen=True)
class Recipe:
    """One image: `folder` is where recipe.yaml and the files that it names stand.

    Variables of `environment` always hold; over what `parameter_files` say a variable of the
    site's wins.
    """

    folder: Path
    name: str
    version: str
    source_date_epoch: int
    cpu_target: str
    base: Base
    stack: Distro | SpackStack
    description: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    parameter_files: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    tests: str | None = None

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """Every file that the recipe itself takes from PyPI."""
        return self.stack.requirements if isinstance(self.stack, Distro) else ()
