"""The network of neurons that adapt, as far as it needs no NEST; and how a rank loads a module."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from imagefactory.model import find_model, freeze, resolve_parameters

MODEL = find_model("adaptive")
PARAMETERS = resolve_parameters(MODEL, {"n_exc": 60, "n_inh": 20})


def load(name: str) -> ModuleType:
    path = next(file for file in MODEL.files if file.name == f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # adaptive.py imports the other by this name
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def network() -> Iterator[ModuleType]:
    before = dict(sys.modules)
    load("balanced_random")
    yield load("adaptive")
    for name in ("balanced_random", "adaptive"):
        sys.modules.pop(name)
        if name in before:
            sys.modules[name] = before[name]


def test_every_weight_comes_through_nestmls_factors_unchanged(network: ModuleType) -> None:
    drawn = network.draw(PARAMETERS)
    weights = [rows[:, 2] for rows in drawn.rows.values()]
    weights.append(np.array([network.of_balanced_random(PARAMETERS)["weight_exc_na"]]))
    for each in weights:
        pa = each * 1000  # what PyNN gives NEST; NESTML's code multiplies by 0.001 and by 1000
        sums = np.cumsum(np.tile(pa, 5))  # what arrives in one step is added first
        assert np.array_equal(0.001 * pa * 1.0 * 1000.0, pa)
        assert np.array_equal(0.001 * sums * 1.0 * 1000.0, sums)


def test_not_every_number_would() -> None:
    numbers = np.arange(1.0, 100.0)
    assert not np.array_equal(0.001 * numbers * 1000.0, numbers)


def test_same_seed_same_network_other_seed_another(network: ModuleType) -> None:
    one, again, other = (network.draw({**PARAMETERS, "seed": seed}) for seed in (7, 7, 8))
    for name, rows in one.rows.items():
        assert np.array_equal(rows, again.rows[name])
        assert not np.array_equal(rows, other.rows[name])
    assert np.array_equal(one.start["excitatory"], again.start["excitatory"])


def test_a_frozen_run_has_its_trains_and_the_same_network(
    network: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**PARAMETERS, "frozen": True, "duration_ms": 50.0, "warmup_ms": 10.0}
    users = ModuleType("balanced_random")  # a script of the user's that has the same name
    monkeypatch.setitem(sys.modules, "balanced_random", users)
    freeze(MODEL, given, tmp_path / "frozen.npz")
    assert sys.modules["balanced_random"] is users
    frozen, drawn = network.load(tmp_path / "frozen.npz"), network.draw(PARAMETERS)
    assert not drawn.trains
    assert 60 * 100 < len(frozen.trains["excitatory"]) < 60 * 200, "3000 Hz for 49 ms each"
    for name, rows in drawn.rows.items():
        assert np.array_equal(rows, frozen.rows[name])
    for name, values in drawn.start.items():
        assert np.array_equal(values, frozen.start[name])


def test_the_names_are_those_of_the_nestml_file(network: ModuleType) -> None:
    assert MODEL.nestml is not None
    text = MODEL.nestml.read_text(encoding="utf-8")
    assert f"model {MODEL.neuron}:" in text
    assert network.MODELS["nestml"] == MODEL.neuron
    for name in network.IN_NESTML.values():
        assert re.search(rf"^        {name} (real|mV) = ", text, re.MULTILINE)


class Nest:
    def __init__(self) -> None:
        self.installed: list[str] = []

    def Install(self, name: str) -> None:
        self.installed.append(name)


def test_a_rank_loads_the_module_that_was_meant_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start: Any = load("start")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "inside" / "tinymodule.so"
    path.parent.mkdir()
    path.write_bytes(b"module")
    digest = f"sha256:{hashlib.sha256(b'module').hexdigest()}"
    nest = Nest()
    meant = {"file": path.name, "sha256": digest}
    assert start.load_module(nest, meant) == {"module": digest}
    assert nest.installed == [str(path)]
    path.write_bytes(b"other")
    with pytest.raises(ValueError, match="that was sent"):
        start.load_module(nest, meant)
    assert len(nest.installed) == 1
