"""Maps a network on sPyNNaker's virtual board: `python3 map_network.py job.json`, inside the image.

No SpiNNaker takes part and nothing is simulated: the board gives no spikes, and whatever it gave
would be no result. Writes mapping.json beside the job: what was placed where, what memory it takes,
and one digest of all of it. Input spikes are not in it, for sPyNNaker loads them later; they have a
digest of their own. sPyNNaker's settings must be in the home folder as well as here, or its
first run writes a template there and ends.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
import traceback
from collections import Counter
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

CANNOT_MAP = 3
FROZEN = Path("frozen.npz")
SETTINGS = Path("virtual_board.cfg")
# Whose errors say that a network cannot be mapped; any other is a defect.
THEIRS = {"pacman", "spinn_front_end_common", "spinn_machine", "spinn_utilities", "spynnaker"}
PARTS = ("placements", "routing", "keys", "data")
VERSIONS = ("spynnaker", "spinnfrontendcommon", "spinnaker-pacman", "spinnmachine", "pynn", "numpy")


def digest(value: Any) -> str:
    """sha256 of a value's JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class Seeded:
    """sPyNNaker's module, whose populations have fixed seeds.

    sPyNNaker takes theirs from the system's entropy, also where nothing is drawn with them, and
    writes them into each core's memory: no two mappings were equal.
    """

    def __init__(self, sim: Any) -> None:
        self._sim = sim
        self._made = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sim, name)

    def Population(self, size: int, cell: Any, label: str) -> Any:
        """A population, with its number as its seed where its cells take one."""
        self._made += 1
        takes = "seed" in type(cell).default_population_parameters
        more = {"seed": self._made} if takes else {}
        return self._sim.Population(size, cell, label=label, additional_parameters=more)


