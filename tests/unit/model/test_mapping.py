"""Mappings: what is read and said of them, and the script's own parts against made-up boards."""

from __future__ import annotations

import copy
import json
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imagefactory.base.errors import ConfigurationFault, ToolFailed, UsageFault, VerdictAgainst
from imagefactory.base.process import Done
from imagefactory.base.report import Silent
from imagefactory.model import NetworkMapping, find_model, map_model, resolve_parameters
from imagefactory.model.mapping import prepare, read_mapping, require_spinnaker
from tests.conftest import Golden

# Not by `import`: what is run inside has imports of its own that are not to be had here.
map_network = import_module("imagefactory.model.inside.map_network")
balanced_random = import_module("imagefactory.model.inside.balanced_random")
DIGEST = f"sha256:{'0' * 64}"
# As the script wrote it of 400 and 100 neurons (sPyNNaker 7.4.1), its digests made short.
FOUND: dict[str, Any] = {
    "digest": DIGEST,
    "digests": dict.fromkeys(("placements", "routing", "keys", "data"), DIGEST),
    "drawn": {"input": DIGEST, "start": DIGEST},
    "keys": {"blocks": 9, "highest": 32767, "lowest": 0},
    "machine": {
        "boards": 1, "chips": 48, "chips_used": 1, "cores": 808, "cores_used": 5, "monitors": 49,
    },
    "memory": {"a_chip": 123469792, "bytes": 25253572, "fullest_chip": 2295200},
    "populations": [
        {"cores": 1, "kind": "SpikeSourceArrayMachineVertex", "neurons": 400,
         "population": "drive of excitatory"},
        {"cores": 2, "kind": "PopulationMachineVertex", "neurons": 400,
         "population": "excitatory"},
    ],
    "routing": {"chips": 1, "entries": 4, "most_on_a_chip": 4},
    "versions": {"spynnaker": "1!7.4.1"},
}  # fmt: skip
MODEL = find_model("balanced-random")


def parameters(**given: Any) -> dict[str, Any]:
    small = {"n_exc": 20, "n_inh": 10, "dt_ms": 1, "frozen": True, "duration_ms": 600}
    return resolve_parameters(MODEL, small | given)


def read(tmp_path: Path, found: dict[str, Any]) -> NetworkMapping:
    path = tmp_path / "mapping.json"
    path.write_text(json.dumps(found))
    return read_mapping(path, MODEL, parameters(), DIGEST)


def test_what_is_said(tmp_path: Path, golden: Golden) -> None:
    mapping = read(tmp_path, FOUND)
    assert mapping.fits
    golden.check("model/mapping.txt", "\n".join(mapping.lines()) + "\n")


def test_more_than_one_board(tmp_path: Path) -> None:
    found = copy.deepcopy(FOUND)
    found["machine"]["boards"] = 3
    mapping = read(tmp_path, found)
    assert not mapping.fits
    assert mapping.lines()[1].startswith(
        "does not fit one SpiNN-5 board, sPyNNaker took 3: 5 of 808 cores"
    )


def test_sources_without_keys_and_spikes(tmp_path: Path) -> None:
    empty = {"keys": {"blocks": 0, "lowest": None, "highest": None}, "drawn": {"input": None}}
    lines = read(tmp_path, FOUND | empty).lines()
    assert "keys         0 blocks, - to -" in lines
    assert "input        no frozen trains" in lines


def test_what_cannot_be_mapped_is_a_verdict(tmp_path: Path) -> None:
    with pytest.raises(VerdictAgainst, match="PacmanPartitionException: no room") as raised:
        read(tmp_path, {"error": "PacmanPartitionException: no room"})
    assert "model check" in raised.value.faults[0].fix


@pytest.mark.parametrize("name", ["digest", "machine", "drawn"])
def test_half_a_mapping_is_none(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationFault):
        read(tmp_path, {key: value for key, value in FOUND.items() if key != name})


# --- before the image is asked ------------------------------------------------------------------


def test_real_time_only() -> None:
    with pytest.raises(UsageFault, match=r"real time, 1 ms, not for dt_ms=0\.1") as raised:
        require_spinnaker(MODEL, parameters(dt_ms=0.1))
    assert raised.value.faults[0].fix == "--set dt_ms=1"
    require_spinnaker(MODEL, parameters())


