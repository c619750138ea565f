"""The one door to HPCCM, with its traps guarded (facts/pmix-containers.md 7, facts/peers.md 5).

HPCCM takes any keyword and ignores the misspelt ones, keeps target, syntax and distribution in
module globals, takes an unknown distribution for an old Ubuntu, falls back to versions that are
years old, and downloads without checksums. Here: keywords are checked, every global is set and put
back, the distribution is named, and nothing that downloads is used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from imagefactory.base.errors import nearest

# What we use of HPCCM 26.5.0, with the keywords that its source reads (kwargs.get).
KEYWORDS = {
    "baseimage": {"image", "_as", "_bootstrap", "_distro", "_docker_env"},
    "copy": {"src", "dest", "files", "_from"},
    "apt_get": {"ospackages"},
    "shell": {"commands", "chdir"},
    "environment": {"variables", "_export"},
    "label": {"metadata"},
}
# HPCCM knows no Debian. These Ubuntu releases have the same package tools and no version logic
# that we use; the name goes nowhere else.
LIKE_UBUNTU = {"bookworm": "ubuntu22", "trixie": "ubuntu24"}
SYNTAX = "3.8"  # the definition syntax; HPCCM's default, 2.6, drops all stages but one


def hpccm_module(name: str) -> Any:
    """A module of HPCCM; Python's warnings about its source are not for our users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


@contextmanager
def hpccm_settings(suite: str) -> Iterator[None]:
    """HPCCM set for an Apptainer definition on this Debian suite; its globals are put back."""
    config = hpccm_module("hpccm.config")
    before = {name: value for name, value in vars(config).items() if name.startswith("g_")}
    try:
        config.set_container_format("singularity")
        config.set_singularity_version(SYNTAX)
        config.set_singularity_tmp_fallback(False)
        config.set_linux_distro(LIKE_UBUNTU[suite])
        config.set_working_directory("/var/tmp")  # noqa: S108 - inside the image
        config.set_cpu_target(None)
        yield
    finally:
        vars(config).update(before)


def make(kind: str, **keywords: Any) -> Any:
    """One HPCCM primitive or building block; a keyword that HPCCM would ignore is a defect."""
    for name in keywords:
        if name not in KEYWORDS[kind]:
            message = f"HPCCM's {kind} does not read {name!r}: {nearest(name, KEYWORDS[kind])}"
            raise TypeError(message)
    home = "building_blocks" if kind == "apt_get" else "primitives"
    return getattr(hpccm_module(f"hpccm.{home}"), kind)(**keywords)


def stage_text(layers: list[Any]) -> str:
    """The layers of one stage as definition text."""
    stage = hpccm_module("hpccm").Stage()
    for layer in layers:
        stage += layer
    text = str(stage)
    if "%setup" in text:
        message = "HPCCM wrote a %setup section, which runs on the host"
        raise TypeError(message)
    return text
