"""Whether a model can run on a backend: what cannot, what is approximated, what is to be set.

Decided before any job, from the table of the backends and from what the model needs: of a model of
ours that is in its table, of any other PyNN script it is read in its text, which is never run.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from imagefactory.base.errors import Fault, UsageFault, nearest
from imagefactory.model.backends import KINDS, Backend, find_backend, list_backends
from imagefactory.model.models import Model


class Answer(StrEnum):
    """What is said of one need; the worst of all is the whole answer."""

    RUNS = "RUNS"
    APPROXIMATED = "APPROXIMATED"
    SET = "SET"
    UNKNOWN = "UNKNOWN"
    CANNOT = "CANNOT"


@dataclass(frozen=True)
class Needs:
    """PyNN's names that a model uses, its time step (ms; None: unknown), its populations' sizes,
    and the simulators that it names itself."""

    names: tuple[str, ...]
    dt_ms: float | None = None
    sizes: tuple[int, ...] = ()
    bound_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One answer, why, what to do about it, and where that is known from."""

    answer: Answer
    what: str
    fix: str = ""
    source: str = ""

    def lines(self) -> list[str]:
        """For people."""
        told = [f"{self.answer:13}{self.what}"]
        told += [f"{'':13}fix: {self.fix}"] if self.fix else []
        return [*told, *([f"{'':13}source: {self.source}"] if self.source else [])]


@dataclass(frozen=True)
class Capability:
    """What a backend can do with a model."""

    model: str
    backend: str
    findings: tuple[Finding, ...]

    @property
    def answer(self) -> Answer:
        """The worst one."""
        order = list(Answer)
        return max((one.answer for one in self.findings), key=order.index, default=Answer.RUNS)

    @property
    def faults(self) -> list[Fault]:
        """What cannot run, as faults."""
        bad = [one for one in self.findings if one.answer is Answer.CANNOT]
        return [Fault(one.what, f"backend {self.backend}", one.fix) for one in bad]

    def lines(self) -> list[str]:
        """For people; the last line is the answer."""
        found = [line for one in self.findings for line in one.lines()]
        return [*found, f"{self.answer}: {self.model} on {self.backend}"]


def needs_of(model: Model, parameters: Mapping[str, Any]) -> Needs:
    """What a model of ours needs with these parameters."""
    wanted = dict(model.needs)
    names = [*wanted["always"]]
    names += wanted["frozen" if parameters.get("frozen") else "drawn"]
    names += wanted.get(str(parameters.get("variant", "")), ())
    sizes = [int(parameters.get(str(size), size)) for size in wanted["populations"]]
    # A neuron in NESTML is a module for NEST, and the one beside it is NEST's own, by its own name.
    bound = ("nest",) if model.nestml else ()
    return Needs(tuple(dict.fromkeys(map(str, names))), parameters["dt_ms"], tuple(sizes), bound)


def read_script(path: Path) -> Needs:
    """What a PyNN script needs, as far as its text tells; raises UsageFault with the line where it
    is no Python."""
    if path.suffix != ".py":
        fix = "give a PyNN script, or a model"
        raise UsageFault("this is no .py file", where=str(path), fix=fix)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise UsageFault(f"cannot read the script: {err.strerror}", where=str(path)) from None
    except (SyntaxError, UnicodeDecodeError, ValueError) as err:
        line = getattr(err, "lineno", None)
        place = f"{path}:{line}" if line else str(path)
        raise UsageFault(f"this is no Python: {getattr(err, 'msg', err)}", where=place) from None
    known = {name for backend in list_backends() for kind in backend.has.values()
             for name in kind.names}  # fmt: skip
    used = dict.fromkeys(name for name in _identifiers(tree) if name in known or _is_cell(name))
    return Needs(tuple(used), _timestep(tree), bound_to=tuple(dict.fromkeys(_simulators(tree))))


def check_capability(name: str, needs: Needs, backend: Backend) -> Capability:
    """What this backend can do with these needs."""
    found = [
        *_names(needs, backend), *_bound(needs, backend), *_step(needs, backend),
        *_size(needs, backend),
    ]  # fmt: skip
    found += [
        Finding(Answer.APPROXIMATED, f"{one.what}: {one.effect}", source=one.source)
        for one in backend.approximations
    ]
    return Capability(name, backend.name, tuple(found))


