"""Promises two real Slurm sites and a registry on this machine, the set-up they need, the demo."""

from imagefactory.sandbox.demo import demo, plan_demo
from imagefactory.sandbox.lifecycle import down, plan_down, plan_up, up
from imagefactory.sandbox.needs import plan_setup
from imagefactory.sandbox.setup import set_up
from imagefactory.sandbox.state import Sandbox, load_sandbox
from imagefactory.sandbox.status import status

__all__ = [
    "Sandbox",
    "demo",
    "down",
    "load_sandbox",
    "plan_demo",
    "plan_down",
    "plan_setup",
    "plan_up",
    "set_up",
    "status",
    "up",
]
