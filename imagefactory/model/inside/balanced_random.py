"""A balanced random network in PyNN: sparse, excitation and inhibition 4:1, Poisson drive.

An ordinary PyNN script: `python3 balanced_random.py nest [seed=7 n_exc=400 ...]` runs it on one
process; start.py beside it runs it on the ranks of a job. The parameters, their defaults and
meanings are in balanced-random.json.

Everything that is drawn here is drawn by NumPy, whole on every rank, so that the network does not
depend on how many ranks and threads share it. Only the Poisson trains come from the simulator; in
NEST they depend on its seed and on the number of virtual processes. A frozen run takes all of it,
its input spikes too, from a file that was drawn once (`draw`, `save`, `load`).
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

MIN_DELAY, MAX_DELAY = 1.0, 5.0  # ms; given to setup, so that no backend chooses them
# Weights are rounded to this many nA: a libm that differs in the last bit draws equal weights.
QUANTUM = 2.0**-20
EPOCH_RATES = (0.0, 50.0, 10.0, 20.0)  # Hz, upstream's input population, equal shares of the run
INPUT_SIZE, INPUT_MEAN, INPUT_SD = 100, 0.001, 0.01  # neurons, nA, nA: upstream

# NEST's own defaults of iaf_psc_exp; upstream takes PyNN's defaults of IF_curr_exp instead.
STATIONARY_CELL = {
    "v_rest": -70.0, "v_reset": -70.0, "v_thresh": -55.0, "cm": 0.25, "tau_m": 10.0,
    "tau_refrac": 2.0, "tau_syn_E": 2.0, "tau_syn_I": 2.0,
}  # fmt: skip
UPSTREAM_CELL = {
    "v_rest": -65.0, "v_reset": -65.0, "v_thresh": -50.0, "cm": 1.0, "tau_m": 20.0,
    "tau_refrac": 0.1, "tau_syn_E": 5.0, "tau_syn_I": 5.0,
}  # fmt: skip


@dataclass
class Network:
    """What was built: the recorded populations in canonical order, their drives, and the input.

    `inputs` is upstream's population whose rate changes; None in the stationary variant.
    `projections` are all connections that were made.
    """

    recorded: list[Any]
    drives: list[Any]
    inputs: Any | None
    projections: list[Any]

    @property
    def members(self) -> list[Any]:
        """All populations, in the order in which their neurons are numbered."""
        return [*self.recorded, *self.drives, *([self.inputs] if self.inputs else [])]


@dataclass
class Drawn:
    """All that is random in a run, by names of populations, and of projections ("a to b").

    `start` has membrane potentials (mV), `rows` a row of source, target, weight (nA) and delay (ms)
    for each connection, `trains` the input spikes as rows of neuron and time step, in order; empty
    where the simulator draws them.
    """

    start: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]
    trains: dict[str, np.ndarray]


def default_parameters(variant: str = "stationary") -> dict[str, Any]:
    """Every parameter with its default for this variant."""
    table = json.loads((Path(__file__).parent / "balanced-random.json").read_text("utf-8"))
    return {
        name: entry.get("variants", {}).get(variant, entry["default"])
        for name, entry in table["parameters"].items()
    } | {"variant": variant}


def network_seed(parameters: dict[str, Any]) -> int:
    """The seed of connections, weights and delays."""
    return int(parameters["network_seed"] or parameters["seed"])


def stream(seed: int, name: str) -> np.random.Generator:
    """A generator of its own for each thing that is drawn: one draw more moves no other."""
    return np.random.default_rng([seed, *name.encode()])


def setup(sim: Any, parameters: dict[str, Any], threads: int = 1) -> None:
    """Set the simulator up: grid, delays, seed and the guard."""
    sim.setup(
        timestep=parameters["dt_ms"],
        min_delay=MIN_DELAY,
        max_delay=MAX_DELAY,
        threads=threads,
        rng_seed=parameters["seed"],
        spike_precision=parameters["spike_precision"],
    )
    if sim.__name__ == "pyNN.nest":
        nest = import_module("nest")
        if nest.rng_type != parameters["rng"]:
            nest.SetKernelStatus({"rng_type": parameters["rng"], "rng_seed": parameters["seed"]})
        # PyNN calls GetConnections between Connect calls; with compressed spikes and two or more
        # ranks NEST 3.6 to 3.10 then delivers spikes to wrong targets, without an error.
        nest.use_compressed_spikes = not parameters["delivery_guard"]


def sizes_of(parameters: dict[str, Any]) -> dict[str, int]:
    """The recorded populations, in canonical order."""
    return {"excitatory": parameters["n_exc"], "inhibitory": parameters["n_inh"]}


def cell_of(parameters: dict[str, Any]) -> dict[str, float]:
    """The neuron's parameters."""
    return UPSTREAM_CELL if parameters["variant"] == "upstream" else STATIONARY_CELL


