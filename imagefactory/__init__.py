"""One image from recipe to cross-site verdict: build, push, run anywhere, compare.

For Python the verbs have the same names: `imagefactory.run(image, site=...)` returns a handle
(run.handle), `imagefactory.runs()` lists them, `imagefactory.compare([record], [record])` gives
the verdict on two sides.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
# Name: room and name there; imported when it is used: `imagefactory --help` stays quick.
_VERBS = {
    "runs": ("run", "list_runs"),
    "open_run": ("run", "open_run"),
    "compare": ("equivalence", "compare"),
}


def __getattr__(name: str) -> Any:
    if name == "run":
        return import_module("imagefactory.run")
    if name in _VERBS:
        room, verb = _VERBS[name]
        return getattr(import_module(f"imagefactory.{room}"), verb)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
