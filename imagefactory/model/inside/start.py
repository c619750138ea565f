"""What every rank of a run starts: checks its world, runs the network, writes what it saw.

`python3 inside/start.py parameters.json`, in the run's folder. Needs only what the image has.
Files: output/rank-<host>-<pid>.json (before the network is built, and again at the end) and
output/spikes-<rank>.npz. Exit status 90: the MPI world is not of the size that was asked for; 91:
the guard found another fault (guard.py).
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import sys
import time
import traceback
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

WRONG_WORLD = 90
OUTPUT = Path("output")
FROZEN = Path("inside") / "frozen.npz"
# Backends that are no module of PyNN's.
MODULES = {"spinnaker-emulated": "emulated"}
PACKAGES = {"pynn": "pyNN", "numpy": "numpy", "neo": "neo", "mpi4py": "mpi4py"}
# Odd constants of splitmix64 (Steele, Lea and Flood 2014), and one starting value a lane.
MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
LANES = (0x243F6A8885A308D3, 0x13198A2E03707344)


def pmix_announcement(environ: Mapping[str, str]) -> dict[str, Any]:
    """What a PMIx server said of itself; to be read before MPI starts and adds names of its own."""
    names = {
        "namespace": "PMIX_NAMESPACE",
        "server_version": "PMIX_VERSION",
        "datastore": "PMIX_GDS_MODULE",
        "security": "PMIX_SECURITY_MODE",
    }
    return {key: environ.get(name) for key, name in names.items()}


def pmix_client() -> str | None:
    """The version text of the PMIx library in the image; None where there is none."""
    try:
        library = ctypes.CDLL("libpmix.so.2")
        library.PMIx_Get_version.restype = ctypes.c_char_p
        text: bytes = library.PMIx_Get_version()
    except (OSError, AttributeError):
        return None
    return text.decode(errors="replace")


def cpu_model(text: str) -> str:
    """The first processor's name in /proc/cpuinfo."""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in {"model name", "Model", "cpu"} and value.strip():
            return value.strip()
    return platform.machine()


def libm() -> str | None:
    """The C library, whose libm serves exp, log and their like."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (OSError, ValueError):
        return None


def versions(names: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """Versions of installed packages; None for what is missing."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for key, package in names:
        try:
            found[key] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[key] = None
    return found


def network_parts(
    source: np.ndarray, target: np.ndarray, weight: np.ndarray, delay: np.ndarray
) -> list[str]:
    """Two 64-bit sums over all connections, as hexadecimal digits.

    Sums do not depend on order, and the sums of all ranks added modulo 2^64 do not depend on
    which rank holds which connection.
    """
    words = [
        np.asarray(source, np.int64).view(np.uint64),
        np.asarray(target, np.int64).view(np.uint64),
        np.asarray(weight, np.float64).view(np.uint64),
        np.asarray(delay, np.float64).view(np.uint64),
    ]
    parts = []
    for lane in LANES:
        state = np.full(len(words[0]), lane, np.uint64)
        for word in words:
            state = mixed(state ^ word)
        parts.append(f"{int(state.sum(dtype=np.uint64)):016x}")
    return parts


def mixed(word: np.ndarray) -> np.ndarray:
    """splitmix64's step and finish, on every element."""
    word = word + np.uint64(MIX[0])
    word = (word ^ (word >> np.uint64(30))) * np.uint64(MIX[1])
    word = (word ^ (word >> np.uint64(27))) * np.uint64(MIX[2])
    return word ^ (word >> np.uint64(31))


def join_world() -> tuple[Any, int, int, str | None]:
    """Start MPI: its communicator, our rank, the world's size, and the library's own words."""
    try:
        from mpi4py import MPI
    except ImportError:
        return None, 0, 1, None
    world = MPI.COMM_WORLD
    text = MPI.Get_library_version().strip("\0 \n").splitlines()[0].strip()
    return world, world.Get_rank(), world.Get_size(), text


def write_whole(path: Path, write: Any) -> None:
    """Write under another name, then rename: no reader ever sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as stream:
        write(stream)
    temporary.replace(path)


def write_rank(seen: dict[str, Any]) -> None:
    """Write this rank's JSON file."""
    text = json.dumps(seen, indent=2) + "\n"
    path = OUTPUT / f"rank-{seen['host']}-{seen['pid']}.json"
    write_whole(path, lambda stream: stream.write(text.encode()))


def hide_nest_config() -> None:
    """Take folders with nest-config off PATH.

    With it in sight PyNN compiles an extension at import time, all ranks in one folder at once;
    the network needs no extension.
    """
    folders = os.environ.get("PATH", "").split(os.pathsep)
    kept = [folder for folder in folders if not (Path(folder) / "nest-config").exists()]
    os.environ["PATH"] = os.pathsep.join(kept)