def draw(parameters: dict[str, Any]) -> Drawn:
    """Draw all that is random, apart from trains that the simulator is to draw."""
    sizes, cell = sizes_of(parameters), cell_of(parameters)
    start = {
        name: stream(parameters["seed"], f"v {name}").uniform(cell["v_reset"], cell["v_thresh"], n)
        for name, n in sizes.items()
    }
    rows = {
        f"{source} to {target}": connections(parameters, source, target, sizes)
        for source in sizes
        for target in sizes
    }
    trains = {}
    if parameters["frozen"]:
        trains = {name: draw_trains(parameters, name, size) for name, size in sizes.items()}
    return Drawn(start, rows, trains)


def save(drawn: Drawn, path: Path) -> None:
    """Write what was drawn, as NumPy's npz."""
    tables = {
        f"{kind}/{name}": table
        for kind in ("start", "rows", "trains")
        for name, table in getattr(drawn, kind).items()
    }
    np.savez_compressed(path, **tables)


def load(path: Path) -> Drawn:
    """Read what `save` wrote."""
    drawn = Drawn({}, {}, {})
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            kind, _, name = key.partition("/")
            getattr(drawn, kind)[name] = file[key]
    return drawn


def build(sim: Any, parameters: dict[str, Any], drawn: Drawn | None = None) -> Network:
    """Create and connect the network."""
    drawn = drawn or draw(parameters)
    recorded = {}
    for name, size in sizes_of(parameters).items():
        population = sim.Population(size, sim.IF_curr_exp(**cell_of(parameters)), label=name)
        population.initialize(v=drawn.start[name])
        population.record("spikes")
        recorded[name] = population
    network = Network(list(recorded.values()), [], None, [])
    for name, each in recorded.items():
        drive(sim, parameters, network, each, drawn.trains.get(name))
    for source in recorded:
        for target in recorded:
            rows = drawn.rows[f"{source} to {target}"]
            made = connect(sim, recorded[source], recorded[target], rows, source)
            network.projections.append(made)
    if parameters["variant"] == "upstream":
        add_input(sim, parameters, network)
    return network


def drive(
    sim: Any,
    parameters: dict[str, Any],
    network: Network,
    population: Any,
    trains: np.ndarray | None,
) -> None:
    """Give each neuron a Poisson source of its own, or the trains that were drawn for it."""
    if trains is None:
        cell = sim.SpikeSourcePoisson(rate=parameters["external_rate_hz"], duration=1e9)
    else:
        edges = np.searchsorted(trains[:, 0], np.arange(1, population.size))
        times = [part * parameters["dt_ms"] for part in np.split(trains[:, 1], edges)]
        if sim.__name__ == "pyNN.neuron":
            times = [apart(each) for each in times]
        cell = sim.SpikeSourceArray(spike_times=[sequence(sim, part) for part in times])
    source = sim.Population(population.size, cell, label=f"drive of {population.label}")
    weight = parameters["weight_exc_na"] * parameters["weight_scale"]
    synapse = sim.StaticSynapse(weight=weight, delay=MIN_DELAY)
    made = sim.Projection(
        source, population, sim.OneToOneConnector(), synapse, receptor_type="excitatory"
    )
    network.drives.append(source)
    network.projections.append(made)


def apart(times: np.ndarray) -> np.ndarray:
    """Equal times (ms) a millionth of a millisecond apart, still within one step.

    NEURON's VecStim ends at the first time that is not later than the one before.
    """
    first = np.searchsorted(times, times)  # of the times that equal this one
    return times + 1e-6 * (np.arange(len(times)) - first)


