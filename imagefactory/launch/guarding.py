"""The guard that every rank goes through inside the image, seen from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.launch.facts import ImageSide, Launch
from imagefactory.launch.symptoms import symptom

GUARD = Path(str(files("imagefactory.launch").joinpath("inside"))) / "guard.py"


def expectation(image: ImageSide, launch: Launch) -> dict[str, str | None]:
    """What the guard is to prove; None for what is not known of the image."""
    return {"sharing": launch.sharing, "mpi": image.mpi_version}


def guard_faults(ranks: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """What the guards of the ranks said, each once: what, the name of its symptom, the fix."""
    told = [fault for rank in ranks for fault in (rank.get("guard") or {}).get("faults", [])]
    distinct = {fault["what"]: symptom(fault["symptom"]) for fault in told}
    return [(what, known.name, known.fix) for what, known in distinct.items()]