def quiet() -> None:
    """Keep warnings of PyNN and NEST that no user can act on out of the log."""
    import logging
    import warnings

    os.environ["PYNEST_QUIET"] = "1"
    logging.getLogger("PyNN").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="Cannot find nest-config")
    warnings.filterwarnings("ignore", message=r"\s*(Provided for backward|GetStatus|SetStatus)")
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def first_look(world: tuple[Any, int, int, str | None], pmix: dict[str, Any]) -> dict[str, Any]:
    """What is known of a rank before its network is built."""
    _, rank, size, library = world
    return {
        "rank": rank,
        "size": size,
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "state": "started",
        "pmix": pmix | {"client_version": pmix_client()},
        "mpi": library,
        "versions": versions(PACKAGES.items()),
        "cpu": cpu_model(Path("/proc/cpuinfo").read_text("utf-8", "replace")),
        "kernel": platform.release(),
        "libm": libm(),
    }


def wrong_world(asked: int, size: int, who: str, launcher: str) -> str:
    """The one line that says why a run with singletons is no run."""
    return (
        f"imagefactory: {asked} ranks were asked for, but this process sees a world of {size} "
        f"rank{'' if size == 1 else 's'} ({who}). {launcher}"
    )


def check_world(asked: int, seen: dict[str, Any]) -> str | None:
    """None, or why this world is wrong."""
    if seen["size"] == asked:
        return None
    server = seen["pmix"]["server_version"]
    if seen["pmix"]["namespace"] is None:
        hint = (
            "No PMIx server announced itself: start with srun --mpi=pmix or mpirun, "
            "and do not clean the environment."
        )
    elif seen["size"] == 1:
        hint = (
            f"A PMIx server announced itself ({server}): the MPI library did not join it, "
            "or the launcher started one process."
        )
    else:
        hint = "The launcher started another number of processes."
    return wrong_world(asked, seen["size"], f"process {seen['pid']} on {seen['host']}", hint)


def local_network(sim_nest: Any, network: Any) -> dict[str, Any]:
    """Digest parts and number of this rank's connections, recorders' ones left out.

    To be called after Simulate: GetConnections before it can make NEST deliver wrongly.
    """
    first = 0
    canonical = np.full(int(sim_nest.network_size) + 1, -1, np.int64)
    for population in network.members:
        ids = np.asarray(population.all_cells, dtype=np.int64)
        canonical[ids] = first + np.arange(len(ids))
        first += len(ids)
    held = sim_nest.GetConnections()
    got = held.get(["source", "target", "weight", "delay"]) if len(held) else {}
    columns = {name: np.atleast_1d(np.asarray(values)) for name, values in got.items()}
    if not columns:
        return {"digest": network_parts(*[np.zeros(0)] * 4), "connections": 0}
    source, target = canonical[columns["source"]], canonical[columns["target"]]
    ours = (source >= 0) & (target >= 0)
    parts = network_parts(
        source[ours], target[ours], columns["weight"][ours], columns["delay"][ours]
    )
    return {"digest": parts, "connections": int(ours.sum())}


def listed_network(network: Any) -> dict[str, Any]:
    """The same for a backend that only PyNN can ask: weights are in pA, as NEST has them."""
    first, count = {}, 0
    for population in network.members:
        first[population.label] = count
        count += population.size
    rows = np.concatenate([
        np.add(
            np.array(made.get(["weight", "delay"], format="list"), dtype=float).reshape(-1, 4),
            [first[made.pre.label], first[made.post.label], 0, 0],
        )
        for made in network.projections
    ])  # fmt: skip
    weight = rows[:, 2] * 1000.0
    parts = network_parts(rows[:, 0], rows[:, 1], weight, rows[:, 3])
    return {"digest": parts, "connections": len(rows)}


def kernel_facts(sim_nest: Any, sim: Any) -> dict[str, Any]:
    """How NEST was set, as NEST itself says it."""
    return {
        "rng": sim_nest.rng_type,
        "spike_precision": sim.simulator.state.spike_precision,
        "use_compressed_spikes": bool(sim_nest.use_compressed_spikes),
        "virtual_processes": int(sim_nest.total_num_virtual_procs),
    }


def drawn_facts(drawn: Any) -> dict[str, Any]:
    """Digests of the start values and of the input spikes; None where the simulator draws them."""
    return {
        "start": table_digest(drawn.start),
        "input": table_digest(drawn.trains) if drawn.trains else None,
    }


def table_digest(tables: Mapping[str, np.ndarray]) -> str:
    """sha256 over named arrays."""
    hasher = hashlib.sha256()
    for name in sorted(tables):
        hasher.update(f"{name} {tables[name].dtype.str} {tables[name].shape}".encode())
        hasher.update(np.ascontiguousarray(tables[name]).tobytes())
    return f"sha256:{hasher.hexdigest()}"


