"""A run on a neuromorphic queue, decided; and the one program text that is sent for it."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.base.errors import Fault, UsageFault
from imagefactory.base.report import size
from imagefactory.launch import GUARD
from imagefactory.model import (
    Model,
    check_capability,
    find_backend,
    find_model,
    needs_of,
    resolve_parameters,
)
from imagefactory.run.job import Geometry, parameters_text
from imagefactory.run.plan import new_id
from imagefactory.site import JobQueue, load_queue

BACKEND, EMULATED = "spinnaker", "spinnaker-emulated"
CODE_BYTES = 5_000_000  # the service was seen to take so much (facts/unicore-nmpi.md 3.7)
STEP_MS = 1.0
ONE = Geometry(1, 1, 1)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same run gives the same text


@dataclass(frozen=True)
class NmpiPlan:
    """Everything about a run on a queue that can be known before it."""

    id: str
    queue: JobQueue
    collab: str
    model: Model
    parameters: Mapping[str, Any]
    told: tuple[str, ...] = ()

    @property
    def parameters_text(self) -> str:
        """parameters.json; the program writes the backend that it is started with into it."""
        return parameters_text(self.model, ONE, self.parameters, BACKEND)

    def lines(self) -> list[str]:
        """The plan, for people."""
        what = "DOUBLE of the NMPI: nothing of it runs on a SpiNNaker" if self.queue.double else ""
        return [
            f"run {self.id}",
            *([what] if what else []),
            *self.told,
            f"at {self.queue.url}: check the token, the right to submit for {self.collab!r}, quota",
            f"submit {self.model.name} with its frozen network to {self.queue.platform}, as one "
            f"program of at most {size(CODE_BYTES)}, tagged {self.id}",
            "wait for finished, error or removed; fetch log and output",
        ]


def plan_nmpi(
    queue: str, model: str, collab: str, overrides: Mapping[str, Any] | None = None
) -> NmpiPlan:
    """Decide a run on a queue. A network that is random is frozen: drawn here and sent along.

    Raises UsageFault with all that the backend cannot do.
    """
    place, network = load_queue(queue), find_model(model)
    frozen = {"frozen": "true"} if "frozen" in network.by_name else {}
    parameters = resolve_parameters(network, {**(overrides or {}), **frozen})
    capability = check_capability(
        network.name, needs_of(network, parameters), find_backend(BACKEND)
    )
    faults = capability.faults
    if parameters["dt_ms"] != STEP_MS:
        what = f"a step of {parameters['dt_ms']:g} ms: SpiNNaker's real time is 1 ms"
        faults.append(Fault(what, fix="--set dt_ms=1"))
    if faults:
        raise UsageFault.from_faults(faults)
    told = tuple(capability.lines())
    return NmpiPlan(new_id(place.name, network.name), place, collab, network, parameters, told)


def program_text(plan: NmpiPlan, drawn: Mapping[str, Path]) -> str:
    """The program: the run's files in it, packed. Raises UsageFault where it is too long."""
    contents = {f"inside/{path.name}": path.read_bytes() for path in (*plan.model.files, GUARD)}
    contents |= {name: path.read_bytes() for name, path in drawn.items()}
    contents["parameters.json"] = plan.parameters_text.encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), contents[name])
    text = _template().replace("@RUN@", plan.id)
    text = text.replace("@PARCEL@", base64.b85encode(packed.getvalue()).decode())
    if len(text) > CODE_BYTES:
        raise UsageFault(
            f"the program with its network is {size(len(text))}: a queue takes {size(CODE_BYTES)}",
            where=plan.model.name,
            fix="make the network smaller or the run shorter: --set n_exc=..., duration_ms=...",
        )
    return text


def submission(plan: NmpiPlan, code: str) -> dict[str, Any]:
    """The body of the submission; the tag finds it again when the reply is lost. A double is asked
    for spikes, which the real service gives of itself."""
    system = {"system": EMULATED} if plan.queue.double else {}
    return {
        "code": code,
        "command": "run.py {system}",
        "collab": plan.collab,
        "hardware_platform": plan.queue.platform,
        "hardware_config": {"timeout": 1, **system},
        "tags": ["imagefactory", plan.id],
    }


@cache
def _template() -> str:
    path = files("imagefactory.run").joinpath("inside", "on_board.py")
    return path.read_text(encoding="utf-8")
