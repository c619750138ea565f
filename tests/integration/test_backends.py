"""One script, one argument: the same network under NEST and under NEURON, at real sites."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.equivalence import Verdict, compare
from imagefactory.run import RunRecord, execute, plan_run

if TYPE_CHECKING:
    from imagefactory.sandbox import Sandbox

SMALL: dict[str, Any] = {
    "n_exc": 120, "n_inh": 30, "duration_ms": 200, "warmup_ms": 20, "frozen": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def pynn_ref(pynn_sif: Path, sandbox: Sandbox, report: Silent) -> ImageRef:
    """The image of recipes/pynn in the sandbox's registry."""
    from imagefactory.launch import push_with_facts

    ref = ImageRef.parse(f"oras://{sandbox.registry}/tests/pynn:0.13")
    push_with_facts(pynn_sif, ref, report)
    return ref


@pytest.fixture(autouse=True)
def _own_runs(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sites = tmp_path / "settings" / "sites"
    sites.mkdir(parents=True)
    for site in sandbox.sites:
        shutil.copy(site.record, sites)
    monkeypatch.setenv("IMAGEFACTORY_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.setenv("IMAGEFACTORY_DATA", str(tmp_path / "data"))


def test_one_network_under_two_simulators(
    pushed_ref: ImageRef, pynn_ref: ImageRef, report: Silent
) -> None:
    def run(ref: ImageRef, site: str, backend: str) -> RunRecord:
        plan = plan_run(
            str(ref), site, "balanced-random", report=report, ranks=1, overrides=SMALL,
            backend=backend,
        )  # fmt: skip
        return execute(plan, report)

    nest = run(pushed_ref, "bookworm", "nest")
    neuron = run(pynn_ref, "trixie", "neuron")
    assert (nest.backend, neuron.backend) == ("nest", "neuron")
    assert neuron.versions["neuron"] == "9.0.2"
    for fact in ("digest", "connections", "start", "input"):  # the very same network and input
        assert nest.network[fact] == neuron.network[fact] is not None
    assert nest.spikes
    assert neuron.spikes
    assert 0.8 < neuron.spikes["count"] / nest.spikes["count"] < 1.25
    found = compare([nest], [neuron])
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "unequal backend: nest and neuron" in found.outcome.tiers[1].expected


def test_the_emulation_is_told_as_one(pushed_ref: ImageRef, report: Silent) -> None:
    """The same network in SpiNNaker's arithmetic, at two sites: equal to the last bit."""
    found = [
        execute(
            plan_run(
                str(pushed_ref), site, "balanced-random", report=report, ranks=1,
                overrides={**SMALL, "dt_ms": 1.0}, backend="spinnaker-emulated",
            ),
            report,
        )
        for site in ("bookworm", "trixie")
    ]  # fmt: skip
    first, second = found
    assert first.backend == "spinnaker-emulated"
    assert "emulated" in first.network["emulated"]
    assert set(first.network["ring_shifts"]) == {"excitatory", "inhibitory"}
    assert compare([first], [second]).verdict is Verdict.IDENTICAL


def test_what_a_backend_cannot_do_is_refused_before_anything(report: Silent) -> None:
    with pytest.raises(UsageFault) as raised:
        plan_run("x.sif", "here", "balanced-random", report=report, ranks=2, backend="neuron")
    assert raised.value.faults[0].fix == "--ranks 1"
    with pytest.raises(UsageFault) as raised:
        plan_run("x.sif", "here", "few-cells", report=report, ranks=1, backend="nestt")
    assert "nest" in raised.value.faults[0].fix
