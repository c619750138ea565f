"""Models and their parameters: read from the table that is shipped with each model."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.base.errors import Fault, UsageFault, nearest
from imagefactory.base.files import digest_of, digest_of_text
from imagefactory.base.values import Digest

SCHEMA = 1
# The table of a model, and the files of ours that go to the site with it.
MODELS = {
    "balanced-random": ("balanced-random.json", "balanced_random.py", "emulated.py", "start.py"),
    # Its neuron and its set-up are the network's.
    "few-cells": (
        "few-cells.json",
        "few_cells.py",
        "balanced_random.py",
        "emulated.py",
        "start.py",
    ),
    "adaptive": (
        "adaptive.json",
        "adaptive.py",
        "adaptive.nestml",
        "balanced_random.py",
        "start.py",
    ),
}
BACKEND = "nest"  # where none is named
SHORTEST_DELAY_MS = 1.0  # balanced_random.MIN_DELAY; the grid must have it
KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "choice": "a word"}


@dataclass(frozen=True)
class Parameter:
    """One thing that may be set: its type, default, range and meaning."""

    name: str
    kind: str  # int, float, bool or choice
    default: Any
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    variants: tuple[tuple[str, Any], ...] = ()  # defaults of variants that have one of their own

    def default_for(self, variant: str) -> Any:
        """The default in this variant of the model."""
        return dict(self.variants).get(variant, self.default)

    @property
    def range(self) -> str:
        """What is allowed, for people."""
        if self.choices:
            return " or ".join(self.choices)
        if self.kind == "bool":
            return "true or false"
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.low:.10g} to {self.high:.10g}{unit}"


@dataclass(frozen=True)
class Model:
    """A network that can be run; `files` are shipped to `inside/`, of which `entry` is started."""

    name: str
    description: str
    backends: tuple[str, ...]
    files: tuple[Path, ...]
    parameters: tuple[Parameter, ...]
    # PyNN's names that it uses, always or with some parameters, and the sizes of its populations:
    # numbers, or parameters.
    needs: Mapping[str, tuple[str | int, ...]]
    entry: str = "start.py"
    neuron: str = ""  # the one that `nestml` describes

    @cached_property
    def by_name(self) -> Mapping[str, Parameter]:
        """The parameters by their names."""
        return {parameter.name: parameter for parameter in self.parameters}

    @property
    def nestml(self) -> Path | None:
        """The file of its own neuron, which NEST needs as a module."""
        return next((file for file in self.files if file.suffix == ".nestml"), None)

    def needs_module(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a run of these parameters needs its neuron as a module."""
        return self.nestml is not None and parameters.get("neuron") == "nestml"

    @cached_property
    def code(self) -> Digest:
        """One digest of all files that go to the site: equal code makes equal runs."""
        return digest_of_text(
            json.dumps({path.name: str(digest_of(path)) for path in self.files}, sort_keys=True)
        )

    @staticmethod
    def network_digest(parts: Sequence[Sequence[str]]) -> str:
        """One digest of the whole network from the parts that the ranks' files give.

        Each rank gives two 64-bit sums (hexadecimal) over its connections; sums are added modulo
        2^64, so that the digest is the same however connections are spread over ranks.
        """
        return "".join(
            f"{sum(int(part[lane], 16) for part in parts) % 2**64:016x}" for lane in (0, 1)
        )


def list_models() -> list[Model]:
    """All models, by name."""
    return [_load(name) for name in sorted(MODELS)]


def find_model(name: str) -> Model:
    """The model of this name; raises UsageFault with the nearest name."""
    if name not in MODELS and ("/" in name or Path(name).suffix):
        raise UsageFault(
            f"{name!r} is a file: models are run by their names", where="--model",
            fix="one of " + ", ".join(sorted(MODELS)) + "; a script of your own goes to SpiNNaker "
            "as in docs/nmpi.md, listing 5",
        )  # fmt: skip
    if name not in MODELS:
        raise UsageFault(f"there is no model {name!r}", fix=nearest(name, MODELS))
    return _load(name)


