"""What `apptainer build` prints: progress while it runs, the failing line when it fails."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from imagefactory.base.report import Report

_PERCENT = re.compile(r"\[\s*(\d+)%\]")
# Commands of %post worth a line of their own; sh -x prints each with a plus.
_SHOWN = ("apt-get install", "pip install", "cmake", "python3 -m compileall")
WIDTH = 90


class BuildWatch:
    """Follows the lines of a build."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.last_command = ""

    def line(self, text: str) -> None:
        """Take one line of output."""
        if text.startswith("+ "):
            self.last_command = text[2:].strip()
            if self.last_command.startswith(_SHOWN):
                self._report.note(self.last_command[:WIDTH])
        elif text.startswith("INFO: "):
            self.last_command = ""  # Apptainer itself works now: its failure is not the command's
        elif found := _PERCENT.match(text):
            self._report.progress("compile", int(found[1]), unit="%")


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
