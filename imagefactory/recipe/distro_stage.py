"""A distro stack in a definition: Debian packages, PyPI wheels, sdists compiled with CMake."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from imagefactory.recipe.hpccm_door import make
from imagefactory.recipe.recipe import Distro, Recipe, Requirement, Source
from imagefactory.recipe.stages import (
    SOURCES,
    Parts,
    base_layer,
    compile_command,
    date_command,
)

FETCHED = "fetched"  # the folder of what came from PyPI
BESIDE = "recipe"  # the folder of files that stand beside the recipe


def distro_parts(recipe: Recipe, distro: Distro) -> Parts:
    """The parts of a distro stack."""
    copied = {source.prefix: source.prefix for source in distro.sources}
    if distro.wheels:
        # Not /usr/local/lib: it is there already, and Apptainer would copy into it (lib/lib).
        copied[_python_folder(recipe)] = _python_folder(recipe)
    return Parts(
        build=tuple(_build_stage(recipe, distro)) if recipe.base.build_packages else (),
        copied=copied,
        prefixes=tuple(source.prefix for source in distro.sources),
        files=tuple(recipe.folder / name for source in distro.sources for name in source.files),
    )


def _build_stage(recipe: Recipe, distro: Distro) -> Iterator[Any]:
    yield base_layer(recipe, "build")
    yield make("copy", files={FETCHED: f"{SOURCES}/{FETCHED}", BESIDE: f"{SOURCES}/{BESIDE}"})
    yield make("apt_get", ospackages=list(recipe.base.build_packages))
    checks = [_check(item) for item in distro.requirements]
    yield make("shell", commands=[date_command(recipe), *checks, *_python_commands(distro)])
    for source in distro.sources:
        yield make("shell", commands=list(_source_commands(source)))
    if distro.build_only:
        names = " ".join(distro.build_only)
        command = f"pip uninstall --yes --break-system-packages {names}"
        yield make("shell", commands=[command, compile_command(_python_folder(recipe))])
    elif distro.wheels:
        yield make("shell", commands=[compile_command(_python_folder(recipe))])


def _python_folder(recipe: Recipe) -> str:
    """Where Debian's pip installs; a minbase root has no such folder."""
    return f"/usr/local/lib/python{recipe.base.python}"


def _check(item: Requirement) -> str:
    """Fails the build unless the one file in the folder of its digest has that digest."""
    return f'echo "{item.digest.hex}  $(ls {_folder(item)}/*)" | sha256sum --check'


def _folder(item: Requirement) -> str:
    return f"{SOURCES}/{FETCHED}/{item.digest.hex}"


def _python_commands(distro: Distro) -> Iterator[str]:
    if distro.wheels:
        wheels = " ".join(f"{_folder(wheel)}/*.whl" for wheel in distro.wheels)
        yield (
            "pip install --break-system-packages --root-user-action=ignore --no-compile "
            f"--no-index --no-deps {wheels}"
        )
        yield from distro.prepare


def _source_commands(source: Source) -> Iterator[str]:
    work = f"/opt/build/{source.name}"
    archive = f"{_folder(source.sdist)}/{source.file}"
    options = [f"-D{key}={value}" for key, value in source.cmake.items()]
    yield f"mkdir -p {work}/source"
    yield f"tar -xf {archive} -C {work}/source --strip-components=1 --no-same-owner"
    yield f"cd {work}/source"
    for name, target in source.files.items():
        yield f"cp {SOURCES}/{BESIDE}/{name} {target}"
    yield from source.prepare
    yield shlex.join(
        ["cmake", "-S", ".", "-B", "../build", f"-DCMAKE_INSTALL_PREFIX={source.prefix}", *options]
    )
    yield "cmake --build ../build --parallel $(nproc)"
    yield "cmake --install ../build"
    yield compile_command(source.prefix)
