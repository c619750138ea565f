"""What `apptainer build` prints: progress while it runs, the failing line when it fails."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from imagefactory.base.report import Report

_PERCENT = re.compile(r"\[\s*(\d+)%\]")
# Commands of %post worth a line of their own; sh -x prints each with a plus.
_SHOWN = ("apt-get install", "pip install", "cmake", "python3 -m compileall", "/opt/build/spack")
# What Spack 1.1.0 prints (spack/installer.py: install_msg, and the log of a package's build).
_INSTALLING = re.compile(
    r"==> Installing (?P<name>\S+)-[a-z0-9]{32} \[(?P<done>\d+)/(?P<all>\d+)\]"
)
_FROM_SOURCE = re.compile(r"==> No binary for (?P<name>\S+)-[a-z0-9]{32} found: installing")
_PHASE = re.compile(r"==> (?P<name>[\w-]+): Executing phase: '(?P<phase>\w+)'")
# What comes from a build cache is called installing only after it was installed: the view is last.
_INSTALLED = re.compile(r"==> ([\w-]+: Successfully installed|Updating view)")
WIDTH = 90


class BuildWatch:
    """Follows the lines of a build."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.last_command = ""
        self.package = ""  # what Spack is building, and the phase of it
        self.phase = ""
        self._count = ""

    def line(self, text: str) -> None:
        """Take one line of output."""
        if text.startswith("+ ") and not self.package:
            self.last_command = text[2:].strip()
            if self.last_command.startswith(_SHOWN):
                self._report.note(self.last_command[:WIDTH])
        elif text.startswith("INFO: "):
            self.last_command = ""  # Apptainer itself works now: its failure is not the command's
        elif found := _PERCENT.match(text):
            self._report.progress("compile", int(found[1]), unit="%")
        elif text.startswith("==> "):
            self._spack(text)

    def _spack(self, text: str) -> None:
        if found := _INSTALLING.match(text):
            self._report.progress(found["name"], int(found["done"]), int(found["all"]), "packages")
            self.package, self.phase = found["name"], "fetch"
            self._count = f"{found['done']} of {found['all']}"
        elif found := _FROM_SOURCE.match(text):
            # A line of its own: the next package may be minutes away.
            self._report.note(f"build {found['name']} ({self._count})")
        elif found := _PHASE.match(text):
            self.phase = found["phase"]
        elif _INSTALLED.match(text):
            self.package = self.phase = ""


def failing_line(definition: str, command: str) -> int | None:
    """The line number of the definition that fits the command best, or None.

    The shell prints commands expanded and without their quotes, hence a likeness, not equality.
    """
    if not command:
        return None
    best, best_likeness = None, 0.6
    for number, line in enumerate(definition.splitlines(), 1):
        likeness = SequenceMatcher(None, line.strip(), command, autojunk=False).ratio()
        if likeness > best_likeness:
            best, best_likeness = number, likeness
    return best