def run_network(job: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """Build and simulate; writes the spikes and returns what is to be added to the rank's file."""
    began = time.perf_counter()
    hide_nest_config()
    quiet()
    sim = import_module(MODULES.get(job["backend"], f"pyNN.{job['backend']}"))
    nest = import_module("nest") if job["backend"] == "nest" else None
    if nest and nest.num_processes != job["ranks"]:
        hint = "NEST in this image was built without MPI."
        leave(wrong_world(job["ranks"], nest.num_processes, "NEST itself", hint))
    parameters = job["parameters"]
    model = import_module(job["model"].replace("-", "_"))
    imported = time.perf_counter()
    model.setup(sim, parameters, job["threads"])
    # After setup, which resets NEST: that closes its modules.
    module = load_module(nest, job["module"]) if job.get("module") else {}
    drawn = model.load(FROZEN) if parameters.get("frozen") else model.draw(parameters)
    network = model.build(sim, parameters, drawn)
    built = time.perf_counter()
    model.simulate(sim, parameters, network)
    simulated = time.perf_counter()
    neuron, step = model.spikes(parameters, network)
    populations = model.populations(network)
    write_whole(
        OUTPUT / f"spikes-{seen['rank']}.npz",
        lambda stream: np.savez(stream, neuron=neuron, step=step),
    )
    found = {
        "versions": seen["versions"] | simulator_version(nest),
        "network": network_facts(sim, nest, network) | drawn_facts(drawn) | module,
        "populations": populations,
        "timings": {
            "import_s": round(imported - began, 3),
            "build_s": round(built - imported, 3),
            "simulate_s": round(simulated - built, 3),
        },
        "spikes": len(neuron),
    }
    sim.end()  # removes the folder that PyNN made under /tmp
    return found


def load_module(nest: Any, module: dict[str, str]) -> dict[str, str]:
    """Load the module that was sent, if it is the one that was meant; gives its digest."""
    path = (Path("inside") / module["file"]).absolute()
    found = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    if found != module["sha256"]:
        raise ValueError(f"the module {path} is {found}, not {module['sha256']} that was sent")
    nest.Install(str(path))
    return {"module": found}


def network_facts(sim: Any, nest: Any | None, network: Any) -> dict[str, Any]:
    """Digest and settings of the network, as the simulator itself says them."""
    if nest:
        return local_network(nest, network) | kernel_facts(nest, sim)
    found = {"rng": None, "spike_precision": "on_grid", "use_compressed_spikes": None}
    if sim.__name__ == "emulated":
        found |= {"emulated": "SpiNNaker's arithmetic, by emulated.py", "ring_shifts": sim.facts()}
    return listed_network(network) | found


def simulator_version(nest: Any | None) -> dict[str, str | None]:
    """The version of what simulated; PyNN's own is known before."""
    if nest:
        return {"nest": nest.__version__}
    return versions([("neuron", "neuron")])


def leave(text: str, status: int = WRONG_WORLD) -> None:
    """One line on standard error, then the end."""
    sys.stderr.write(f"{text}\n")  # in one piece: ranks write at the same time
    sys.stderr.flush()
    sys.exit(status)


def prove(
    world: tuple[Any, int, int, str | None],
    job: Mapping[str, Any],
    seen: dict[str, Any],
    announced: Mapping[str, str | None],
) -> dict[str, Any]:
    """What the guard saw, with its timings for the rank's file; ends the rank where it is wrong."""
    import guard

    communicator, rank, _, library = world
    found = guard.guard(communicator, job.get("expect") or {}, announced, library)
    timings = found.pop("timings")
    seen |= {"guard": found}
    if found["faults"]:
        write_rank(seen)
        if rank == 0:
            for fault in found["faults"]:
                sys.stderr.write(f"imagefactory: {fault['what']}\n")
        leave(f"imagefactory: rank {rank} does not start the program", guard.GUARD_FAILED)
    return timings


def main(path: str) -> None:
    """Run one rank of the job that `path` describes."""
    # Before MPI starts: Open MPI sets PMIX_ names of its own, also in a singleton.
    pmix = pmix_announcement(os.environ)
    announced = {"namespace": pmix["namespace"], "server": pmix["server_version"]}
    job = json.loads(Path(path).read_text("utf-8"))
    world = join_world()
    seen = first_look(world, pmix)
    write_rank(seen)
    fault = check_world(job["ranks"], seen)
    if fault:
        leave(fault)
    guarding = prove(world, job, seen, announced)
    try:
        found = run_network(job, seen)
    except Exception:
        traceback.print_exc()
        sys.stderr.flush()
        # The other ranks wait for us in NEST; only an abort ends the whole job.
        if world[0] is not None and world[2] > 1:
            world[0].Abort(1)
        sys.exit(1)
    found["timings"] |= guarding
    write_rank(seen | found | {"state": "finished"})


if __name__ == "__main__":
    main(sys.argv[1])
