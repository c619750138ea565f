"""The networks that are run: what they are, what may be set, and the spikes that they give.

Promise: parameters are complete and checked before anything starts, and spikes that were read are
whole and in canonical order (time step, then neuron), whichever ranks wrote them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagefactory.model.backends import find_backend, list_backends, tabulate_backends
from imagefactory.model.capability import (
    Answer,
    check_backend,
    check_capability,
    needs_of,
    read_script,
)
from imagefactory.model.gdf import write_gdf
from imagefactory.model.mapping import VIRTUAL_BOARD, NetworkMapping, map_model
from imagefactory.model.models import (
    BACKEND,
    Model,
    find_model,
    freeze,
    list_models,
    resolve_parameters,
)

if TYPE_CHECKING:
    from imagefactory.model.spike_file import SpikeFile, load_spikes, open_spikes, write_spikes
    from imagefactory.model.spikes import Population, Spikes, read_spikes

__all__ = [
    "BACKEND",
    "VIRTUAL_BOARD",
    "Answer",
    "Model",
    "NetworkMapping",
    "Population",
    "SpikeFile",
    "Spikes",
    "check_backend",
    "check_capability",
    "find_backend",
    "find_model",
    "freeze",
    "list_backends",
    "list_models",
    "load_spikes",
    "map_model",
    "needs_of",
    "open_spikes",
    "read_script",
    "read_spikes",
    "resolve_parameters",
    "tabulate_backends",
    "write_gdf",
    "write_spikes",
]


def __getattr__(name: str) -> Any:
    # Spikes need NumPy, which `imagefactory --help` must not wait for.
    if name in __all__:
        from imagefactory.model import spike_file

        return getattr(spike_file, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
