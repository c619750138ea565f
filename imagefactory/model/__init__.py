"""The networks that are run: what they are, what may be set, and the spikes that they give.

Promise: parameters are complete and checked before anything starts, and spikes that were read are
whole and in canonical order (time step, then neuron), whichever ranks wrote them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imagefactory.model.models import Model, find_model, list_models, resolve_parameters

if TYPE_CHECKING:
    from imagefactory.model.spikes import Population, Spikes, load_spikes, read_spikes, write_spikes

__all__ = [
    "Model",
    "Population",
    "Spikes",
    "find_model",
    "list_models",
    "load_spikes",
    "read_spikes",
    "resolve_parameters",
    "write_spikes",
]


def __getattr__(name: str) -> Any:
    # spikes.py needs NumPy, which `imagefactory --help` must not wait for.
    if name in __all__:
        from imagefactory.model import spikes

        return getattr(spikes, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
