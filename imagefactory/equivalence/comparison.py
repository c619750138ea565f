"""What a comparison is made of: the verdict, the tiers that led to it, and what they found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imagefactory.base.errors import Fault
from imagefactory.equivalence.margins import Margins
from imagefactory.equivalence.provenance import Row, describe_runs

if TYPE_CHECKING:
    from imagefactory.equivalence.bitwise import Counts, Divergence
    from imagefactory.equivalence.calibration import Calibration
    from imagefactory.equivalence.measures import Window
    from imagefactory.equivalence.statistical import Pool, Statistics
    from imagefactory.run import RunRecord

    Side = Sequence[RunRecord]


class Verdict(StrEnum):
    """What can be said of two sides."""

    IDENTICAL = "IDENTICAL"
    EQUIVALENT = "EQUIVALENT"
    DIFFERENT = "DIFFERENT"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"


EXIT_CODES = {
    Verdict.IDENTICAL: 0,
    Verdict.EQUIVALENT: 0,
    Verdict.DIFFERENT: 3,
    Verdict.INCONCLUSIVE: 9,
    Verdict.INVALID: 9,
}

EMULATED = "spinnaker-emulated"
NO_BOARD = "no SpiNNaker took part"


@dataclass(frozen=True)
class Tier:
    """One step of the procedure: what was expected of it and why, and what came of it."""

    name: str
    expected: str
    found: str


@dataclass(frozen=True)
class Pair:
    """Two runs of one seed, spike by spike; `divergence` is None where they are equal."""

    a: str
    b: str
    counts: Counts
    divergence: Divergence | None


@dataclass(frozen=True)
class Outcome:
    """What came of the tiers.

    `faults` say why there is no verdict (INVALID); `pairs` are there where equal spikes were
    expected, `statistics` with `window` where the statistical tier was reached, and then `pool` has
    both sides' runs, side A first; `hints` are likely causes of a difference, most likely first, or
    remarks.
    """

    verdict: Verdict
    tiers: tuple[Tier, ...]
    faults: tuple[Fault, ...] = ()
    pairs: tuple[Pair, ...] = ()
    statistics: Statistics | None = None
    pool: Pool | None = None
    window: Window | None = None
    hints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Two sides, where they come from, and what came of comparing them."""

    a: tuple[RunRecord, ...]
    b: tuple[RunRecord, ...]
    rows: tuple[Row, ...]
    margins: Margins
    outcome: Outcome
    calibration: Calibration | None = None

    @property
    def verdict(self) -> Verdict:
        """The one word."""
        return self.outcome.verdict

    @property
    def exit_code(self) -> int:
        """The command's exit status for this verdict."""
        return EXIT_CODES[self.verdict]

    @property
    def worst(self) -> Pair | None:
        """The pair that parts first, or the first of equal pairs; None without pairs."""
        apart = [(pair.divergence.step, pair) for pair in self.outcome.pairs if pair.divergence]
        if apart:
            return min(apart, key=lambda each: each[0])[1]
        return self.outcome.pairs[0] if self.outcome.pairs else None

    @property
    def divergence(self) -> Divergence | None:
        """Where the worst pair parts."""
        return self.worst.divergence if self.worst else None

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        a, b = describe_runs(self.a), describe_runs(self.b)
        margins = f"{self.margins.name} {self.margins.version}"
        apart = "did not compute the same spikes"
        within = f"are equivalent within the margins {margins}"
        if self.outcome.statistics is not None:
            apart = f"are farther apart than the margins {margins} allow"
        elif not self.outcome.pairs:
            apart = "are farther apart than one time step, neuron by neuron"
            within = "are equal within one time step, neuron by neuron"
        found = {
            Verdict.IDENTICAL: f"{a} and {b} computed the same spikes, bit for bit",
            Verdict.EQUIVALENT: f"{a} and {b} {within}",
            Verdict.DIFFERENT: f"{a} and {b} {apart}",
            Verdict.INCONCLUSIVE: f"{a} and {b}: the runs do not suffice to tell",
            Verdict.INVALID: f"{a} and {b} cannot be compared",
        }[self.verdict]
        return f"{found} (emulated: {NO_BOARD})" if self.is_emulated else found

    @property
    def is_emulated(self) -> bool:
        """Whether a side is the emulation of SpiNNaker's arithmetic."""
        return any(record.backend == EMULATED for record in (*self.a, *self.b))
