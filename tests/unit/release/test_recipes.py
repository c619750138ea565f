"""Recipes of Spack 0.2x turned into those of Spack 1.x, as texts."""

from __future__ import annotations

import ast

import pytest

from imagefactory.release.recipes import CLASSES, convert, module_name, namespace_name

OLD = '''\
# Copyright
"""A recipe."""
from __future__ import annotations

import os
from spack.package import *
from spack.pkg.builtin.num7zip import Num7zip
from spack.pkg.builtin import (boost,
                               cmake as builder)  # two
import spack.pkg.esd.nest as nest


class Elephant(CMakePackage):
    depends_on("cxx", type="build")
'''
NEW = '''\
# Copyright
"""A recipe."""
from __future__ import annotations

from spack_repo.builtin.build_systems._package_api_v1 import *
import os
from spack.package import *
from spack_repo.builtin.packages._7zip.package import Num7zip
import spack_repo.builtin.packages.boost.package as boost
import spack_repo.builtin.packages.cmake.package as builder
import spack_repo.esd.packages.nest.package as nest


class Elephant(CMakePackage):
    depends_on("cxx", type="build")
'''


@pytest.mark.parametrize(
    ("package", "module"),
    [("nest", "nest"), ("py-pynn", "py_pynn"), ("7zip", "_7zip"), ("import", "_import"),
     ("py_pynn", None), ("Nest", None), ("a--b", None), ("..", None), ("", None)],
)  # fmt: skip
def test_the_folder_of_a_package(package: str, module: str | None) -> None:
    assert module_name(package) == module


@pytest.mark.parametrize(
    ("namespace", "expected"),
    [("esd", "esd"), ("ebrains-spack-builds", "ebrains_spack_builds"), ("a.b-c", "a.b_c"),
     ("../x", None), ("a/b", None), ("class", None), ("", None), ("a..b", None)],
)  # fmt: skip
def test_a_namespace(namespace: str, expected: str | None) -> None:
    assert namespace_name(namespace) == expected


def test_imports_are_converted() -> None:
    recipe = convert(OLD)
    assert recipe.text == NEW
    assert recipe.remarks == ()
    ast.parse(recipe.text)


def test_what_is_converted_already_stays() -> None:
    text = "from spack_repo.builtin.build_systems.python import PythonPackage\n"
    assert convert(text).text == text
    assert convert(NEW).text == NEW


@pytest.mark.parametrize(
    "text", ["", "x = 1", '"""Only a text."""', "\f\nimport os\n", "@decorated\nclass A: ...\n"]
)
def test_the_classes_are_imported_before_all_else(text: str) -> None:
    tree = ast.parse(convert(text).text)
    rest = [node for node in tree.body if not isinstance(node, ast.Expr)]
    assert ast.unparse(rest[0]) == CLASSES
    assert convert(text).remarks == ()


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("import spack.pkg.builtin.boost", "old kind"),
        ("from spack.pkg.a.b.c import D", "old kind"),
        ("import os; from spack.pkg.builtin.boost import Boost", "old kind"),
        ("from .boost import Boost", "beside the recipe"),
        ("from spack.build_systems.cmake import CMakePackage", "package API"),
        ("import llnl.util.filesystem as fs", "package API"),
        ("x = spack.pkg.builtin.boost.Boost", "spack.pkg"),
        ("class A(CMakePackage):\n    depends_on('mpi')", "no compiler"),
        ("print 'two'", "no Python"),
    ],
)
def test_what_cannot_be_converted_is_told_with_its_line(line: str, word: str) -> None:
    recipe = convert(f"from spack.package import *\n{line}\n")
    assert len(recipe.remarks) == 1
    assert recipe.remarks[0].startswith("line 2: ")
    assert word in recipe.remarks[0]
    assert line in recipe.text


def test_a_python_package_needs_no_language() -> None:
    assert not convert("class A(PythonPackage):\n    depends_on('python')\n").remarks
