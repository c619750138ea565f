"""What is taken for a NESTML file, and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ConfigurationFault, UsageFault
from imagefactory.nestml.messages import model_error, warnings
from imagefactory.nestml.source import read_source

TOP = Path(__file__).parents[3]


def test_the_example() -> None:
    source = read_source(TOP / "examples" / "adaptive.nestml")
    assert source.models == ("adaptive_neuron",)
    assert source.module == "adaptivemodule"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("model.py", b"model x:\n", "does not end in .nestml"),
        ("a-b.nestml", b"model x:\n", "cannot name a module"),
        ("bytes.nestml", b"\xff\xfe", "not UTF-8"),
        ("empty.nestml", b"# model x:\n", "no model in it"),
        ("large.nestml", b"#" * 1_000_001, "too large"),
        ("missing.nestml", None, "No such file"),
    ],
)
def test_what_is_none(tmp_path: Path, name: str, content: bytes | None, why: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageFault, match=why):
        read_source(tmp_path / name)


SAID: list[dict[str, Any]] = [
    {"level": "INFO", "line": 1, "column": 0, "text": "starts"},
    {"level": "ERROR", "line": 7, "column": 22, "text": "Variable 'tauu'\n  not defined!"},
    {"level": "ERROR", "line": 7, "column": 22, "text": "Variable 'tauu' not defined!"},
    {"level": "ERROR", "line": None, "column": None, "text": "Error occurred during parsing"},
    {"level": "WARNING", "line": 3, "column": 8, "text": "a unit's name"},
]


def test_nestmls_own_words_and_lines_are_kept() -> None:
    error = model_error(Path("bad.nestml"), SAID)
    assert isinstance(error, ConfigurationFault)
    assert [str(fault) for fault in error.faults] == [
        "bad.nestml:7:22: NESTML: Variable 'tauu' not defined!",
        "bad.nestml: NESTML: Error occurred during parsing",
    ]
    assert warnings(Path("bad.nestml"), SAID) == ["bad.nestml:3:8: a unit's name"]


def test_a_model_refused_without_a_word_is_an_error_too() -> None:
    assert "no reason" in model_error(Path("bad.nestml"), SAID[:1]).faults[0].what
