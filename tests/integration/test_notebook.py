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


def run_notebook(name: str, image: ImageRef, folder: Path) -> dict[str, str]:
    """Run a copy of a notebook with Jupyter's own kernel; what its cells printed."""
    notebook = folder / name
    shutil.copy(TOP / "examples" / name, notebook)
    Runner(Silent()).run(
        BIN / "jupyter-execute", "--inplace", notebook, timeout=600, cwd=TOP,
        extra={
            "IMAGE": str(image),
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "JUPYTER_PLATFORM_DIRS": "1",  # else jupyter_core warns
        },
    )  # fmt: skip
    return outputs(notebook)


def test_two_sites(sandbox: Sandbox, pushed_ref: ImageRef, tmp_path: Path) -> None:
    assert sandbox.sites
    said = run_notebook("two_sites.ipynb", pushed_ref, tmp_path)
    assert said["run"].count("SUBMITTED") == 2
    assert said["wait"].count("FINISHED") == 2
    assert "IDENTICAL" in said["compare"]
    assert "CANCELLED" in said["cancel"]


def test_the_papers_listings(sandbox: Sandbox, pushed_ref: ImageRef, tmp_path: Path) -> None:
    assert sandbox.sites
    said = run_notebook("paper_listings.ipynb", pushed_ref, tmp_path)
    assert said["stage"].strip().endswith("FINISHED")
    assert "SUCCESSFUL exit code 0 finished ranks: 1" in said["login"]
    for listing in ("batch", "container"):  # accepted, and nothing more
        assert "SUCCESSFUL finished ranks at that moment: 0" in said[listing]
        assert "finished ranks later: 1" in said[listing]
    assert '"Executable": "sbatch"' in said["container"]
    assert '"Executable": "/bin/sh"' in said["tracked"]
