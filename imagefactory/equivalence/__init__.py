"""Says whether two runs computed the same, or why that cannot be said.

Promise: no verdict without complete provenance on both sides; IDENTICAL means every spike, bit for
bit; nothing ever falls back to a weaker comparison in silence.
"""

from imagefactory.equivalence.html import write_report
from imagefactory.equivalence.verdict import EXIT_CODES, Comparison, Verdict, compare, explain

__all__ = ["EXIT_CODES", "Comparison", "Verdict", "compare", "explain", "write_report"]
