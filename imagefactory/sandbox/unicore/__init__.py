"""A double of a UNICORE/X server on the loopback, in front of the sandbox's sites.

It is not UNICORE. It speaks the part of its REST interface that PyUNICORE uses, checked key by key
against recorded replies of a real UNICORE/X 11.1 (docs/unicore-double.md).
"""

from imagefactory.sandbox.unicore.fake_login import FakeLogin, Outcome
from imagefactory.sandbox.unicore.faults import FaultKind, FaultPlan, PlannedFault
from imagefactory.sandbox.unicore.start import Unicore, start_unicore

__all__ = [
    "FakeLogin",
    "FaultKind",
    "FaultPlan",
    "Outcome",
    "PlannedFault",
    "Unicore",
    "start_unicore",
]
