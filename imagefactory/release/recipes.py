"""A package recipe of Spack 0.2x, as a text, turned into one of Spack 1.x; nothing is executed.

Source of the rules: spack/util/naming.py and spack/repo_migrate.py of Spack 1.1.0.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass

# What Spack 1.x itself puts before a recipe of the old kind: the classes that recipes of Spack
# 0.2x got from spack.package (`_PrependFileLoader` in spack/repo.py).
CLASSES = "from spack_repo.builtin.build_systems._package_api_v1 import *"
_MODULE = re.compile(r"[a-z_][a-z0-9_]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9-]*")
# Their build needs a compiler, which Spack 1.x gives only to who asks for a language.
_COMPILED = {
    "AutotoolsPackage", "CachedCMakePackage", "CMakePackage", "MakefilePackage", "MesonPackage",
    "QMakePackage", "SConsPackage", "WafPackage",
}  # fmt: skip
_LANGUAGES = {"c", "cxx", "fortran"}


@dataclass(frozen=True)
class Recipe:
    """A converted recipe, and what a person has to look at, each with its line."""

    text: str
    remarks: tuple[str, ...]


def module_name(package: str) -> str | None:
    """The folder of a package in Spack 1.x: `py-numpy` is `py_numpy`; None if it can have none."""
    if not _PACKAGE.fullmatch(package) or "--" in package:
        return None
    name = package.replace("-", "_")
    return f"_{name}" if name[0].isdigit() or keyword.iskeyword(name) else name


def namespace_name(namespace: str) -> str | None:
    """A namespace as Spack 1.x takes it, each part a Python module; None if it can be none."""
    parts = [part.replace("-", "_") for part in namespace.split(".")]
    if all(_MODULE.fullmatch(part) and not keyword.iskeyword(part) for part in parts):
        return ".".join(parts)
    return None


def convert(text: str) -> Recipe:
    """The recipe with the imports of Spack 1.x; what stays of the old kind is in the remarks."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as err:
        line = getattr(err, "lineno", None) or 1
        return Recipe(text, (f"line {line}: this is no Python, nothing was converted",))
    # Not splitlines(): it also breaks at a form feed, where Python counts no line.
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    remarks: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            remarks += _change_import(node, lines)
    remarks += [*_old_attributes(tree), *_missing_languages(tree)]
    if not _has_classes(tree):
        _insert(lines, _first_import(tree), CLASSES)
    return Recipe("".join(lines), tuple(sorted(set(remarks), key=_line_of)))


def _change_import(node: ast.Import | ast.ImportFrom, lines: list[str]) -> Iterator[str]:
    """Write one import anew, in its lines; what cannot be is told."""
    shown = f"line {node.lineno}: {ast.unparse(node)}"
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        names = ["." * node.level + (node.module or "")]
    old = [name for name in names if name.startswith("spack.pkg")]
    if old:
        new = _new_import(node)
        if new is None or not _replace(node, lines, new):
            yield f"{shown}: an import of the old kind, not converted"
        return
    for name in names:
        if name.startswith(".") and not name.startswith(".."):
            yield f"{shown}: an import beside the recipe, not converted"
        elif _inside_spack(name):
            yield f"{shown}: not of Spack's package API, may be gone in Spack 1.x"


def _new_import(node: ast.Import | ast.ImportFrom) -> list[str] | None:
    """An import of recipes in the form of Spack 1.x; None for the forms that we do not know."""
    if isinstance(node, ast.ImportFrom):
        parts = (node.module or "").split(".")[2:]
        if len(parts) == 2:
            return [f"from {_new_module(parts)} import {_names(node)}"]
        if len(parts) == 1:
            return [
                f"import {_new_module([*parts, alias.name])} as {alias.asname or alias.name}"
                for alias in node.names
            ]
        return None
    found = []
    for alias in node.names:
        parts = alias.name.split(".")[2:]
        # Without `as` the recipe uses the whole old name further down.
        if not alias.name.startswith("spack.pkg.") or len(parts) != 2 or not alias.asname:
            return None
        found.append(f"import {_new_module(parts)} as {alias.asname}")
    return found


def _new_module(parts: list[str]) -> str:
    namespace, module = parts
    # Spack 0.2x wrote the package 7zip as the module num7zip.
    module = re.sub(r"^num(?=\d)", "_", module)
    return f"spack_repo.{namespace}.packages.{module}.package"


def _names(node: ast.ImportFrom) -> str:
    return ", ".join(
        f"{alias.name} as {alias.asname}" if alias.asname else alias.name for alias in node.names
    )


def _replace(node: ast.stmt, lines: list[str], new: list[str]) -> bool:
    """Put new statements in the lines of an old one; False if it shares them with another."""
    last = node.end_lineno or node.lineno
    before = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    after = lines[last - 1].encode()[node.end_col_offset :].decode().strip()
    if before.strip() or after.removeprefix(";").strip().split("#")[0]:
        return False
    lines[node.lineno - 1] = "".join(f"{before}{one}\n" for one in new)
    # The lines keep their numbers, which further changes count by.
    lines[node.lineno : last] = [""] * (last - node.lineno)
    return True


def _inside_spack(name: str) -> bool:
    return name not in {"spack.package", "spack"} and name.split(".")[0] in {"spack", "llnl"}


def _old_attributes(tree: ast.AST) -> Iterator[str]:
    """Uses of spack.pkg and of spack.build_systems within the text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in {"spack.pkg", "spack.build_systems"}:
                yield f"line {node.lineno}: {name}: a name of the old kind, not converted"


def _missing_languages(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
        if bases & _COMPILED and not _asked(node) & _LANGUAGES:
            yield (
                f'line {node.lineno}: {node.name} has no depends_on("c", type="build") or the '
                "like: Spack 1.x gives it no compiler"
            )


def _asked(node: ast.ClassDef) -> set[str]:
    """The first words of each depends_on."""
    return {
        str(call.args[0].value)
        for call in ast.walk(node)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "depends_on"
        and call.args
        and isinstance(call.args[0], ast.Constant)
    }


def _has_classes(tree: ast.Module) -> bool:
    return any(
        isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("spack_repo.builtin.build_systems")
        for node in tree.body
    )


def _first_import(tree: ast.Module) -> int:
    """The line before which an import may stand."""
    body = [
        node
        for index, node in enumerate(tree.body)
        if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")
        and not (index == 0 and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    ]
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            return node.lineno
    if not body:
        return 0
    decorators = getattr(body[0], "decorator_list", [])
    return min([body[0].lineno, *(int(one.lineno) for one in decorators)])


def _insert(lines: list[str], number: int, statement: str) -> None:
    if number == 0:
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(f"{statement}\n")
    else:
        lines[number - 1] = f"{statement}\n{lines[number - 1]}"


def _line_of(remark: str) -> int:
    return int(remark.split(":")[0].removeprefix("line "))
