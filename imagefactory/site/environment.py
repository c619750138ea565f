"""A variable that a run's ranks get, with its reason and the source of that reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """One decision; a value of None takes the variable away."""

    name: str
    value: str | None
    why: str
    source: str


def shell_lines(settings: Iterable[Setting]) -> list[str]:
    """POSIX sh lines that make the settings, each with its reason."""
    import shlex

    lines = []
    for setting in settings:
        reason = f"  # {setting.why} ({setting.source})"
        if setting.value is None:
            lines.append(f"unset {setting.name}{reason}")
        else:
            lines.append(f"export {setting.name}={shlex.quote(setting.value)}{reason}")
    return lines
