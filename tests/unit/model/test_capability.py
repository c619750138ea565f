"""What a backend can do with a model: every answer, with its fix, before any job."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.model import (
    Answer,
    check_backend,
    check_capability,
    find_backend,
    find_model,
    list_backends,
    list_models,
    needs_of,
    read_script,
    resolve_parameters,
    tabulate_backends,
)
from imagefactory.model.capability import Capability, Needs
from tests.conftest import Golden


def check(needs: Needs, backend: str) -> Capability:
    return check_capability("a model", needs, find_backend(backend))


def of_model(name: str, backend: str, **overrides: object) -> Capability:
    model = find_model(name)
    needs = needs_of(model, resolve_parameters(model, overrides))
    return check_capability(name, needs, find_backend(backend))


def test_the_table(golden: Golden) -> None:
    golden.check("model/backends.txt", "\n".join(tabulate_backends()) + "\n")


def test_every_fact_has_a_source() -> None:
    for backend in list_backends():
        assert all(told.source for told in backend.table.values())
        assert all(kind.source for kind in backend.has.values())
        assert all(set(kind.absent) <= set(kind.names) for kind in backend.has.values())


@pytest.mark.parametrize("backend", ["nest", "neuron", "spinnaker", "spinnaker-emulated", "bss2"])
@pytest.mark.parametrize("overrides", [{}, {"frozen": True, "dt_ms": 1.0}], ids=["drawn", "frozen"])
def test_the_balanced_network(golden: Golden, backend: str, overrides: dict[str, object]) -> None:
    name = f"model/check-{backend}-{'frozen' if overrides else 'drawn'}.txt"
    golden.check(name, "\n".join(of_model("balanced-random", backend, **overrides).lines()) + "\n")


def test_a_models_needs_are_those_of_its_script() -> None:
    for model in (each for each in list_models() if each.nestml is None):
        (script,) = [file for file in model.files if file.stem == model.name.replace("-", "_")]
        told = {str(name) for key, names in model.needs.items() if key != "populations"
                for name in names}  # fmt: skip
        assert told == set(read_script(script).names)


def test_a_model_with_a_neuron_of_its_own_needs_what_it_takes_of_the_other_network() -> None:
    adaptive, plain = find_model("adaptive"), find_model("balanced-random")
    told = {str(name) for key, names in adaptive.needs.items() if key != "populations"
            for name in names}  # fmt: skip
    taken = {*plain.needs["always"], *plain.needs["frozen"], *plain.needs["drawn"]}
    assert told == {"Izhikevich", *taken} - {"IF_curr_exp"}


def test_a_neuron_in_nestml_runs_on_nest_alone() -> None:
    assert of_model("adaptive", "nest").answer is Answer.RUNS
    assert of_model("adaptive", "spinnaker").answer is Answer.CANNOT


@pytest.mark.parametrize(
    ("name", "backend", "answer", "fix"),
    [
        ("IF_curr_delta", "neuron", Answer.CANNOT, "IF_curr_"),
        ("IF_curr_delta", "spinnaker", Answer.RUNS, ""),
        ("IF_curr_delta", "nest", Answer.SET, "modelset"),
        ("SpikeSourceGamma", "spinnaker", Answer.CANNOT, "SpikeSourceArray"),
        ("TsodyksMarkramSynapse", "spinnaker", Answer.CANNOT, "StaticSynapse"),
        ("CloneConnector", "spinnaker", Answer.CANNOT, "Connector"),
        ("KernelConnector", "nest", Answer.CANNOT, "Connector"),
        ("IF_made_up", "nest", Answer.CANNOT, "IF_"),
        ("IF_curr_exp", "bss2", Answer.UNKNOWN, ""),
    ],
)
def test_a_name(name: str, backend: str, answer: Answer, fix: str) -> None:
    found = check(Needs((name,), 1.0), backend).findings
    told = [one for one in found if name in one.what]
    assert [one.answer for one in told] == ([] if answer is Answer.RUNS else [answer])
    assert all(fix in one.fix for one in told)


@pytest.mark.parametrize(
    ("dt", "answer", "fix"),
    [
        (1.0, None, ""), (2.0, None, ""), (0.1, Answer.SET, "time_scale_factor=10 "),
        (0.25, Answer.SET, "time_scale_factor=4 "), (0.0005, Answer.CANNOT, "dt_ms=1"),
        (None, Answer.UNKNOWN, ""),
    ],
)  # fmt: skip
def test_a_time_step_on_spinnaker(dt: float | None, answer: Answer | None, fix: str) -> None:
    found = [one for one in check(Needs((), dt), "spinnaker").findings
             if one.answer is not Answer.APPROXIMATED]  # fmt: skip
    assert [one.answer for one in found] == ([answer] if answer else [])
    assert all(fix in one.fix for one in found)


@pytest.mark.parametrize(
    ("sizes", "answer", "said"),
    [
        ((256,), Answer.RUNS, "1 cores at least, so 1 board at least"),
        ((257, 1), Answer.RUNS, "3 cores at least"),
        ((816 * 256,), Answer.RUNS, "so 1 board at least"),
        ((816 * 256 + 1,), Answer.SET, "so 2 boards at least"),
        ((3_000_000,), Answer.SET, "so 15 boards at least"),
    ],
)
def test_how_many_boards(sizes: tuple[int, ...], answer: Answer, said: str) -> None:
    (found,) = [one for one in check(Needs((), 1.0, sizes), "spinnaker").findings
                if "board" in one.what]  # fmt: skip
    assert found.answer is answer
    assert said in found.what


def test_the_worst_answer_is_the_whole() -> None:
    assert check(Needs(("IF_curr_exp",), 1.0), "nest").answer is Answer.RUNS
    assert check(Needs(("IF_curr_exp",), 1.0), "spinnaker").answer is Answer.APPROXIMATED
    assert check(Needs(("IF_curr_exp",), 0.1), "spinnaker").answer is Answer.SET
    assert check(Needs(("HH_cond_exp",), 0.1), "spinnaker").answer is Answer.CANNOT


# --- scripts -----------------------------------------------------------------------------------

SCRIPT = """
import sys
import pyNN.nest as sim
from pyNN.random import NumpyRNG
sim.setup(timestep=0.1)
cells = sim.Population(10, sim.IF_cond_alpha())
sim.Projection(cells, cells, sim.OneToOneConnector(), sim.TsodyksMarkramSynapse())
raise SystemExit("this must never run")
"""


def test_a_script_is_read_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, "utf-8")
    needs = read_script(path)
    assert set(needs.names) == {"IF_cond_alpha", "OneToOneConnector", "TsodyksMarkramSynapse"}
    assert (needs.dt_ms, needs.bound_to) == (0.1, ("nest",))
    said = [fault.what for fault in check(needs, "spinnaker").faults]
    assert said == [
        "spinnaker has no IF_cond_alpha", "spinnaker has no TsodyksMarkramSynapse",
        "the script names nest itself",
    ]  # fmt: skip
    assert check(needs, "nest").answer is Answer.RUNS


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"def (", "no Python"), (b"\xff\xfe", "no Python"), (b"a = '\0'", "no Python")],
)
def test_what_is_no_script(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "script.py"
    path.write_bytes(content)
    with pytest.raises(UsageFault, match=said):
        read_script(path)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match=r"no \.py file"):
        read_script(tmp_path / "network.ipynb")
    with pytest.raises(UsageFault, match="cannot read"):
        read_script(tmp_path / "missing.py")


def test_an_unknown_backend() -> None:
    with pytest.raises(UsageFault) as raised:
        find_backend("spinaker")
    assert "spinnaker" in raised.value.faults[0].fix


def test_a_run_is_refused_with_all_its_faults() -> None:
    model = find_model("balanced-random")
    parameters = resolve_parameters(model, {})
    check_backend(model, "neuron", 1, 1, parameters)
    with pytest.raises(UsageFault) as raised:
        check_backend(model, "neuron", 2, 2, parameters)
    assert [fault.fix for fault in raised.value.faults] == ["--ranks 1", "--threads 1"]
    with pytest.raises(UsageFault, match="bss2"):
        check_backend(model, "bss2", 1, 1, parameters)


def test_nothing_of_a_script_is_executed_here() -> None:
    source = Path("imagefactory/model/capability.py").read_text("utf-8")
    called = {node.func.id for node in ast.walk(ast.parse(source))
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}  # fmt: skip
    assert not called & {"exec", "eval", "compile", "__import__", "import_module"}
