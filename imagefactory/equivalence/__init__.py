"""Says whether two sides, of one run or of several each, computed the same, or why that cannot be
said.

Promise: no verdict without complete provenance on both sides; IDENTICAL means every spike, bit for
bit; EQUIVALENT means within margins that were fixed before; nothing ever falls back to a weaker
comparison in silence.
"""

from imagefactory.equivalence.comparison import EXIT_CODES, Comparison, Verdict
from imagefactory.equivalence.control_plan import plan_controls, try_controls
from imagefactory.equivalence.document import document
from imagefactory.equivalence.explain import explain
from imagefactory.equivalence.html import write_figure, write_report
from imagefactory.equivalence.margins import load_margins
from imagefactory.equivalence.verdict import compare, compare_all, with_calibration

__all__ = [
    "EXIT_CODES",
    "Comparison",
    "Verdict",
    "compare",
    "compare_all",
    "document",
    "explain",
    "load_margins",
    "plan_controls",
    "try_controls",
    "with_calibration",
    "write_figure",
    "write_report",
]
