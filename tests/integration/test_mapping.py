"""sPyNNaker's virtual board in the image of recipes/spynnaker: two mappings are one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.report import Silent
from imagefactory.model import NetworkMapping, find_model, map_model, resolve_parameters

SMALL: dict[str, Any] = {
    "n_exc": 120, "n_inh": 30, "duration_ms": 200, "warmup_ms": 20, "frozen": True, "dt_ms": 1,
}  # fmt: skip


def mapped(sif: Path, **more: Any) -> NetworkMapping:
    model = find_model("balanced-random")
    return map_model(model, resolve_parameters(model, SMALL | more), sif, Silent())


def test_a_network_is_mapped_the_same_twice(spynnaker_sif: Path) -> None:
    one, again = mapped(spynnaker_sif), mapped(spynnaker_sif)
    assert one.fits
    assert one.machine["cores_used"] == 4  # two populations, and two of sources
    assert one == again
    other = mapped(spynnaker_sif, weight_scale=1.5)
    assert other.digests["data"] != one.digests["data"]
    assert other.digests["placements"] == one.digests["placements"]


def test_the_other_model_is_mapped_too(spynnaker_sif: Path) -> None:
    model = find_model("few-cells")
    found = map_model(model, resolve_parameters(model, {"dt_ms": 1}), spynnaker_sif, Silent())
    assert {each["population"] for each in found.populations} >= {"one EPSP", "silent"}


def test_an_image_without_spynnaker(nest_sif: Path) -> None:
    with pytest.raises(ToolFailed, match="did not map"):
        mapped(nest_sif)
