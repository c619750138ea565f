"""Promises two real Slurm sites, a registry and a UNICORE double on this machine, the set-up they
need, the demo."""

from imagefactory.sandbox.demo import demo, plan_demo
from imagefactory.sandbox.lifecycle import down, plan_down, plan_up, up
from imagefactory.sandbox.needs import plan_setup
from imagefactory.sandbox.setup import set_up
from imagefactory.sandbox.state import Sandbox, load_sandbox
from imagefactory.sandbox.status import status
from imagefactory.sandbox.unicore.background import (
    UnicoreAddress,
    decide_device,
    issue_token,
    load_unicore,
    plan_faults,
    require_unicore,
    show_faults,
)
from imagefactory.sandbox.unicore.faults import FaultKind, PlannedFault

__all__ = [
    "FaultKind",
    "PlannedFault",
    "Sandbox",
    "UnicoreAddress",
    "decide_device",
    "demo",
    "down",
    "issue_token",
    "load_sandbox",
    "load_unicore",
    "plan_demo",
    "plan_down",
    "plan_faults",
    "plan_setup",
    "plan_up",
    "require_unicore",
    "set_up",
    "show_faults",
    "status",
    "up",
]
