"""A spack stack in a definition: what the lock says is installed, and nothing is solved again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from imagefactory.recipe.hpccm_door import make
from imagefactory.recipe.recipe import Recipe, SpackStack
from imagefactory.recipe.stages import Parts, base_layer, compile_command, date_command
from imagefactory.release import Layout, install_environment

GIVEN_FILES = "release"  # the folder of the release's files in the build's context
SPACK = Layout.BUILD / "spack"
RELEASE_FILES = ("spack.yaml", "spack.lock", "sources.yaml")
ENVIRONMENT_FILE = Layout.PREFIX / "environment.sh"


def spack_parts(recipe: Recipe, stack: SpackStack) -> Parts:
    """The parts of a spack stack.

    Its build stage reads what is bound at Layout.given: Spack, its package repository, a mirror
    of the sources, and a folder that keeps what was built.
    """
    return Parts(
        build=tuple(_build_stage(recipe, stack)),
        copied={str(Layout.PREFIX): str(Layout.PREFIX)},
        final=tuple(_final_commands()),
        prefixes=(str(Layout.VIEW),),
        labels={
            "release": stack.release.name,
            "lock": str(stack.digest),
            "spack": stack.release.spack.commit,
            "spack-packages": stack.release.packages.commit,
            "overlay": str(stack.release.overlay_digest),
        },
    )


def _build_stage(recipe: Recipe, stack: SpackStack) -> Iterator[Any]:
    yield base_layer(recipe, "build")
    yield make("copy", files={GIVEN_FILES: str(Layout.FILES)})
    yield make("apt_get", ospackages=list(recipe.base.build_packages))
    yield make("shell", commands=[date_command(recipe), *_prepare(recipe, stack)])
    externals = json.dumps(dict(sorted(stack.externals.items())))
    yield make(
        "shell",
        commands=[
            shlex.join([str(SPACK), "python", str(Layout.BUILD / "check_lock.py"), externals]),
            f"{SPACK} install --only-concrete --fail-fast --no-check-signature --verbose",
        ],
    )
    yield make("shell", commands=list(_finish(recipe)))


def _prepare(recipe: Recipe, stack: SpackStack) -> Iterator[str]:
    """The environment and the way Spack is run: in no environment but this one."""
    import yaml

    lock = Layout.FILES / "spack.lock"
    # Through JSON: what YAML shares by an anchor is written out, to be read.
    document = json.loads(json.dumps({"spack": install_environment(stack.release)}))
    yield f"mkdir -p {Layout.ENVIRONMENT}"
    yield f'echo "{stack.digest.hex}  {lock}" | sha256sum --check'
    yield f"cp {lock} {Layout.ENVIRONMENT}/spack.lock"
    yield _file(f"{Layout.ENVIRONMENT}/spack.yaml", yaml.safe_dump(document, sort_keys=False))
    variables = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(Layout.BUILD),
        "LC_ALL": "C.UTF-8",
        "SOURCE_DATE_EPOCH": str(recipe.source_date_epoch),
        "SPACK_PYTHON": "/usr/bin/python3",
        "SPACK_DISABLE_LOCAL_CONFIG": "1",
        "SPACK_USER_CACHE_PATH": str(Layout.BUILD / "user"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    set_them = " ".join(f"{name}={value}" for name, value in variables.items())
    program = f"{Layout.SPACK}/bin/spack --no-color -e {Layout.ENVIRONMENT}"
    yield _file(str(SPACK), f'#!/bin/sh\nexec env -i {set_them} {program} "$@"\n')
    yield f"chmod 755 {SPACK}"
    for name in ("check_lock.py", "write_environment.py"):
        script = files("imagefactory.recipe").joinpath("inside", name)
        yield _file(str(Layout.BUILD / name), script.read_text(encoding="utf-8"))


def _finish(recipe: Recipe) -> Iterator[str]:
    """Leave what runs: no package that only builds, no byte code with times, no logs."""
    software, view = Layout.SOFTWARE, Layout.VIEW
    yield f"{SPACK} gc --yes-to-all"
    yield f"find {software} -name __pycache__ -type d -prune -exec rm -rf {{}} +"
    yield compile_command(str(software))
    # A view holds a link to each file: made anew, it has the byte code too.
    yield f"rm -rf {view} {view.parent}/._{view.name}"
    yield f"{SPACK} env view regenerate"
    yield shlex.join(
        [
            str(SPACK), "python", str(Layout.BUILD / "write_environment.py"),
            str(ENVIRONMENT_FILE), str(Layout.PREFIX), *sorted(recipe.environment),
        ]
    )  # fmt: skip
    yield f"find {Layout.PREFIX} '(' -name .spack -o -name .spack-db ')' -prune -exec rm -rf {{}} +"
    said = " ".join(f"{Layout.FILES}/{name}" for name in RELEASE_FILES)
    yield f"cp {said} {Layout.PREFIX}"
    # What came from the kept packages is dated 1970, what was built now is dated by Apptainer.
    date = f"--date=@{recipe.source_date_epoch}"
    yield f"find {Layout.PREFIX} -exec touch --no-dereference {date} {{}} +"


def _final_commands() -> Iterator[str]:
    yield f'cat {ENVIRONMENT_FILE} >> "$APPTAINER_ENVIRONMENT"'
    # A package of Debian's that a library needs, and that the final stage does not have.
    yield (
        f"if find {Layout.SOFTWARE} -type f '(' -name '*.so' -o -name '*.so.*' -o -perm -100 ')' "
        "-exec ldd {} + 2>&1 | grep 'not found'; then exit 1; fi"
    )


def _file(path: str, text: str) -> str:
    return f"cat > {path} <<'END'\n{text}END"