def sequence(sim: Any, times: np.ndarray) -> Any:
    """PyNN's own kind of list, without which it takes an array for the values of many cells.

    sPyNNaker 7.4.1 wants a plain one (TypeError: must be real number, not Sequence).
    """
    if sim.__name__ == "pyNN.spiNNaker":
        return times.tolist()
    return import_module("pyNN.parameters").Sequence(times)


def draw_trains(parameters: dict[str, Any], name: str, size: int) -> np.ndarray:
    """Poisson trains on the grid, as rows of neuron and time step; several spikes in one step are
    several rows.

    None is at or before the shortest delay, which PyNN takes off the times.
    """
    rng = stream(parameters["seed"], f"trains {name}")
    first = round(MIN_DELAY / parameters["dt_ms"]) + 1
    last = round(parameters["duration_ms"] / parameters["dt_ms"])
    mean = parameters["external_rate_hz"] * parameters["dt_ms"] / 1000
    counts = rng.poisson(mean * max(0, last - first + 1), size)
    steps = [np.sort(rng.integers(first, last + 1, count)) for count in counts]
    neurons = np.repeat(np.arange(size), counts)
    return np.column_stack([neurons, np.concatenate(steps)]).astype(np.int64)


def connections(
    parameters: dict[str, Any], source: str, target: str, sizes: dict[str, int]
) -> np.ndarray:
    """One projection as rows of source, target, weight (nA), delay (ms)."""
    seed = network_seed(parameters)
    rng = stream(seed, f"{source} to {target}")
    pairs = draw_pairs(rng, parameters, sizes[source], sizes[target], source == target)
    weights = draw_weights(rng, parameters, source, len(pairs))
    delays = draw_delays(rng, parameters, len(pairs))
    rows = np.column_stack([pairs, weights, delays])
    if parameters["synapse_loss"]:
        lost = stream(seed, f"lost {source} to {target}").random(len(rows))
        rows = rows[lost >= parameters["synapse_loss"]]
    return rows


def draw_pairs(
    rng: np.random.Generator, parameters: dict[str, Any], n_pre: int, n_post: int, same: bool
) -> np.ndarray:
    """Who is connected with whom: no neuron with itself, no pair twice."""
    probability = parameters["connection_probability"]
    columns = []
    for post in range(n_post):
        if parameters["variant"] == "upstream":
            pre = np.flatnonzero(rng.random(n_pre) < probability)
            pre = pre[pre != post] if same else pre
        else:
            others = n_pre - 1 if same else n_pre
            degree = min(others, max(1, round(probability * n_pre)))
            pre = np.sort(rng.choice(others, degree, replace=False, shuffle=False))
            pre = pre + (pre >= post) if same else pre
        columns.append(np.column_stack([pre, np.full(len(pre), post)]))
    return np.concatenate(columns)


def draw_weights(
    rng: np.random.Generator, parameters: dict[str, Any], source: str, count: int
) -> np.ndarray:
    """Normal weights (nA) cut at 0: an excitatory synapse never inhibits, nor the reverse."""
    unit = parameters["weight_exc_na"]
    mean = unit if source == "excitatory" else -parameters["inhibition"] * unit
    scale = unit if parameters["variant"] == "upstream" else abs(mean)
    drawn = rng.normal(mean, parameters["weight_sd"] * scale, count)
    drawn = np.maximum(drawn, 0.0) if source == "excitatory" else np.minimum(drawn, 0.0)
    return np.rint(drawn / QUANTUM) * QUANTUM * parameters["weight_scale"]


def draw_delays(rng: np.random.Generator, parameters: dict[str, Any], count: int) -> np.ndarray:
    """Normal delays (ms), clipped, as multiples of the time step."""
    spread, high = (0.75, 1.6) if parameters["variant"] == "upstream" else (0.25, 2.5)
    drawn = np.clip(rng.normal(1.5, spread, count), MIN_DELAY, high)
    dt = parameters["dt_ms"]
    return np.maximum(np.floor(drawn / dt + 1e-9) * dt, MIN_DELAY)