def check_backend(
    model: Model, backend: str, ranks: int, threads: int, parameters: Mapping[str, Any]
) -> None:
    """Raises UsageFault with all faults where this run of a model cannot be made on a backend."""
    if backend not in model.backends:
        what = f"`run` has no backend {backend!r} for {model.name}"
        raise UsageFault(what, fix=nearest(backend, model.backends))
    known = find_backend(backend)
    faults = check_capability(model.name, needs_of(model, parameters), known).faults
    for option, value in (("ranks", ranks), ("threads", threads)):
        if known.one_process and value != 1:
            what = f"{backend} runs on one process of one thread, not on {value} {option}"
            faults.append(Fault(what, fix=f"--{option} 1"))
    if faults:
        raise UsageFault.from_faults(faults)


def _names(needs: Needs, backend: Backend) -> Iterator[Finding]:
    for name in needs.names:
        kind = _kind(name)
        here = backend.has.get(kind)
        if here is None:
            what = f"nobody noted which {kind} {backend.name} has; {name} is needed"
            yield Finding(Answer.UNKNOWN, what)
        elif name not in here.names:
            what = f"{backend.name} has no {name}"
            yield Finding(Answer.CANNOT, what, nearest(name, here.names), here.source)
        elif name in here.absent:
            what = f"the image of recipes/{backend.name} has no {name}"
            fix = f"add it to recipes/{backend.name}/modelset, or use an image of your own"
            yield Finding(Answer.SET, what, fix, here.source)


def _bound(needs: Needs, backend: Backend) -> Iterator[Finding]:
    for simulator in needs.bound_to:
        if simulator.lower() != backend.name:
            what = f"the script names {simulator} itself"
            fix = (
                "use PyNN's cells, and take the backend from an argument: "
                "sim = import_module(f'pyNN.{sys.argv[1]}')"
            )
            yield Finding(Answer.CANNOT, what, fix)


def _step(needs: Needs, backend: Backend) -> Iterator[Finding]:
    step, dt = backend.step, needs.dt_ms
    if step is None:
        return
    if dt is None:
        what = f"the time step is not in the script's text; {backend.name} is made for "
        yield Finding(Answer.UNKNOWN, f"{what}{step.best:g} ms", source=step.source)
    elif step.only and dt != step.best:
        what = f"{backend.name} has no time step but {step.best:g} ms, and {dt:g} ms is asked for"
        yield Finding(Answer.CANNOT, what, f"--set dt_ms={step.best:g}", step.source)
    elif abs(dt * 1000 - round(dt * 1000)) > 1e-9:
        what = f"a time step of {dt:g} ms is no whole number of microseconds"
        yield Finding(Answer.CANNOT, what, f"--set dt_ms={step.best:g}", step.source)
    elif dt < step.best:
        what = f"{dt:g} ms is less than the {step.best:g} ms of real time: packets come late"
        least = math.ceil(step.best / dt - 1e-9)
        fix = f"time_scale_factor={least} or more in setup(), or --set dt_ms={step.best:g}"
        yield Finding(Answer.SET, what, fix, step.source)


def _size(needs: Needs, backend: Backend) -> Iterator[Finding]:
    board = backend.board
    if board is None or not needs.sizes:
        return
    cores = sum(math.ceil(size / board.neurons_a_core) for size in needs.sizes)
    boards = math.ceil(cores / board.cores)
    what = f"{cores} cores at least, so {boards} board{'' if boards == 1 else 's'} at least"
    if boards > 1:
        fix = f"ask for {boards} boards, or make the network smaller"
        yield Finding(Answer.SET, what, fix, board.source)
    else:
        yield Finding(Answer.RUNS, f"{what}; routing and memory are not counted", "", board.source)


def _kind(name: str) -> str:
    """The kind of a name, by whichever backend has it; what nobody has is taken for a cell."""
    for backend in list_backends():
        for kind in KINDS:
            if kind in backend.has and name in backend.has[kind].names:
                return kind
    return "cells"


def _is_cell(name: str) -> bool:
    """Whether a name looks like one of PyNN's cells, though no backend of the table has it."""
    return name.startswith(("IF_", "EIF_", "HH_", "GIF_", "SpikeSource"))


def _identifiers(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def _simulators(tree: ast.AST) -> Iterator[str]:
    """Backends whose module the script imports by its own name."""
    for node in ast.walk(tree):
        modules: Sequence[str] = ()
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for module in modules:
            first, _, rest = module.partition(".")
            second = rest.partition(".")[0]
            if first == "pyNN" and second.lower() in {each.name for each in list_backends()}:
                yield second
            elif first in {"nest", "neuron"}:
                yield first


def _timestep(tree: ast.AST) -> float | None:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or getattr(node.func, "attr", "") != "setup":
            continue
        given = {word.arg: word.value for word in node.keywords}
        value = given.get("timestep", node.args[0] if node.args else None)
        if isinstance(value, ast.Constant) and isinstance(value.value, int | float):
            return float(value.value)
    return None