def test_what_the_image_sees(tmp_path: Path) -> None:
    prepare(MODEL, parameters(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"map_network.py", "balanced_random.py", "start.py", "job.json", "frozen.npz"} <= names
    job = json.loads((tmp_path / "job.json").read_text())
    assert job == {"model": "balanced-random", "parameters": parameters()}


@pytest.mark.parametrize("status", [0, 1])
def test_an_image_without_a_result_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    seen: list[tuple[str, ...]] = []

    def execute(sif: Path, argv: list[str], **more: Any) -> Done:
        seen.append(tuple(more["options"]))
        return Done(tuple(argv), status, "", "No module named 'pyNN.spiNNaker'", 0.1)

    @contextmanager
    def reachable(sif: Path, _: object) -> Iterator[Path]:
        yield sif

    monkeypatch.setenv("IMAGEFACTORY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("imagefactory.model.mapping.give", lambda path: None)
    monkeypatch.setattr("imagefactory.model.mapping.ordinary_folder", made)
    monkeypatch.setattr("imagefactory.image.reachable", reachable)
    fake = SimpleNamespace(execute=execute)
    monkeypatch.setattr("imagefactory.image.find_apptainer", lambda report: fake)
    with pytest.raises(ToolFailed, match="did not map") as raised:
        map_model(MODEL, parameters(), tmp_path / "x.sif", Silent())
    assert "pyNN.spiNNaker" in str(raised.value)
    assert "--containall" in seen[0]
    assert not list((tmp_path / "cache" / "mappings").iterdir())  # nothing is left behind


def made(path: Path) -> Path:
    path.mkdir(parents=True)
    return path


# --- the script's parts ---------------------------------------------------------------------------


class Cell:
    default_population_parameters: Mapping[str, Any] = MappingProxyType({"seed": None})


class Source:
    default_population_parameters: Mapping[str, Any] = MappingProxyType({})


def test_populations_have_seeds_where_they_take_one() -> None:
    made: list[dict[str, Any]] = []

    def population(size: int, cell: Any, label: str, additional_parameters: Any) -> None:
        made.append(additional_parameters)

    sim = map_network.Seeded(SimpleNamespace(Population=population, __name__="pyNN.spiNNaker"))
    for cell in (Cell(), Source(), Cell()):
        sim.Population(3, cell, label="x")
    assert made == [{"seed": 1}, {}, {"seed": 3}]
    assert sim.__name__ == "pyNN.spiNNaker"  # the models ask for it


def place(x: int, core: int, label: str | None, first: int = 0, neurons: int = 0) -> Any:
    whole = SimpleNamespace(label=label) if label else None
    part = SimpleNamespace(lo_atom=first, n_atoms=neurons)
    sdram = SimpleNamespace(get_total_sdram=lambda steps: 100 + steps)
    vertex = SimpleNamespace(app_vertex=whole, vertex_slice=part, sdram_required=sdram)
    return SimpleNamespace(x=x, y=0, p=core, vertex=vertex)


class Board:
    """As much of sPyNNaker's view as is asked."""

    places = (
        place(1, 3, "b", 0, 7),
        place(0, 4, "a", 256, 44),
        place(0, 3, "a", 0, 256),
        place(0, 1, None),
    )

    @classmethod
    def iterate_placemements(cls) -> tuple[Any, ...]:
        return cls.places

    @staticmethod
    def get_machine() -> Any:
        chips = [SimpleNamespace(sdram=900), SimpleNamespace(sdram=1000)]
        return SimpleNamespace(
            ethernet_connected_chips=[1], n_chips=2, total_available_user_cores=30, chips=chips
        )


def test_placements_are_in_order_whatever_order_they_were_made_in() -> None:
    placed = map_network.placements(Board)
    assert [(each["x"], each["core"]) for each in placed] == [(0, 1), (0, 3), (0, 4), (1, 3)]
    assert map_network.machine(Board, placed) == {
        "boards": 1, "chips": 2, "cores": 30, "chips_used": 2, "cores_used": 3, "monitors": 1,
    }  # fmt: skip
    assert [
        (each["population"], each["cores"], each["neurons"])
        for each in map_network.populations(placed)
    ] == [("a", 2, 300), ("b", 1, 7)]


def test_memory_is_that_of_the_steps_asked_for() -> None:
    assert map_network.memory(Board, 10) == {"bytes": 440, "fullest_chip": 330, "a_chip": 900}


def specification(path: Path, content: bytes) -> str:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE core (x, y, p, is_system)")
        connection.execute("CREATE TABLE region (x, y, p, region_num, size, content)")
        connection.executemany("INSERT INTO core VALUES (0, 0, ?, ?)", [(3, 0), (1, 1)])
        rows = [(3, 2, 8, content), (3, 1, 4, None), (1, 1, 4, b"address")]
        connection.executemany("INSERT INTO region VALUES (0, 0, ?, ?, ?, ?)", rows)
    found = map_network.specification(str(path))
    assert [row[3] for row in found] == [1, 2]  # in order, and the system's core is left out
    return str(map_network.digest(found))


def test_the_digest_is_of_what_is_written_to_the_cores(tmp_path: Path) -> None:
    one = specification(tmp_path / "a", b"weights")
    assert one == specification(tmp_path / "b", b"weights")
    assert one != specification(tmp_path / "c", b"other weights")


def test_a_board_that_gives_spikes_is_no_virtual_board(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = lambda *_: None  # noqa: E731
    model = SimpleNamespace(
        setup=nothing, draw=nothing, build=nothing, simulate=nothing,
        spikes=lambda *_: (np.arange(3), np.arange(3)),
    )  # fmt: skip
    monkeypatch.setattr(map_network, "import_module", lambda name: model)
    monkeypatch.setitem(sys.modules, "start", SimpleNamespace(drawn_facts=nothing))
    with pytest.raises(RuntimeError, match="gave 3 spikes"):
        map_network.map_network(None, {"model": "m", "parameters": {}})


def test_spynnaker_is_given_plain_lists_of_times() -> None:
    sim = SimpleNamespace(__name__="pyNN.spiNNaker")
    assert balanced_random.sequence(sim, np.array([1.0, 2.5])) == [1.0, 2.5]