def connect(sim: Any, pre: Any, post: Any, rows: np.ndarray, receptor: str) -> Any:
    """Make one projection from its list: the same list on every rank and every backend."""
    return sim.Projection(
        pre,
        post,
        sim.FromListConnector(rows, column_names=["weight", "delay"]),
        sim.StaticSynapse(weight=0.0, delay=MIN_DELAY),
        receptor_type=receptor,
    )


def add_input(sim: Any, parameters: dict[str, Any], network: Network) -> None:
    """Upstream's input population: all to all, silent until `simulate` sets its rate."""
    excitatory = network.recorded[0]
    inputs = sim.Population(INPUT_SIZE, sim.SpikeSourcePoisson(rate=0.0, duration=1e9), label="in")
    rng = stream(network_seed(parameters), "input")
    pre, post = np.indices((INPUT_SIZE, excitatory.size)).reshape(2, -1)
    weights = np.maximum(rng.normal(INPUT_MEAN, INPUT_SD, len(pre)), 0.0)
    weights = np.rint(weights / QUANTUM) * QUANTUM * parameters["weight_scale"]
    delays = np.full(len(pre), MIN_DELAY)
    rows = np.column_stack([pre, post, weights, delays])
    network.inputs = inputs
    network.projections.append(connect(sim, inputs, excitatory, rows, "excitatory"))


def simulate(sim: Any, parameters: dict[str, Any], network: Network) -> None:
    """Run to duration_ms; upstream's input changes its rate in four equal epochs."""
    if network.inputs is None:
        sim.run(parameters["duration_ms"])
        return
    for rate in EPOCH_RATES:
        network.inputs.set(rate=rate)
        sim.run(parameters["duration_ms"] / len(EPOCH_RATES))


def populations(network: Network) -> list[dict[str, Any]]:
    """Name, first canonical index and size of each recorded population."""
    first, found = 0, []
    for population in network.recorded:
        found.append({"name": population.label, "first": first, "size": population.size})
        first += population.size
    return found


def spikes(parameters: dict[str, Any], network: Network) -> tuple[np.ndarray, np.ndarray]:
    """This rank's spikes as canonical neuron index and time in steps, in canonical order."""
    neurons, steps = [], []
    for population, place in zip(network.recorded, populations(network), strict=True):
        block = population.get_data("spikes", gather=False)
        ids, times = block.segments[0].spiketrains.multiplexed
        times = np.asarray(getattr(times, "magnitude", times), dtype=float) / parameters["dt_ms"]
        step = np.rint(times)
        if parameters["spike_precision"] == "off_grid":
            step = np.ceil(times - 1e-6)
        elif len(times) and np.abs(times - step).max() > 1e-3:
            raise ValueError("spike times are not on the grid: is spike_precision on_grid?")
        ids = np.asarray(ids, dtype=np.int64)
        neurons.append(ids - int(population.first_id) + place["first"])
        steps.append(step.astype(np.int64))
    neuron, step = np.concatenate(neurons), np.concatenate(steps)
    order = np.lexsort((neuron, step))
    return neuron[order].astype(np.int64), step[order]


def main(words: list[str]) -> None:
    """Run on one process with the backend that the first word names, and say the rates."""
    sim = import_module(f"pyNN.{words[0] if words else 'nest'}")
    given = dict(word.split("=", 1) for word in words[1:])
    parameters = default_parameters(given.get("variant", "stationary"))
    for name, text in given.items():
        parameters[name] = text if name == "variant" else json.loads(text)
    setup(sim, parameters)
    network = build(sim, parameters)
    simulate(sim, parameters, network)
    neuron, step = spikes(parameters, network)
    kept = neuron[step * parameters["dt_ms"] > parameters["warmup_ms"]]
    seconds = (parameters["duration_ms"] - parameters["warmup_ms"]) / 1000
    for place in populations(network):
        inside = (kept >= place["first"]) & (kept < place["first"] + place["size"])
        print(f"{place['name']}: {inside.sum() / place['size'] / seconds:.2f} Hz")
    sim.end()


if __name__ == "__main__":
    main(sys.argv[1:])
