"""A machine with a tools image that is there, and a NESTML that is played; and modules."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.files import digest_of
from imagefactory.base.process import Done
from imagefactory.base.values import Digest
from imagefactory.image import Apptainer, BuildRecord
from imagefactory.nestml import Module
from imagefactory.nestml.module import write_module

IMAGE = Digest("sha256:" + "ab" * 32)
TEXT = "model tiny_neuron:\n    update:\n        integrate_odes()\n"


@dataclass
class FakeTools:
    """Plays make_module.py: its answers, and what was asked."""

    versions: dict[str, str] = field(
        default_factory=lambda: {"nestml": "8.3.0", "odetoolbox": "2.5.12", "nest": "3.10.0"}
    )
    made: dict[str, Any] = field(
        default_factory=lambda: {
            "right": True, "messages": [], "models": ["tiny_neuron"], "file": "tinymodule.so",
            "needs": ["libc.so.6"], "undefined_symbols": 3, "compiler": "c++ 12", "flags": "-O2",
        }
    )  # fmt: skip
    fails: bool = False
    ran: list[list[str]] = field(default_factory=list)

    def run(self, *argv: str | Path, **options: Any) -> Done:
        words = [str(word) for word in argv]
        self.ran.append(words)
        bind = words[words.index("--bind") + 1]
        folder = Path(bind.partition(":")[0])
        options["log"].write_text("what was said\n")
        if self.fails:
            raise ToolFailed("apptainer ended with exit status 1", detail="error: no such header")
        if " look " in words[-1]:
            (folder / "look.json").write_text(json.dumps(self.versions))
            return Done(tuple(words), 0, "", "", 0)
        kind = "generated" if "file" in self.made else "installed"
        if self.made["right"]:
            (folder / kind).mkdir()
            (folder / kind / "code.cpp").write_text("int main() {}\n")
            if "file" in self.made:
                (folder / self.made["file"]).write_bytes(b"module")
        (folder / "make.json").write_text(json.dumps(self.made))
        return Done(tuple(words), 0, "", "", 0)


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeTools:
    """A machine on which the tools image is there."""
    fake = FakeTools()
    ourselves = pwd.getpwuid(os.getuid())
    ordinary = import_module("imagefactory.base.ordinary")
    monkeypatch.setattr(ordinary, "ordinary_user", lambda: ourselves)
    apptainer = Apptainer(Path("/fake/apptainer"), "1.5.3", fake)  # type: ignore[arg-type]
    monkeypatch.setattr(Apptainer, "find", lambda _report: apptainer)
    sif = tmp_path / "tools.sif"
    record = BuildRecord("nestml-tools", "1", sif, str(IMAGE), 1, {}, 1.0, "", "", "us")
    derived = import_module("imagefactory.image.derived")
    monkeypatch.setattr(derived, "find_current", lambda *_: (record, "it is there"))
    return fake


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A NESTML file."""
    path = tmp_path / "tiny.nestml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def make_record(tmp_path: Path) -> Callable[..., Module]:
    """A module on disk; what is given replaces what its record says."""

    def make(**changed: Any) -> Module:
        folder = tmp_path / "module"
        folder.mkdir(exist_ok=True)
        (folder / "tinymodule.so").write_bytes(b"module")
        said: dict[str, Any] = {
            "name": "tiny", "target": "nest", "models": ("tiny_neuron",),
            "source": {"file": "tiny.nestml", "sha256": str(IMAGE)}, "image": str(IMAGE),
            "versions": {"nestml": "8.3.0"}, "key": {}, "generated": {}, "compiled": True,
            "seconds": 1.0, "file": "tinymodule.so",
            "sha256": str(digest_of(folder / "tinymodule.so")), "folder": folder,
        }  # fmt: skip
        module = Module(**{**said, **changed})
        write_module(module)
        return module

    return make
