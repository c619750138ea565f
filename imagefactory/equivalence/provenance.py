"""Where two runs come from: what must be there, what must be equal, and what may differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import Fault

if TYPE_CHECKING:
    from imagefactory.run import RunRecord

FINISHED = "FINISHED"
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
    "versions.nest": "version of NEST",
    "versions.pynn": "version of PyNN",
    "versions.numpy": "version of NumPy",
    "network.digest": "digest of the network",
    "network.rng": "type of random number generator",
    "network.spike_precision": "spike precision",
    "network.use_compressed_spikes": "whether spikes were compressed",
    "machine.cpu": "CPU model",
    "machine.libm": "libm",
}
# Where one of these differs, equal spikes are not to be expected.
MUST_MATCH = {
    "model": "model",
    "backend": "backend",
    "parameters.seed": "seed",
    "parameters.dt_ms": "time step",
    "parameters.duration_ms": "duration",
    "geometry.virtual_processes": "number of virtual processes (ranks x threads)",
    "network.rng": "type of random number generator",
    "network.spike_precision": "spike precision",
}
SECTIONS = (
    "image", "geometry", "parameters", "network", "versions", "machine", "pmix", "launcher",
    "spikes", "timings",
)  # fmt: skip

# Always of its own in every run: no difference that anybody should look at.
OWN = ("id", "timings.", "pmix.namespace")


@dataclass(frozen=True)
class Row:
    """One fact of both runs. `required`: it must be equal, or no bitwise verdict is possible."""

    name: str
    a: Any
    b: Any
    required: bool = False

    @property
    def differs(self) -> bool:
        """True where the two runs do not say the same."""
        return bool(self.a != self.b)

    @property
    def notable(self) -> bool:
        """True where a difference is worth a look: not the run's name, not how long it took."""
        return self.differs and not self.name.startswith(OWN)


def list_facts(a: RunRecord, b: RunRecord) -> tuple[Row, ...]:
    """Every fact of both records side by side, in the order of the record."""
    left, right = _flatten(a), _flatten(b)
    names = list(left) + [name for name in right if name not in left]
    names.sort(key=_place)
    return tuple(
        Row(name, left.get(name), right.get(name), required=name in MUST_MATCH) for name in names
    )


def find_gate_faults(a: RunRecord, b: RunRecord) -> list[Fault]:
    """Everything that forbids a verdict, as far as the records themselves show it."""
    if a.id == b.id:
        return [
            Fault(
                "the same run was given twice; a run says nothing about itself",
                where=a.id,
                fix="give two runs: imagefactory runs",
            )
        ]
    faults = [fault for record in (a, b) for fault in _find_record_faults(record)]
    faults += _find_mismatches(a, b)
    return faults


def _find_record_faults(record: RunRecord) -> Iterator[Fault]:
    if record.state != FINISHED:
        why = f": {record.failure['what']}" if record.failure and "what" in record.failure else ""
        yield Fault(f"the run is {record.state}, not {FINISHED}{why}", record.id, "run it again")
        return
    facts = _flatten(record)
    for name, meaning in REQUIRED.items():
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


def _find_mismatches(a: RunRecord, b: RunRecord) -> Iterator[Fault]:
    left, right = _flatten(a), _flatten(b)
    for name, meaning in MUST_MATCH.items():
        one, other = left.get(name), right.get(name)
        if one is not None and other is not None and one != other:
            yield Fault(
                f"unequal {meaning}: {show(one)} and {show(other)}; equal spikes are not to be "
                "expected, and the statistical comparison is not built yet",
                f"{a.id}, {b.id}",
                "run one of them again with the other's value",
            )


def show(value: object) -> str:
    """A fact for people; unknown is a dash."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list | tuple):
        return ", ".join(show(item) for item in value)
    return str(value)


def _flatten(record: RunRecord) -> dict[str, Any]:
    document = asdict(record)
    flat = {name: document[name] for name in ("id", "state", "site", "model", "backend")}
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
