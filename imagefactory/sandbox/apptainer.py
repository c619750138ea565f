"""How the user's Apptainer gets into the nodes: its folders, read-only, at their own places."""

from __future__ import annotations

from pathlib import Path

from imagefactory.base.process import Runner
from imagefactory.base.report import Report

ASK_SECONDS = 30
# Prefixes that a node has a system of its own under: only Apptainer's own folders go in there.
_SYSTEM = {Path("/usr"), Path("/usr/local"), Path("/")}


def apptainer_paths(program: Path, report: Report) -> tuple[Path, ...]:
    """What to mount so that `program` runs in a node: its prefix, or its own folders in /usr."""
    output = Runner(report).run(program, "buildcfg", timeout=ASK_SECONDS).output
    built = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    return needed_paths(built, program)


def needed_paths(built: dict[str, str], program: Path) -> tuple[Path, ...]:
    """Decide from `apptainer buildcfg`; a program called by another path is mounted there too."""
    prefix = Path(built["PREFIX"])
    inside = program.is_relative_to(prefix)
    if prefix not in _SYSTEM:
        return (prefix,) if inside else (prefix, program)
    own = (
        Path(built["LIBEXECDIR"]) / "apptainer",
        Path(built["APPTAINER_CONFDIR"]),
        Path(built["SESSIONDIR"]),
        Path(built["BINDIR"]) / "apptainer",
    )
    return (*own,) if program == own[-1] else (*own, program)
