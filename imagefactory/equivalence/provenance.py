"""Where the runs of two sides come from: what must be there, be equal, and what may differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import Fault

if TYPE_CHECKING:
    from imagefactory.run import RunRecord

    Side = Sequence[RunRecord]

FINISHED = "FINISHED"
SHOWN_VALUES = 4
# Without these a comparison says nothing (facts/esd-science.md 7.3, tier 0).
REQUIRED = {
    "image.sif": "digest of the image",
    "geometry.ranks": "number of MPI ranks",
    "geometry.threads": "threads per rank",
    "geometry.virtual_processes": "number of virtual processes",
    "parameters.seed": "seed",
    "parameters.dt_ms": "time step",
    "parameters.duration_ms": "duration",
    "parameters.warmup_ms": "warm-up",
    "versions.pynn": "version of PyNN",
    "versions.numpy": "version of NumPy",
    "network.digest": "digest of the network",
    "network.spike_precision": "spike precision",
    "machine.cpu": "CPU model",
    "machine.libm": "libm",
}
# The same, of what the backend is.
REQUIRED_OF = {
    "nest": {
        "versions.nest": "version of NEST",
        "network.rng": "type of random number generator",
        "network.use_compressed_spikes": "use of spike compression",
    },
    "neuron": {"versions.neuron": "version of NEURON"},
    "spinnaker-emulated": {"network.emulated": "kind of emulation"},
}
# Two sides that differ in one of these are not of the same experiment.
MUST_MATCH = {"model": "model", "parameters.duration_ms": "duration"}
# Where one of these differs, equal spikes are not to be expected (facts/esd-science.md 3).
BITWISE = {
    "backend": "backend",
    "parameters.dt_ms": "time step",
    "geometry.virtual_processes": "number of virtual processes (ranks x threads)",
    "network.rng": "type of random number generator",
    "network.spike_precision": "spike precision",
}
# No obstacle where the input of both sides is frozen: then NEST draws nothing.
DRAWN_BY_NEST = ("geometry.virtual_processes", "network.rng")
FROZEN = "parameters.frozen"
# What is drawn once for frozen runs, as the ranks loaded it.
DRAWN = {
    "network.digest": "connections, weights or delays",
    "network.start": "start values",
    "network.input": "input spikes",
}
SEED, NETWORK_SEED = "parameters.seed", "parameters.network_seed"
FEW_CELLS = "few-cells"  # a model in which nothing is random
# The runs of one side differ by their seed alone; besides these, in no parameter.
ONE_SIDE = {
    **MUST_MATCH,
    **BITWISE,
    "image.sif": "image",
    "module.sha256": "module",
    "versions.nest": "version of NEST",
}
SECTIONS = (
    "image", "module", "geometry", "parameters", "network", "versions", "machine", "pmix",
    "launcher", "spikes", "timings",
)  # fmt: skip

# Always of its own in every run: no difference that anybody should look at.
OWN = ("id", "timings.", "pmix.namespace")


class Mixed(tuple[Any, ...]):
    """Values of the runs of a side that do not say the same, in order, each once."""


@dataclass(frozen=True)
class Row:
    """One fact of both sides; a tuple where the runs of a side do not say the same.

    `required`: it must be equal, or equal spikes are not to be expected.
    """

    name: str
    a: Any
    b: Any
    required: bool = False

    @property
    def differs(self) -> bool:
        """True where the two sides do not say the same."""
        return bool(self.a != self.b)

    @property
    def notable(self) -> bool:
        """True where a difference is worth a look: not the run's name, not how long it took."""
        return self.differs and not self.name.startswith(OWN)


def list_facts(a: Side, b: Side) -> tuple[Row, ...]:
    """Every fact of both sides' records side by side, in the order of the record."""
    left, right = _merge(a), _merge(b)
    names = list(left) + [name for name in right if name not in left]
    names.sort(key=_place)
    required = {*MUST_MATCH, *BITWISE, SEED}
    return tuple(Row(name, left.get(name), right.get(name), name in required) for name in names)