def resolve_parameters(model: Model, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter with its value, in the table's order.

    Overrides may be values, or texts as they stand on a command line. Raises UsageFault with all
    faults: unknown names, wrong types, values out of range, values that do not go together.
    """
    faults = [
        Fault(f"{model.name} has no parameter {name!r}", fix=nearest(name, model.by_name))
        for name in overrides
        if name not in model.by_name
    ]
    given: dict[str, Any] = {}
    for parameter in model.parameters:
        if parameter.name in overrides:
            checked = _check(parameter, overrides[parameter.name])
            if isinstance(checked, Fault):
                faults.append(checked)
            else:
                given[parameter.name] = checked
    variant = str(given.get("variant", ""))
    values = {
        parameter.name: given.get(parameter.name, parameter.default_for(variant))
        for parameter in model.parameters
    }
    faults += _find_conflicts(values)
    if faults:
        raise UsageFault.from_faults(faults)
    return values


def freeze(model: Model, parameters: Mapping[str, Any], path: Path) -> None:
    """Draw all that is random in a run of these parameters, and write it for `start.py`."""
    script = next(file for file in model.files if file.suffix == ".py" and file.name != model.entry)
    spec = importlib.util.spec_from_file_location(f"imagefactory_inside_{script.stem}", script)
    assert spec is not None  # noqa: S101 - the file is ours
    assert spec.loader is not None  # noqa: S101
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    with _importable(model.files):
        spec.loader.exec_module(module)
    module.save(module.draw(dict(parameters)), path)


@contextmanager
def _importable(scripts: Sequence[Path]) -> Iterator[None]:
    """Let scripts import each other by name, as they do at a site, and none of the user's."""
    names = {script.stem for script in scripts if script.suffix == ".py"}
    others = {name: sys.modules.pop(name) for name in names & sys.modules.keys()}
    sys.path.insert(0, str(scripts[0].parent))
    try:
        yield
    finally:
        sys.path.remove(str(scripts[0].parent))
        for name in names:
            sys.modules.pop(name, None)
        sys.modules.update(others)


def _load(name: str) -> Model:
    folder = Path(str(files("imagefactory.model").joinpath("inside")))
    table = json.loads((folder / MODELS[name][0]).read_text(encoding="utf-8"))
    return Model(
        name=table["name"],
        description=table["description"],
        backends=tuple(table["backends"]),
        files=tuple(folder / file for file in MODELS[name]),
        parameters=tuple(_parameter(key, entry) for key, entry in table["parameters"].items()),
        needs={key: tuple(values) for key, values in table["needs"].items()},
        neuron=table.get("neuron", ""),
    )


def _parameter(name: str, entry: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name=name,
        kind=entry["type"],
        default=entry["default"],
        meaning=entry["meaning"],
        unit=entry.get("unit", ""),
        low=entry.get("low"),
        high=entry.get("high"),
        choices=tuple(entry.get("choices", ())),
        variants=tuple(entry.get("variants", {}).items()),
    )


def _check(parameter: Parameter, given: Any) -> Any:
    value = _typed(parameter, given)
    if value is None:
        return Fault(
            f"{parameter.name} is {given!r}, not {KINDS[parameter.kind]}",
            fix=f"{parameter.meaning}: {parameter.range}",
        )
    if parameter.choices and value not in parameter.choices:
        return Fault(
            f"{parameter.name} cannot be {value!r}", fix=nearest(str(value), parameter.choices)
        )
    if parameter.kind in {"int", "float"} and not _in_range(parameter, value):
        return Fault(f"{parameter.name} is {value:g}", fix=f"give {parameter.range}")
    return value


def _typed(parameter: Parameter, given: Any) -> Any:
    """The value with the parameter's type, or None where it has another."""
    if isinstance(given, str) and parameter.kind != "choice":
        try:
            given = json.loads(given)
        except json.JSONDecodeError:
            return None
    if parameter.kind == "choice":
        return given if isinstance(given, str) else None
    if isinstance(given, bool) or parameter.kind == "bool":
        return given if isinstance(given, bool) and parameter.kind == "bool" else None
    if parameter.kind == "float" and isinstance(given, int | float):
        return float(given) if math.isfinite(given) else None
    if parameter.kind == "int" and isinstance(given, int | float):
        return int(given) if math.isfinite(given) and given == int(given) else None
    return None


def _in_range(parameter: Parameter, value: float) -> bool:
    low = -math.inf if parameter.low is None else parameter.low
    high = math.inf if parameter.high is None else parameter.high
    return low <= value <= high


def _find_conflicts(values: Mapping[str, Any]) -> Iterator[Fault]:
    if values["warmup_ms"] >= values["duration_ms"]:
        yield Fault(
            f"warmup_ms ({values['warmup_ms']:g}) leaves nothing of duration_ms "
            f"({values['duration_ms']:g})",
            fix="make duration_ms longer, or warmup_ms shorter",
        )
    frozen = values.get("frozen", False)
    upstream = values.get("variant") == "upstream"
    if frozen and upstream:
        yield Fault(
            "the upstream variant cannot be frozen: its input changes while it runs",
            fix="variant=stationary",
        )
    if frozen and values["spike_precision"] == "off_grid":
        yield Fault("a frozen input is on the grid", fix="spike_precision=on_grid")
    dt = values["dt_ms"]
    if not _is_multiple(SHORTEST_DELAY_MS, dt):
        yield Fault(
            f"the shortest delay, {SHORTEST_DELAY_MS:g} ms, is no multiple of dt_ms ({dt:g})",
            fix="take 0.1, 0.05, 0.2, 0.5 or 1",
        )
    # The upstream variant changes its input in four equal epochs.
    share = 4 if upstream else 1
    if not _is_multiple(values["duration_ms"] / share, dt):
        yield Fault(
            f"duration_ms ({values['duration_ms']:g}) is no multiple of "
            f"{'four times ' if share == 4 else ''}dt_ms ({dt:g})",
            fix="take a whole number of time steps",
        )


def _is_multiple(value: float, unit: float) -> bool:
    return math.isclose(value / unit, round(value / unit), rel_tol=0, abs_tol=1e-6)