def map_network(sim: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Build the network, map it, and say what came out."""
    from start import drawn_facts

    model = import_module(job["model"].replace("-", "_"))
    parameters = job["parameters"]
    model.setup(sim, parameters)
    drawn = model.load(FROZEN) if parameters.get("frozen") else model.draw(parameters)
    network = model.build(sim, parameters, drawn)
    model.simulate(sim, parameters, network)
    neuron, _ = model.spikes(parameters, network)
    if len(neuron):  # then it is no virtual board, and this is no mapping
        raise RuntimeError(f"a virtual board gave {len(neuron)} spikes")
    steps = round(parameters["duration_ms"] / parameters["dt_ms"])
    found = describe(steps) | {"drawn": drawn_facts(drawn)}
    sim.end()
    return found | {"versions": {name: version(name) for name in VERSIONS}}


def describe(steps: int) -> dict[str, Any]:
    """What sPyNNaker mapped, asked before its end throws it away."""
    from spinn_front_end_common.data import FecDataView as View

    placed = list(placements(View))
    tables = routing(View)
    keys = key_space(View)
    data = specification(View.get_ds_database_path())
    parts = {"placements": placed, "routing": tables, "keys": keys, "data": data}
    digests = {name: digest(parts[name]) for name in PARTS}
    return {
        "digest": digest(digests),
        "digests": digests,
        "machine": machine(View, placed),
        "populations": populations(placed),
        "routing": {
            "chips": len(tables),
            "entries": sum(len(each["entries"]) for each in tables),
            "most_on_a_chip": max((len(each["entries"]) for each in tables), default=0),
        },
        "keys": {
            "blocks": len(keys),
            "lowest": min((each["key"] for each in keys), default=None),
            "highest": max(
                (each["key"] | ~each["mask"] & 0xFFFFFFFF for each in keys), default=None
            ),
        },
        "memory": memory(View, steps),
    }


def placements(view: Any) -> Any:
    """Each core in use: its chip, its number, what is on it; in order."""
    found = []
    for place in view.iterate_placemements():
        vertex = place.vertex
        whole = vertex.app_vertex
        part = vertex.vertex_slice if whole is not None else None
        found.append({
            "x": place.x, "y": place.y, "core": place.p,
            "what": type(vertex).__name__, "population": whole.label if whole else None,
            "first": part.lo_atom if part else None, "neurons": part.n_atoms if part else 0,
        })  # fmt: skip
    return sorted(found, key=lambda each: (each["x"], each["y"], each["core"]))


def routing(view: Any) -> list[dict[str, Any]]:
    """The routing table of each chip, before compression."""
    found = []
    for table in view.get_uncompressed().routing_tables:
        entries = sorted(
            (entry.key, entry.mask, entry.spinnaker_route, entry.defaultable)
            for entry in table.multicast_routing_entries
        )
        found.append({"x": table.x, "y": table.y, "entries": entries})
    return sorted(found, key=lambda each: (each["x"], each["y"]))


def key_space(view: Any) -> list[dict[str, Any]]:
    """The keys by which each source of packets is known."""
    found = [
        {"key": int(each.key), "mask": int(each.mask), "label": str(each.vertex.label)}
        for each in view.get_routing_infos()
    ]
    return sorted(found, key=lambda each: (each["key"], each["mask"], each["label"]))


def specification(path: str) -> list[list[Any]]:
    """What is to be written to each core of the network: region, size, sha256 of the content."""
    ask = (
        "SELECT x, y, p, region_num, size, content FROM region NATURAL JOIN core "
        "WHERE is_system = 0 ORDER BY x, y, p, region_num"
    )
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        rows = connection.execute(ask).fetchall()
    return [[*row[:5], hashlib.sha256(row[5] or b"").hexdigest()] for row in rows]


def machine(view: Any, placed: list[dict[str, Any]]) -> dict[str, Any]:
    """The virtual machine that sPyNNaker chose, and what of it is in use."""
    whole = view.get_machine()
    return {
        "boards": len(whole.ethernet_connected_chips),
        "chips": whole.n_chips,
        "cores": whole.total_available_user_cores,
        "chips_used": len({(each["x"], each["y"]) for each in placed if each["population"]}),
        "cores_used": sum(each["population"] is not None for each in placed),
        "monitors": sum(each["population"] is None for each in placed),
    }


def populations(placed: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How many cores and neurons each population takes; a neuron may be on a core of its synapses
    too, so neurons are counted once for each kind of core."""
    cores = Counter((each["population"], each["what"]) for each in placed if each["population"])
    found = []
    for (name, what), count in sorted(cores.items()):
        neurons = sum(
            each["neurons"] for each in placed if (each["population"], each["what"]) == (name, what)
        )
        found.append({"population": name, "kind": what, "cores": count, "neurons": neurons})
    return found


def memory(view: Any, steps: int) -> dict[str, int]:
    """SDRAM in bytes that a run of so many steps takes: of all chips together, of the fullest one,
    and what a chip has."""
    used: Counter[tuple[int, int]] = Counter()
    for place in view.iterate_placemements():
        used[place.x, place.y] += int(place.vertex.sdram_required.get_total_sdram(steps))
    there = min(chip.sdram for chip in view.get_machine().chips)
    return {"bytes": sum(used.values()), "fullest_chip": max(used.values()), "a_chip": int(there)}


def main(path: str) -> None:
    """Map the job's network; exit status CANNOT_MAP where sPyNNaker says that it does not fit."""
    job = json.loads(Path(path).read_text("utf-8"))
    settings = SETTINGS.read_text()
    for folder in (Path.home(), Path.cwd()):
        for name in (".spynnaker.cfg", "spynnaker.cfg"):
            (folder / name).write_text(settings)
    sim = Seeded(import_module("pyNN.spiNNaker"))
    try:
        found = map_network(sim, job)
    except Exception as err:
        if type(err).__module__.partition(".")[0] not in THEIRS:
            raise
        traceback.print_exc()
        Path("mapping.json").write_text(json.dumps({"error": f"{type(err).__name__}: {err}"}))
        sys.exit(CANNOT_MAP)
    Path("mapping.json").write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
