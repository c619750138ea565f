"""The notebooks of examples/ are run as they stand, by Jupyter's own kernel, in the sandbox."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from imagefactory.base.process import Runner
from imagefactory.base.report import Silent

if TYPE_CHECKING:
    import pytest

    from imagefactory.base.values import ImageRef
    from imagefactory.sandbox import Sandbox

TOP = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def outputs(notebook: Path) -> dict[str, str]:
    """What each cell printed, by the cell's id."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return {
        cell["id"]: "".join("".join(one.get("text", "")) for one in cell.get("outputs", []))
        for cell in cells
    }


def test_two_sites(
    sandbox: Sandbox, pushed_ref: ImageRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sandbox.sites
    notebook = tmp_path / "two_sites.ipynb"
    shutil.copy(TOP / "examples" / notebook.name, notebook)
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # else jupyter_core warns
    Runner(Silent()).run(
        BIN / "jupyter-execute", "--inplace", notebook, timeout=600, cwd=TOP,
        extra={"IMAGE": str(pushed_ref), "PATH": f"{BIN}:{os.environ['PATH']}"},
    )  # fmt: skip
    said = outputs(notebook)
    assert said["run"].count("SUBMITTED") == 2
    assert said["wait"].count("FINISHED") == 2
    assert "IDENTICAL" in said["compare"]
    assert "CANCELLED" in said["cancel"]
