"""A whole recipe for the tests, small enough to be read, and a way to spoil it."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

NEST_RECIPE = Path(__file__).parents[3] / "recipes" / "nest"
WHEEL, SDIST = "a" * 64, "b" * 64
DOCUMENT: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "version": "1.0",
    "source_date_epoch": 1767225600,
    "cpu_target": "x86-64",
    "stack": {
        "distro": {
            "base": {"distribution": "debian", "suite": "bookworm"},
            "packages": {"build": ["cmake"], "final": ["openmpi-bin=4.1.4-3+b1", "python3"]},
            "python": {"lock": "python.lock", "build_only": ["cython"]},
            "sources": [
                {
                    "name": "engine",
                    "requirement": "engine==2.0",
                    "file": "engine-2.0.tar.gz",
                    "sha256": SDIST,
                    "prefix": "/opt/engine",
                    "files": {"extra": "models/extra"},
                    "cmake": {"with-mpi": "ON"},
                }
            ],
        }
    },
    "tests": "test_image.py",
}
LOCK = f"# wheels\ncython==3.1.8 --hash=sha256:{WHEEL}\n"

WriteRecipe = Callable[..., Path]


@pytest.fixture
def write_recipe(tmp_path: Path) -> WriteRecipe:
    """Writes the small recipe; `change` edits a copy of its document first."""

    def write(
        change: Callable[[dict[str, Any]], object] = lambda _: None,
        lock: str | None = LOCK,
        folder: str = "recipe",
    ) -> Path:
        document = deepcopy(DOCUMENT)
        change(document)
        place = tmp_path / folder
        place.mkdir(exist_ok=True)
        (place / "recipe.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
        if lock is not None:
            (place / "python.lock").write_text(lock, encoding="utf-8")
        (place / "extra").write_text("model\n", encoding="utf-8")
        (place / "test_image.py").write_text("", encoding="utf-8")
        return place

    return write
