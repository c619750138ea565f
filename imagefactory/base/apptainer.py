"""Which Apptainer is used: the user's own if new enough, else the one that setup built."""

from __future__ import annotations

import os
import re
from pathlib import Path

from imagefactory.base.errors import ConfigurationFault, ToolFailed
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.process import Runner, which
from imagefactory.base.report import Report

OLDEST = (1, 5, 0)
BUILT_VERSION = "1.5.3"
VARIABLE = "IMAGEFACTORY_APPTAINER"
STAMP = "imagefactory-built.json"
ASK_SECONDS = 30


def built_prefix() -> Path:
    """Where setup builds Apptainer; it is whole only if the file STAMP is in it."""
    return ordinary_cache() / "apptainer" / BUILT_VERSION


def find_apptainer(report: Report) -> Path:
    """The program to use: IMAGEFACTORY_APPTAINER, the one on PATH if new enough, or the built one.

    Raises ConfigurationFault when the user's choice will not do, ToolFailed when there is none.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen:
        path = Path(chosen).expanduser().absolute()
        if not is_new_enough(version_of(path, report)):
            raise ConfigurationFault(
                f"this is no Apptainer >= {'.'.join(map(str, OLDEST))}",
                where=f"{VARIABLE}={chosen}",
                fix=f"name another one, or unset {VARIABLE}: setup builds {BUILT_VERSION}",
            )
        return path
    on_path = which("apptainer")
    if on_path and is_new_enough(version_of(on_path, report)):
        return on_path
    if (built_prefix() / STAMP).is_file():
        return built_prefix() / "bin" / "apptainer"
    raise ToolFailed(
        f"there is no Apptainer >= {'.'.join(map(str, OLDEST))}",
        where=str(on_path or built_prefix()),
        fix="imagefactory setup",
    )


def version_of(program: Path, report: Report) -> str:
    """What `apptainer --version` says, or an empty text if it does not run."""
    try:
        done = Runner(report).run(program, "--version", timeout=ASK_SECONDS, check=False)
    except ToolFailed:
        return ""
    return done.output.strip() if done.status == 0 else ""


def is_new_enough(version: str) -> bool:
    """True for `apptainer version 1.5.0` and newer; release candidates count as their release."""
    found = re.search(r"apptainer version (\d+)\.(\d+)\.(\d+)", version)
    return found is not None and tuple(int(part) for part in found.groups()) >= OLDEST
