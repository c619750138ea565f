"""The module of a run whose neuron NEST has not: planned with the run, built if it is missing, sent
with the run's files. Every rank holds what was sent against the digest before it loads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import UsageFault
from imagefactory.base.report import Report
from imagefactory.base.values import Digest
from imagefactory.model import Model

if TYPE_CHECKING:
    from imagefactory.nestml import Module, ModulePlan
    from imagefactory.run.plan import RunPlan


def plan_run_module(
    model: Model, parameters: Mapping[str, Any], image: Digest, given: Path | None, report: Report
) -> tuple[Module | None, ModulePlan | None]:
    """The module that a run needs, or the plan of one that is to be built; neither where none is.

    `given` is one that the user built. Raises UsageFault where it does not fit image and model.
    """
    if not model.needs_module(parameters) or model.nestml is None:
        if given is not None:
            raise UsageFault(f"this run of {model.name} loads no module", where=str(given))
        return None, None
    from imagefactory import nestml

    if given is not None:
        found = nestml.read_module(given)
        nestml.require_fit(found, image, model.neuron)
        return found, None
    plan = nestml.plan_module(model.nestml, nestml.Target.NEST, image, report)
    return (plan.current, None) if plan.current else (None, plan)


def with_module(plan: RunPlan, report: Report) -> RunPlan:
    """The plan with its module, which is built now if it is missing. Raises as `build_module`."""
    if plan.module_plan is None:
        return plan
    from imagefactory import nestml

    image = plan.image

    def sif() -> Path:
        return image.source or nestml.find_sif(image.sif, report, image.pinned)

    module = nestml.build_module(plan.module_plan, sif, report)
    nestml.require_fit(module, image.sif, plan.model.neuron)
    return replace(plan, module=module, module_plan=None)
