"""A balanced random network of neurons that adapt: Izhikevich's, in NESTML or NEST's own.

Connections, weights and the Poisson drive are those of balanced_random.py with other numbers; a
weight is a jump of the membrane potential. The parameters are in adaptive.json.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from balanced_random import (
    QUANTUM,
    Drawn,
    Network,
    connect,
    connections,
    draw_trains,
    drive,
    load,
    populations,
    save,
    setup,
    simulate,
    sizes_of,
    spikes,
    stream,
)

__all__ = ["build", "draw", "load", "populations", "save", "setup", "simulate", "spikes"]

# Regular and fast spiking, Izhikevich (2003); by NEST's names of the parameters.
CELLS = {
    "excitatory": {"a": 0.02, "b": 0.2, "c": -65.0, "d": 8.0, "V_th": 30.0},
    "inhibitory": {"a": 0.1, "b": 0.2, "c": -65.0, "d": 2.0, "V_th": 30.0},
}
# The same in adaptive.nestml.
IN_NESTML = {"a": "speed", "b": "slope", "c": "reset", "d": "jump", "V_th": "V_th"}
MODELS = {"nestml": "adaptive_neuron", "nest": "izhikevich"}
START = (-70.0, -50.0)  # mV


def of_balanced_random(parameters: dict[str, Any]) -> dict[str, Any]:
    """Our parameters as balanced_random.py knows them.

    PyNN gives NEST a weight in nA as pA, of which izhikevich makes mV: 0.001 nA is 1 mV. NESTML's
    code multiplies a weight by 0.001 and then by 1000: exact for multiples of 1000 / 2^20 mV alone.
    """
    weight = float(np.rint(parameters["weight_exc_mv"] / 1000 / QUANTUM) * QUANTUM)
    fixed = {"variant": "stationary", "weight_scale": 1.0, "synapse_loss": 0.0}
    return parameters | fixed | {"weight_exc_na": weight}


def draw(parameters: dict[str, Any]) -> Drawn:
    """Draw start values and connections; the trains, too, where the run is frozen."""
    plain = of_balanced_random(parameters)
    sizes = sizes_of(plain)
    start = {
        name: stream(parameters["seed"], f"v {name}").uniform(*START, size)
        for name, size in sizes.items()
    }
    rows = {
        f"{source} to {target}": connections(plain, source, target, sizes)
        for source in sizes
        for target in sizes
    }
    trains = {}
    if parameters["frozen"]:
        trains = {name: draw_trains(plain, name, size) for name, size in sizes.items()}
    return Drawn(start, rows, trains)


def build(sim: Any, parameters: dict[str, Any], drawn: Drawn | None = None) -> Network:
    """Create and connect the network."""
    drawn = drawn or draw(parameters)
    plain = of_balanced_random(parameters)
    recorded = {}
    for name, size in sizes_of(plain).items():
        population = sim.Population(size, cell(sim, parameters, name), label=name)
        # The recovery starts where it would come to rest at the potential.
        population.initialize(V_m=drawn.start[name], U_m=CELLS[name]["b"] * drawn.start[name])
        population.record("spikes")
        recorded[name] = population
    network = Network(list(recorded.values()), [], None, [])
    for name, each in recorded.items():
        drive(sim, plain, network, each, drawn.trains.get(name))
    for source in recorded:
        for target in recorded:
            rows = drawn.rows[f"{source} to {target}"]
            made = connect(sim, recorded[source], recorded[target], rows, source)
            network.projections.append(made)
    return network


def cell(sim: Any, parameters: dict[str, Any], name: str) -> Any:
    """The neuron of a population, of the kind that is asked for."""
    values = CELLS[name]
    if parameters["neuron"] == "nestml":
        values = {IN_NESTML[key]: value for key, value in values.items()}
    return sim.native_cell_type(MODELS[parameters["neuron"]])(**values)
