"""The drawn network of a frozen run, which goes to the site with it and stays beside its record."""

from __future__ import annotations

from pathlib import Path

from imagefactory.model import freeze
from imagefactory.run.plan import RunPlan

NAME = "frozen.npz"


def draw_frozen(plan: RunPlan, folder: Path) -> dict[str, Path]:
    """Write connections, weights, delays, start values and input of a frozen run into `folder`.

    Returns the file by its name in the run's folder; nothing for a run that is not frozen. The same
    parameters give the same network, on every machine.
    """
    if not plan.parameters.get("frozen"):
        return {}
    freeze(plan.model, plan.parameters, folder / NAME)
    return {f"inside/{NAME}": folder / NAME}
