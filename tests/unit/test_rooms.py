"""The house: which room may import which, and that every room keeps a front door."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagefactory

ORDER = [
    "base", "release", "recipe", "image", "registry", "site", "model", "nestml", "launch", "run",
    "equivalence", "sandbox", "cli",
]  # fmt: skip
PACKAGE = Path(imagefactory.__file__).parent
# Who alone may import a library that brings its own world along.
OWNERS = {
    "hpccm": "recipe",
    "oras": "registry",
    "docker": "sandbox",
    "click": "cli",
    "pyunicore": "run",
}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "inside" not in path.parts)


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def front_door(room: str) -> list[str]:
    """What `__all__` of a room names."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def breaches(own: str, imported: str) -> str:
    """What an import does against the rule of the house, or an empty text."""
    bits = imported.split(".")
    if bits[0] in OWNERS and own not in {OWNERS[bits[0]], ""}:
        return f"only {OWNERS[bits[0]]} may import {bits[0]}"
    if bits[0] != "imagefactory" or len(bits) < 2 or bits[1] not in ORDER or bits[1] == own:
        return ""
    if own and ORDER.index(bits[1]) > ORDER.index(own):
        return f"{own} stands before {bits[1]}"
    if len(bits) != 3 or bits[1] == "base" or bits[2] in front_door(bits[1]):
        return "" if bits[1] == "base" or len(bits) < 4 else f"past the front door of {bits[1]}"
    if (PACKAGE / bits[1] / f"{bits[2]}.py").exists():
        return f"past the front door of {bits[1]}"
    return ""


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_the_order_of_the_house(path: Path) -> None:
    own = room_of(path)
    found = [f"{name}: {breach}" for name in imports(path) if (breach := breaches(own, name))]
    assert not found


def test_the_rule_sees_breaches() -> None:
    assert breaches("base", "imagefactory.recipe") == "base stands before recipe"
    assert breaches("cli", "imagefactory.recipe.load") == "past the front door of recipe"
    assert breaches("image", "hpccm.config") == "only recipe may import hpccm"
    assert not breaches("image", "imagefactory.recipe")
    assert not breaches("image", "imagefactory.base.errors")


@pytest.mark.parametrize("room", [room for room in ORDER if (PACKAGE / room).is_dir()])
def test_every_room_has_a_front_door(room: str) -> None:
    door = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(door), "the front door says what the room promises"
    if room in {"base", "cli"}:
        return
    # The house names 8; the room `release` serves ten verbs.
    assert 3 <= len(front_door(room)) <= 30, "the front door names what others may use"


def test_every_room_is_known() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert rooms <= set(ORDER)
