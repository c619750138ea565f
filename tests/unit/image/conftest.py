"""A machine for the tests: an Apptainer that builds without building, and a recipe for it."""

from __future__ import annotations

import os
import pwd
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Done
from imagefactory.base.values import Digest
from imagefactory.image import Apptainer
from imagefactory.recipe import Base, Distro, Recipe, Requirement

# Launch line, magic, versions, id, five numbers, table, then where the data are: 128 and 0 bytes.
SIF_HEAD = (
    b"#!/usr/bin/env run-singularity\n\0"
    + b"SIF_MAGIC\x0001\x0002\x00"
    + bytes(16)
    + struct.pack("<8q", 0, 0, 1, 1, 128, 0, 128, 0)
)
WHEEL = Requirement("thing==1.0", Digest("sha256:" + "a" * 64))


@dataclass
class FakeRunner:
    """Keeps what was run. `apptainer build` writes `content`, or prints `lines` and fails."""

    content: bytes = SIF_HEAD + b"image"
    lines: list[str] = field(default_factory=list)
    fails: bool = False
    build_fails: bool = False
    exec_error: str = ""
    unreadable: bool = False
    outputs: dict[str, str] = field(default_factory=dict)
    ran: list[list[str]] = field(default_factory=list)
    environments: list[Mapping[str, str]] = field(default_factory=list)

    def run(self, *argv: str | Path, **options: Any) -> Done:
        words = [str(word) for word in argv]
        self.ran.append(words)
        self.environments.append(options.get("extra") or {})
        for line in self.lines:
            if options.get("on_line"):
                options["on_line"](line)
        if words[1:2] == ["build"]:
            if self.fails or self.build_fails:
                raise ToolFailed("apptainer ended with exit status 255", detail=self.lines[-1])
            (options["cwd"] / "image.sif").write_bytes(self.content)
        status = 1 if words[0] == "test" and self.unreadable else 0
        if self.exec_error and "exec" in words:
            return Done(tuple(words), 255, "", self.exec_error, 0)
        told = next((text for word, text in self.outputs.items() if word in words), "")
        if self.fails and words[0] != "test" and options.get("check", True):
            raise ToolFailed(f"{words[0]} ended with exit status 255", detail="FATAL: damaged")
        return Done(tuple(words), 255 if self.fails and words[0] != "test" else status, told, "", 0)

    @property
    def builds(self) -> int:
        return sum(words[1:2] == ["build"] for words in self.ran)


MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def runner() -> FakeRunner:
    return FakeRunner()


@pytest.fixture
def apptainer(runner: FakeRunner) -> Apptainer:
    return Apptainer(Path("/fake/apptainer"), "1.5.3", runner)  # type: ignore[arg-type]


@pytest.fixture
def machine(
    apptainer: Apptainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> dict[str, str]:
    """A machine that may build; the versions of its tools can be changed."""
    versions = {"mmdebstrap": "1.3.5"}
    ourselves = pwd.getpwuid(os.getuid())
    # Modules, not names in them: each has a name of its own for what it imported.
    build, context, reach, base, ordinary = (
        import_module(f"imagefactory.{name}")
        for name in (
            "image.building", "image.context", "image.reach", "image.apptainer", "base.ordinary",
        )
    )  # fmt: skip
    for module in (build, base, ordinary):
        monkeypatch.setattr(module, "ordinary_user", lambda: ourselves)
    wheel = tmp_path / "thing-1.0-py3-none-any.whl"
    wheel.write_bytes(b"wheel")
    monkeypatch.setattr(Apptainer, "find", lambda _report: apptainer)
    monkeypatch.setattr(build, "mmdebstrap_version", lambda _report: versions["mmdebstrap"])
    for module, name in ((build, "require_fuse"), (reach, "require_fuse")):
        monkeypatch.setattr(module, name, lambda: None)
    monkeypatch.setattr(build, "require_build_rights", lambda: None)
    monkeypatch.setattr(build, "require_space", lambda _folder, _needed: None)
    monkeypatch.setattr(context, "fetch", lambda *_: {WHEEL.digest.hex: wheel})
    monkeypatch.setattr(
        context, "make_root", lambda _recipe, target, _report: target.write_bytes(b"root")
    )
    return versions


@pytest.fixture
def make_recipe(tmp_path: Path) -> MakeRecipe:
    """A small recipe; what is given replaces what it says."""

    def make(**changed: Any) -> Recipe:
        folder = tmp_path / "recipe"
        folder.mkdir(exist_ok=True)
        (folder / "test_image.py").write_text("", encoding="utf-8")
        said: dict[str, Any] = {
            "folder": folder,
            "name": "small",
            "version": "1.0",
            "source_date_epoch": 1767225600,
            "cpu_target": "x86-64",
            "base": Base("debian", "bookworm", (), ("python3",)),
            "stack": Distro(wheels=(WHEEL,)),
            "tests": "test_image.py",
        }
        return Recipe(**{**said, **changed})

    return make
