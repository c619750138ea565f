"""Faults on demand: which requests or jobs they hit is drawn from a seed and counted."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault, UsageFault
from imagefactory.base.settings import check


class FaultKind(StrEnum):
    """What goes wrong. The first group hits requests, the second one jobs."""

    SESSION_GONE = "session-gone"  # 432
    REFUSED = "refused"  # 403, empty body: what a bad or expired token gets
    UNAUTHORISED = "unauthorised"  # 401, JSON
    UNAVAILABLE = "unavailable"  # 503, JSON
    BROKEN = "broken"  # 500, JSON
    ERROR_BODY = "error-body"  # 500, an XML text as octets (recorded)
    ERROR_PAGE = "error-page"  # 200, an HTML page instead of the content
    SLOW = "slow"  # the reply waits
    CUT = "cut"  # closed without a reply; nothing was done
    LOST_REPLY = "lost-reply"  # closed without a reply; it was done
    CUT_BODY = "cut-body"  # closed in the middle of the body
    UNKNOWN_STATUS = "unknown-status"  # a job's status is a word that no client knows

    PRECOMMAND_FAILS = "precommand-fails"
    EXIT_CODE_LOST = "exit-code-lost"
    ABORT_LOST = "abort-lost"  # 204, and the job goes on
    JOB_GONE = "job-gone"  # 404, and the folder is gone: its lifetime is over

    # Of the NMPI double's provider.
    PROVIDER_FAILS = "provider-fails"  # the job ends in error, with a log
    OUTPUT_GONE = "output-gone"  # its output is linked and 404
    OUTPUT_ELSEWHERE = "output-elsewhere"  # its output is linked to another host
    OUTPUT_FILE = "output-file"  # its output is linked to a file of the client's own machine
    OUTPUT_CLIMBS = "output-climbs"  # its output has a path that climbs out of the folder


JOB_KINDS = {
    FaultKind.PRECOMMAND_FAILS,
    FaultKind.EXIT_CODE_LOST,
    FaultKind.ABORT_LOST,
    FaultKind.JOB_GONE,
}

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["faults"],
    "properties": {
        "seed": {"type": "integer"},
        "faults": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["kind"],
                "properties": {
                    "kind": {"enum": [kind.value for kind in FaultKind]},
                    "on": {"type": "string"},
                    "skip": {"type": "integer", "minimum": 0},
                    "times": {"type": ["integer", "null"], "minimum": 1},
                    "chance": {"type": "number", "minimum": 0, "maximum": 1},
                    "seconds": {"type": "number", "minimum": 0},
                },
            },
        },
    },
}


@dataclass(frozen=True)
class PlannedFault:
    """One fault that is to come.

    `on` is searched in "METHOD /path" of a request, or in the name of a job. The first `skip`
    matches pass, the next `times` are hit (None: all), each with probability `chance`. `seconds`
    is for SLOW. Raises UsageFault if `on` is no regular expression.
    """

    kind: FaultKind
    on: str = ""
    skip: int = 0
    times: int | None = 1
    chance: float = 1.0
    seconds: float = 1.0

    def __post_init__(self) -> None:
        try:
            re.compile(self.on)
        except re.error as err:
            raise UsageFault(
                f"{self.on!r} is no regular expression: {err}", fix="GET .*/jobs/"
            ) from None


@dataclass
class _Entry:
    """A planned fault, how many subjects it matched and how many it hit."""

    fault: PlannedFault
    seen: int = 0
    hits: int = 0


class FaultPlan:
    """The faults of one double; may be asked from many threads.

    With one thread of requests the same seed and the same requests give the same faults.
    """

    def __init__(self, faults: Iterable[PlannedFault] = (), seed: int = 0) -> None:
        self.fired: Counter[FaultKind] = Counter()
        self._lock = threading.Lock()
        self.set(faults, seed)

    def set(self, faults: Iterable[PlannedFault], seed: int = 0) -> None:
        """Replace all faults; `fired` begins anew."""
        with self._lock:
            self.seed = seed
            self.fired.clear()
            self._random = random.Random(seed)  # noqa: S311  no secret is made of it
            self._planned = [_Entry(fault) for fault in faults]

    def add(self, *faults: PlannedFault) -> None:
        """More faults beside those that are planned."""
        with self._lock:
            self._planned += [_Entry(fault) for fault in faults]

    def clear(self) -> None:
        """No more faults; `fired` begins anew."""
        self.set((), self.seed)

    def draw(self, subject: str, *kinds: FaultKind) -> PlannedFault | None:
        """The first planned fault of these kinds that hits `subject` now, counted as fired."""
        with self._lock:
            for entry in self._planned:
                fault = entry.fault
                if fault.kind in kinds and re.search(fault.on, subject) and self._hits(entry):
                    self.fired[fault.kind] += 1
                    return fault
        return None

    def _hits(self, entry: _Entry) -> bool:
        fault = entry.fault
        entry.seen += 1
        if entry.seen <= fault.skip or (fault.times is not None and entry.hits >= fault.times):
            return False
        if fault.chance < 1 and self._random.random() >= fault.chance:
            return False
        entry.hits += 1
        return True

    def document(self) -> dict[str, Any]:
        """Seed, planned faults and what was fired so far, as JSON."""
        with self._lock:
            planned = [asdict(entry.fault) for entry in self._planned]
            fired = {kind.value: count for kind, count in self.fired.items()}
            return {"seed": self.seed, "faults": planned, "fired": fired}


def read_faults(document: Mapping[str, Any], where: str) -> tuple[list[PlannedFault], int]:
    """Faults and seed from JSON; raises ConfigurationFault with all that is wrong."""
    check(document, _SCHEMA, where)
    faults, wrong = [], []
    for number, item in enumerate(document["faults"]):
        try:
            faults.append(PlannedFault(**{**item, "kind": FaultKind(item["kind"])}))
        except UsageFault as err:
            first = err.faults[0]
            wrong.append(Fault(first.what, f"{where}: faults/{number}/on", first.fix))
    if wrong:
        raise ConfigurationFault.from_faults(wrong)
    return faults, int(document.get("seed", 0))
