"""Documents are checked once, with all their faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.base.settings import check, read_json, read_yaml

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "description": "what the thing is called"},
        "count": {"type": "integer"},
        "mode": {"enum": ["fast", "slow"]},
        "when": {"type": "string"},
        "inner": {
            "type": "object",
            "additionalProperties": False,
            "properties": {"deep": {"type": "array", "items": {"type": "integer"}}},
        },
    },
}


def test_all_faults_at_once_with_place_and_fix() -> None:
    document = {"nmae": "x", "count": "3", "mode": "fats", "inner": {"deep": [1, "two"]}}
    with pytest.raises(ConfigurationFault) as caught:
        check(document, SCHEMA, "thing.yaml")
    text = str(caught.value)
    assert len(caught.value.faults) == 5
    assert "unknown key 'nmae'" in text
    assert "did you mean 'name'?" in text
    assert "the key 'name' is missing" in text
    assert "what the thing is called" in text
    assert "thing.yaml: count: '3' is a text, not a whole number" in text
    assert "did you mean 'fast'?" in text
    assert "thing.yaml: inner.deep[1]" in text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("name: [", "this is no YAML"),
        ("name: a\nname: b\n", "'name' stands twice"),
        ("- a\n", "not a mapping"),
        ("name: !!python/object/apply:os.system [ls]\n", "this is no YAML"),
    ],
)
def test_bad_yaml(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "thing.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationFault) as caught:
        read_yaml(path, SCHEMA)
    assert part in str(caught.value)
    assert "thing.yaml" in str(caught.value)


def test_a_date_stays_a_text(tmp_path: Path) -> None:
    path = tmp_path / "thing.yaml"
    path.write_text("name: a\nwhen: 2026-01-01\n")
    assert read_yaml(path, SCHEMA)["when"] == "2026-01-01"


def test_a_missing_or_binary_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="No such file"):
        read_yaml(tmp_path / "none.yaml", SCHEMA)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationFault, match="not UTF-8"):
        read_yaml(tmp_path / "binary", SCHEMA)


def test_bad_json_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "thing.json"
    path.write_text('{"name": "a",\n oops}')
    with pytest.raises(ConfigurationFault, match=r"thing\.json:2"):
        read_json(path, SCHEMA)
