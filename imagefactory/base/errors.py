"""Every error a user may see, with the exit code that it owns.

FactoryError
 ├─ UsageFault           2   the command line asks for something that cannot be
 ├─ VerdictAgainst       3   the work was done and the answer is no (DIFFERENT, a failed image test)
 ├─ ConfigurationFault   4   a recipe, site record or settings file is wrong (all faults at once)
 ├─ LockDrift            5   a lock is not that of its environment and sources
 ├─ ToolFailed           6   a program that we started failed, or is missing
 ├─ ServiceAway          7   a registry or site cannot be reached; trying again may help
 ├─ TrustRefused         8   a digest, certificate or credential does not hold
 └─ NoVerdict            9   there are no data to judge (INVALID)

0 is success and 1 a defect in imagefactory itself: anything that is no FactoryError.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong: what, where (file, key, line) and how to mend it."""

    what: str
    where: str = ""
    fix: str = ""

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n    fix: {self.fix}" if self.fix else text


class FactoryError(Exception):
    """An expected failure, told as what happened, where, and the next command to try."""

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", fix: str = "", detail: str = "") -> None:
        super().__init__(what)
        self.faults: tuple[Fault, ...] = (Fault(what, where, fix),)
        self.detail = detail

    @classmethod
    def from_faults(cls, faults: Sequence[Fault]) -> FactoryError:
        """One error for all faults of an input; `faults` must not be empty."""
        first = faults[0]
        error = cls(first.what, where=first.where, fix=first.fix)
        error.faults = tuple(faults)
        return error

    def __str__(self) -> str:
        lines = [str(fault) for fault in self.faults]
        return "\n".join([*lines, self.detail] if self.detail else lines)


class UsageFault(FactoryError):
    exit_code = 2


class VerdictAgainst(FactoryError):
    exit_code = 3


class ConfigurationFault(FactoryError):
    exit_code = 4


class LockDrift(FactoryError):
    exit_code = 5


class ToolFailed(FactoryError):
    exit_code = 6


class ServiceAway(FactoryError):
    exit_code = 7


class TrustRefused(FactoryError):
    exit_code = 8


class NoVerdict(FactoryError):
    exit_code = 9


def nearest(word: str, known: Collection[str]) -> str:
    """A fix sentence for a word that is not in `known`: the nearest one, or the whole list."""
    from difflib import get_close_matches  # not at the top: errors.py is on the start-up path

    near = get_close_matches(word, list(known), n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"use one of: {', '.join(sorted(known))}" if known else "there is none yet"
