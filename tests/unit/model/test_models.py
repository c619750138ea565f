"""Models and their parameters."""

from __future__ import annotations

from typing import Any

import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.model import find_model, list_models, resolve_parameters
from tests.conftest import Golden

MODEL = find_model("balanced-random")


def refusal(**overrides: Any) -> str:
    with pytest.raises(UsageFault) as caught:
        resolve_parameters(MODEL, overrides)
    return str(caught.value)


def test_every_listed_model_can_be_found_and_shipped() -> None:
    for model in list_models():
        assert find_model(model.name) == model
        assert model.entry in {path.name for path in model.files}
        assert all(path.is_file() for path in model.files)
        assert "nest" in model.backends


def test_unknown_model_names_the_nearest() -> None:
    with pytest.raises(UsageFault, match="did you mean 'balanced-random'"):
        find_model("balanced_random")


@pytest.mark.parametrize("name", ["network.py", "network.txt", "models/network"])
def test_a_file_is_no_model(name: str) -> None:
    with pytest.raises(UsageFault, match="is a file: models are run by their names") as caught:
        find_model(name)
    assert "docs/nmpi.md" in str(caught.value)


def test_defaults_are_valid_in_every_variant(golden: Golden) -> None:
    lines = []
    for parameter in MODEL.parameters:
        of_upstream = parameter.default_for("upstream")
        lines.append(
            f"{parameter.name}: {parameter.default} ({of_upstream}) [{parameter.range}] "
            f"{parameter.meaning}"
        )
    golden.check("model/parameters.txt", "\n".join(lines) + "\n")
    for variant in ("stationary", "upstream"):
        values = resolve_parameters(MODEL, {"variant": variant})
        assert list(values) == [parameter.name for parameter in MODEL.parameters]


def test_variant_brings_its_own_defaults_but_not_over_the_users() -> None:
    values = resolve_parameters(MODEL, {"variant": "upstream", "n_inh": 50})
    assert (values["n_exc"], values["n_inh"], values["duration_ms"]) == (400, 50, 4000.0)


def test_texts_of_a_command_line_get_their_types() -> None:
    values = resolve_parameters(
        MODEL, {"seed": "7", "weight_scale": "1.02", "delivery_guard": "false", "duration_ms": 2000}
    )
    assert values["seed"] == 7
    assert values["weight_scale"] == 1.02
    assert values["delivery_guard"] is False
    assert isinstance(values["duration_ms"], float)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"sede": 1}, "did you mean 'seed'?"),
        ({"seed": 0}, "give 1 to 2147483647"),
        ({"seed": 2**31}, "seed is"),
        ({"seed": 1.5}, "not a whole number"),
        ({"seed": True}, "not a whole number"),
        ({"seed": "x"}, "seed is 'x', not a whole number"),
        ({"weight_scale": "nan"}, "not a number"),
        ({"weight_scale": "1e999"}, "not a number"),
        ({"weight_scale": None}, "not a number"),
        ({"delivery_guard": 1}, "not true or false"),
        ({"delivery_guard": "yes"}, "not true or false"),
        ({"variant": "upstraem"}, "did you mean 'upstream'?"),
        ({"variant": 3}, "not a word"),
        ({"warmup_ms": 1500}, "leaves nothing of duration_ms"),
        ({"dt_ms": 0.3}, "no multiple of dt_ms"),
        ({"duration_ms": 1500.05}, "no multiple of dt_ms"),
    ],
)
def test_bad_values(overrides: dict[str, Any], said: str) -> None:
    assert said in refusal(**overrides)


def test_all_faults_come_at_once(golden: Golden) -> None:
    text = refusal(sede=1, n_exc="many", weight_scale=50, warmup_ms=2000, variant="up")
    golden.check("model/faults.txt", text + "\n")


def test_network_digest_does_not_depend_on_how_ranks_share() -> None:
    whole = [["00000000000000ff", "ffffffffffffffff"]]
    shared = [["00000000000000f0", "fffffffffffffffe"], ["000000000000000f", "0000000000000001"]]
    assert MODEL.network_digest(whole) == MODEL.network_digest(shared)
    assert MODEL.network_digest(shared) == "00000000000000ffffffffffffffffff"
    over = [["ffffffffffffffff", "0000000000000000"], ["0000000000000002", "0000000000000000"]]
    assert MODEL.network_digest(over) == "0000000000000001" + "0" * 16


def test_what_cannot_be_frozen() -> None:
    said = refusal(frozen=True, variant="upstream", spike_precision="off_grid")
    assert "the upstream variant cannot be frozen" in said
    assert "a frozen input is on the grid" in said
