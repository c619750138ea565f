"""The files that are shipped into a run, as far as they need neither MPI nor NEST."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from imagefactory.model import find_model, freeze, resolve_parameters

MODEL = find_model("balanced-random")
SIZES = {"excitatory": 60, "inhibitory": 20}


def load(name: str) -> ModuleType:
    path = next(file for file in MODEL.files if file.name == f"{name}.py")
    spec = importlib.util.spec_from_file_location(f"inside_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


start, network = load("start"), load("balanced_random")


def parameters(**overrides: Any) -> dict[str, Any]:
    return resolve_parameters(MODEL, overrides)


def test_script_and_model_have_the_same_defaults() -> None:
    for variant in ("stationary", "upstream"):
        assert network.default_parameters(variant) == parameters(variant=variant)


def test_same_seed_same_connections_other_seed_others() -> None:
    one, again, other = (
        network.connections(parameters(seed=seed), "excitatory", "inhibitory", SIZES)
        for seed in (7, 7, 8)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("source", ["excitatory", "inhibitory"])
@pytest.mark.parametrize("target", ["excitatory", "inhibitory"])
def test_stationary_connections(source: str, target: str) -> None:
    rows = network.connections(parameters(), source, target, SIZES)
    pre, post, weight, delay = rows.T
    assert len(np.unique(rows[:, :2], axis=0)) == len(rows)
    assert set(np.bincount(post.astype(int))) == {round(0.1 * SIZES[source])}
    assert pre.max() < SIZES[source]
    assert post.max() < SIZES[target]
    if source == target:
        assert not (pre == post).any()
    assert (weight > 0).all() if source == "excitatory" else (weight < 0).all()
    assert delay.min() >= 1.0
    assert np.allclose(delay / 0.1, np.rint(delay / 0.1))


def test_upstream_weights_are_clipped_at_zero() -> None:
    upstream = parameters(variant="upstream")
    weights = network.connections(upstream, "excitatory", "inhibitory", SIZES)[:, 2]
    assert weights.min() == 0.0
    assert (network.connections(upstream, "inhibitory", "excitatory", SIZES)[:, 2] <= 0).all()


def test_weight_scale_changes_weights_and_nothing_else() -> None:
    plain = network.connections(parameters(), "excitatory", "excitatory", SIZES)
    scaled = network.connections(parameters(weight_scale=1.02), "excitatory", "excitatory", SIZES)
    assert np.array_equal(plain[:, [0, 1, 3]], scaled[:, [0, 1, 3]])
    assert np.array_equal(plain[:, 2] * 1.02, scaled[:, 2])


def test_runs_of_one_network_seed_share_the_network_and_nothing_else() -> None:
    small = {"n_exc": 40, "n_inh": 10, "duration_ms": 300, "warmup_ms": 20, "frozen": True}
    a, b = (network.draw(parameters(seed=seed, network_seed=99, **small)) for seed in (7, 8))
    assert all(np.array_equal(a.rows[name], b.rows[name]) for name in a.rows)
    assert not np.array_equal(a.start["excitatory"], b.start["excitatory"])
    assert start.table_digest(a.trains) != start.table_digest(b.trains)
    own = network.draw(parameters(seed=99, **small))
    assert all(np.array_equal(a.rows[name], own.rows[name]) for name in a.rows)


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_lost_synapses_are_lost_and_the_others_stay(share: float) -> None:
    sizes = {"excitatory": 400, "inhibitory": 100}
    whole = network.connections(parameters(), "excitatory", "inhibitory", sizes)
    fewer = network.connections(parameters(synapse_loss=share), "excitatory", "inhibitory", sizes)
    assert len(fewer) / len(whole) == pytest.approx(1 - share, abs=0.02)
    assert {tuple(row) for row in fewer} < {tuple(row) for row in whole}


def test_drawn_trains_are_poisson_on_the_grid() -> None:
    given = parameters(frozen=True, external_rate_hz=1000, duration_ms=2000, dt_ms=0.1)
    trains = network.draw_trains(given, "excitatory", 50)
    assert trains.dtype == np.int64
    assert (np.diff(trains[:, 0]) >= 0).all()
    same = np.diff(trains[:, 0]) == 0
    assert (np.diff(trains[:, 1])[same] >= 0).all()
    assert trains[:, 1].min() > 10, "after the shortest delay"
    assert trains[:, 1].max() <= 20000
    counts = np.bincount(trains[:, 0], minlength=50)
    assert counts.mean() == pytest.approx(1999, rel=0.02)
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.6)
    assert (np.diff(trains[:, 1])[same] == 0).any(), "more than one in a step"


def test_what_was_drawn_is_shipped_whole(tmp_path: Path) -> None:
    given = parameters(frozen=True, n_exc=40, n_inh=10, duration_ms=100, warmup_ms=20)
    freeze(MODEL, given, tmp_path / "frozen.npz")
    drawn, loaded = network.draw(given), network.load(tmp_path / "frozen.npz")
    for kind in ("start", "rows", "trains"):
        assert start.table_digest(getattr(loaded, kind)) == start.table_digest(getattr(drawn, kind))
    facts = start.drawn_facts(loaded)
    assert facts["input"].startswith("sha256:")
    assert start.drawn_facts(network.draw(parameters(n_exc=40)))["input"] is None


def parts_of(rows: np.ndarray[Any, Any]) -> list[str]:
    found: list[str] = start.network_parts(*rows.T)
    return found


def test_network_digest_is_of_the_set_of_connections() -> None:
    rows = network.connections(parameters(), "excitatory", "excitatory", SIZES)
    shuffled = np.random.default_rng(1).permutation(rows)
    whole = MODEL.network_digest([parts_of(rows)])
    assert MODEL.network_digest([parts_of(shuffled[:100]), parts_of(shuffled[100:])]) == whole
    for column in range(4):
        changed = rows.copy()
        changed[5, column] = np.nextafter(changed[5, column], 9) if column > 1 else 59
        assert MODEL.network_digest([parts_of(changed)]) != whole
    assert MODEL.network_digest([parts_of(rows[1:])]) != whole
    assert MODEL.network_digest([parts_of(rows[:, [1, 0, 2, 3]])]) != whole


def test_empty_rank_adds_nothing() -> None:
    assert parts_of(np.zeros((0, 4))) == ["0" * 16, "0" * 16]


def test_pmix_announcement() -> None:
    environ = {"PMIX_NAMESPACE": "slurm.pmix.7.0", "PMIX_VERSION": "4.2.2", "PATH": "/bin"}
    assert start.pmix_announcement(environ) == {
        "namespace": "slurm.pmix.7.0",
        "server_version": "4.2.2",
        "datastore": None,
        "security": None,
    }


def seen(size: int, namespace: str | None) -> dict[str, Any]:
    pmix = {"namespace": namespace, "server_version": "4.2.2" if namespace else None}
    return {"size": size, "host": "c1", "pid": 42, "pmix": pmix}


def test_wrong_world_is_one_clear_line() -> None:
    assert start.check_world(2, seen(2, "x")) is None
    alone = start.check_world(2, seen(1, None))
    assert alone.startswith(
        "imagefactory: 2 ranks were asked for, but this process sees a world of 1 rank "
    )
    assert "No PMIx server announced itself" in alone
    assert "(4.2.2): the MPI library did not join it" in start.check_world(2, seen(1, "x"))
    assert "a world of 3 ranks" in start.check_world(2, seen(3, "x"))
    assert "\n" not in alone


def test_cpu_model() -> None:
    assert start.cpu_model("processor\t: 0\nmodel name\t: AMD EPYC 7742\n") == "AMD EPYC 7742"
    assert start.cpu_model("nothing")


def test_rank_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    start.write_rank({"host": "c1", "pid": 42, "state": "started"})
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["rank-c1-42.json"]
    assert json.loads((tmp_path / "output/rank-c1-42.json").read_text())["state"] == "started"


def test_nest_config_is_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "nest-config").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}/a:{tmp_path}/b")
    start.hide_nest_config()
    assert start.os.environ["PATH"] == f"{tmp_path}/b"