def find_gate_faults(a: Side, b: Side) -> list[Fault]:
    """Everything that forbids a verdict, as far as the records themselves show it."""
    if not a or not b:
        return [Fault("a side has no run", fix="give at least one run a side: imagefactory runs")]
    faults = list(_find_repeats((*a, *b)))
    if faults:
        return faults
    faults += [fault for record in (*a, *b) for fault in _find_record_faults(record)]
    faults += [fault for side in (a, b) for fault in _find_mixtures(side)]
    faults += _find_mismatches(a, b)
    return faults


def find_obstacles(a: Side, b: Side) -> list[str]:
    """Why equal spikes are not to be expected of two sides that passed the gate; empty if they are.

    The image or the version of NEST must agree, besides what BITWISE names and the seeds.
    """
    left, right = _merge(a), _merge(b)
    sure = left.get("model") == FEW_CELLS
    frozen = sure or all(side.get(FROZEN) is True for side in (left, right))
    found = [
        f"unequal {meaning}: {show(left.get(name))} and {show(right.get(name))}"
        for name, meaning in BITWISE.items()
        if left.get(name) != right.get(name) and not (frozen and name in DRAWN_BY_NEST)
    ]
    if left.get(SEED) != right.get(SEED) and not sure:
        found.append(f"unequal seeds: {show(left.get(SEED))} and {show(right.get(SEED))}")
    versions = (left.get("versions.nest"), right.get("versions.nest"))
    if versions[0] != versions[1] and left.get("image.sif") != right.get("image.sif"):
        found.append(f"unequal version of NEST: {show(versions[0])} and {show(versions[1])}")
    return found


def is_frozen(side: Side) -> bool:
    """True where several runs have one network between them."""
    return len(side) > 1 and len({record.network.get("digest") for record in side}) == 1


def describe_runs(side: Side) -> str:
    """The runs of a side, for people: the id of a single one, else their sites and number."""
    if len(side) == 1:
        return side[0].id
    return f"{' and '.join(sorted({record.site for record in side}))} ({len(side)} runs)"


def _find_repeats(records: Side) -> Iterator[Fault]:
    names = [record.id for record in records]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Fault(
            "the same run was given twice; a run says nothing about itself",
            where=name,
            fix="give different runs: imagefactory runs",
        )


def _find_record_faults(record: RunRecord) -> Iterator[Fault]:
    if record.state != FINISHED:
        why = f": {record.failure['what']}" if record.failure and "what" in record.failure else ""
        yield Fault(f"the run is {record.state}, not {FINISHED}{why}", record.id, "run it again")
        return
    facts = _flatten(record)
    for name, meaning in {**REQUIRED, **REQUIRED_OF.get(record.backend, {})}.items():
        if facts.get(name) in (None, ""):
            yield Fault(f"the record does not tell the {meaning} ({name})", record.id)
    if not record.spikes or not record.spikes.get("file") or not record.spikes.get("digest"):
        yield Fault("the run has no spikes", record.id, "run it again")
    seen, told = facts.get("network.virtual_processes"), facts.get("geometry.virtual_processes")
    if seen is not None and seen != told:
        yield Fault(f"NEST ran {seen} virtual processes, the run was of {told}", record.id)
    ranks = record.geometry.get("ranks", 1)
    if record.network.get("use_compressed_spikes") and ranks >= 2:
        yield Fault(
            f"NEST's spike compression was on with {ranks} ranks: under PyNN it delivers spikes "
            "to wrong targets",
            record.id,
            "run it with delivery_guard=true",
        )


def _find_mixtures(side: Side) -> Iterator[Fault]:
    """What makes the runs of one side no ensemble: they may differ by their seed alone."""
    if len(side) == 1:
        return
    where = f"{side[0].id} and {len(side) - 1} more"
    merged = _merge(side)
    parameters = {name: name for name in merged if name.startswith("parameters.") and name != SEED}
    for name, meaning in {**parameters, **ONE_SIDE}.items():
        if isinstance(merged.get(name), Mixed):
            fix = "give runs that differ by their seed alone"
            yield Fault(f"one side has runs of unequal {meaning}: {show(merged[name])}", where, fix)
    seeds = [record.parameters.get("seed") for record in side]
    twice = sorted({seed for seed in seeds if seeds.count(seed) > 1 and seed is not None})
    if twice:
        fix = "a repeat is no replicate: give runs of other seeds"
        yield Fault(f"one side has a seed more than once: {show(Mixed(twice))}", where, fix)
    digests = [record.network.get("digest") for record in side]
    if 1 < len(set(digests)) < len(side):
        fix = "give runs that all share one network, or that have one each"
        yield Fault(f"{len(side)} runs of one side have {len(set(digests))} networks", where, fix)


