"""The demo's neuromorphic leg: where the network would stand on SpiNNaker, and what SpiNNaker's
arithmetic alone makes of it. No SpiNNaker takes part, and the report says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imagefactory.base.report import Report
from imagefactory.equivalence import Comparison, compare
from imagefactory.image import build, plan_build
from imagefactory.model import NetworkMapping, find_model, map_model, resolve_parameters
from imagefactory.recipe import load_recipe
from imagefactory.run import RunRecord, execute, plan_run, watch

RECIPE = Path("recipes/spynnaker")
SITE, MODEL = "bookworm", "balanced-random"
EMULATED = "spinnaker-emulated"
REAL_TIME = {"dt_ms": 1.0, "frozen": True}  # SpiNNaker's step, and the same input for both


def plan_neuromorphic() -> str:
    """What will be done, for people."""
    return (
        f"map the network on sPyNNaker's virtual board (image {RECIPE}); run it frozen, 1 ms, at "
        f"{SITE} under nest and {EMULATED}: an emulation, no SpiNNaker takes part"
    )


def run_neuromorphic(
    reference: str, overrides: Mapping[str, Any], report: Report
) -> tuple[NetworkMapping, Comparison]:
    """The mapping, and NEST compared with the emulation on one frozen network."""
    chosen = {**overrides, **REAL_TIME}
    sif = build(plan_build(load_recipe(RECIPE), report=report), report).sif
    begun = [_start(reference, chosen, backend, report) for backend in ("nest", EMULATED)]
    model = find_model(MODEL)
    mapping = map_model(model, resolve_parameters(model, chosen), sif, report)
    for line in mapping.lines():
        report.note(line)
    nest, emulated = (watch(record.id, report) for record in begun)
    return mapping, compare([nest], [emulated])


def _start(reference: str, chosen: Mapping[str, Any], backend: str, report: Report) -> RunRecord:
    with report.step(f"start under {backend}: {SITE}, one process, frozen"):
        plan = plan_run(
            reference, SITE, MODEL, report=report, ranks=1, overrides=chosen, backend=backend
        )
        return execute(plan, report, detach=True)
