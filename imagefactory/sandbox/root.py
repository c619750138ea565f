"""Root's work on the user's machine: done by ourselves where we are root, else through sudo."""

from __future__ import annotations

import os
from collections.abc import Sequence

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Runner, quoted
from imagefactory.base.report import Report

# An ordinary user's PATH lacks the sbin folders.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CHANGE_SECONDS = 60


def root_argv(argv: Sequence[str], is_root: bool) -> list[str]:
    """The command as root: itself, or through sudo, which must not ask (we have no terminal)."""
    return list(argv) if is_root else ["sudo", "-n", *argv]


def as_root(report: Report, *argv: str, timeout: float = CHANGE_SECONDS) -> None:
    """Run a command as root; raises ToolFailed with the command for the user to type."""
    is_root = os.geteuid() == 0
    environment = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"}
    try:
        Runner(report, environment).run(*root_argv(argv, is_root), timeout=timeout)
    except ToolFailed as err:
        if is_root:
            raise
        raise ToolFailed(
            f"root is needed: {err.faults[0].what}",
            where=err.faults[0].where,
            fix=f"sudo {quoted(argv)}, then again",
            detail=err.detail,
        ) from None


def may_be_root(report: Report) -> bool:
    """True if `as_root` would work now: we are root, or sudo does not ask."""
    try:
        as_root(report, "true")
    except ToolFailed:
        return False
    return True