def _find_mismatches(a: Side, b: Side) -> Iterator[Fault]:
    left, right = _merge(a), _merge(b)
    where = f"{describe_runs(a)}, {describe_runs(b)}"
    for name, meaning in MUST_MATCH.items():
        one, other = left.get(name), right.get(name)
        if one is not None and other is not None and one != other:
            what = f"unequal {meaning}: {show(one)} and {show(other)}"
            yield Fault(what, where, "run one side again with the other's value")
    if len(a) != len(b):
        fix = "run the seeds that are missing, or leave out those that one side has alone"
        yield Fault(f"unequal numbers of runs: {len(a)} and {len(b)}", where, fix)
    elif len(a) > 1 and is_frozen(a) != is_frozen(b):
        fix = "run both sides with --frozen, or none"
        yield Fault("one side's runs share one network, the other's have one each", where, fix)
    elif len(a) > 1 and is_frozen(a) and _have_own_networks(left, right):
        what = "each side has a frozen network of its own: one network is one sample, not many"
        yield Fault(what, where, "run both sides with one network_seed, from one machine")
    if left.get(FROZEN) is True:
        yield from _find_other_draws(left, right, where)


def _find_other_draws(
    left: Mapping[str, Any], right: Mapping[str, Any], where: str
) -> Iterator[Fault]:
    """Frozen sides of equal parameters, seeds too, that did not load the same all the same."""
    names = {name for name in (*left, *right) if name.startswith("parameters.")}
    if any(left.get(name) != right.get(name) for name in names):
        return
    for name, meaning in DRAWN.items():
        if left.get(name) != right.get(name):
            what = f"the frozen sides were not given the same {meaning} ({name})"
            yield Fault(what, where, "start both from one machine: NumPy draws them")


def _have_own_networks(left: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    """True where two frozen networks differ, and no parameter says that they have to."""
    if left.get("network.digest") == right.get("network.digest"):
        return False
    names = {name for name in (*left, *right) if name.startswith("parameters.")}
    return all(left.get(name) == right.get(name) for name in names - {SEED, NETWORK_SEED})


def show(value: object) -> str:
    """A fact for people; unknown is a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, Mixed) and len(value) > SHOWN_VALUES:
        return f"{show(Mixed(value[:SHOWN_VALUES]))}, ... ({len(value)} values)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        return ", ".join(show(item) for item in value)
    return str(value)


def _merge(side: Side) -> dict[str, Any]:
    """The facts of a side; Mixed where its runs do not say the same."""
    flat = [_flatten(record) for record in side]
    names = dict.fromkeys(name for each in flat for name in each)
    merged = {}
    for name in names:
        values = [each.get(name) for each in flat]
        distinct = [value for place, value in enumerate(values) if value not in values[:place]]
        merged[name] = distinct[0] if len(distinct) == 1 else Mixed(sorted(distinct, key=_order))
    return merged


def _order(value: Any) -> tuple[bool, float, str]:
    number = isinstance(value, int | float)
    return (not number, float(value) if number else 0.0, str(value))


def _flatten(record: RunRecord) -> dict[str, Any]:
    document = asdict(record)
    flat = {
        name: document[name] for name in ("id", "state", "site", "model", "model_code", "backend")
    }
    for section in SECTIONS:
        flat |= _leaves(section, document[section] or {})
    return flat


def _leaves(prefix: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {prefix: value}
    found: dict[str, Any] = {}
    for name, inner in value.items():
        found |= _leaves(f"{prefix}.{name}", inner)
    return found


def _place(name: str) -> int:
    section = name.partition(".")[0]
    return SECTIONS.index(section) + 1 if section in SECTIONS else 0
