"""The notebooks of examples/ are kept without outputs, and call what there is."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

import imagefactory

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_clean_and_calls_what_there_is(path: Path) -> None:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not [cell["id"] for cell in code if cell["outputs"] or cell["execution_count"]]
    used = {
        node.attr
        for cell in code
        for node in ast.walk(ast.parse("".join(cell["source"])))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "imagefactory"
    }
    assert "run" in used
    assert all(callable(getattr(imagefactory, name)) for name in used)
