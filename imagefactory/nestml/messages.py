"""What NESTML said of a model, as faults with their place: its own words are kept. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault


def model_error(path: Path, said: Iterable[Mapping[str, Any]]) -> ConfigurationFault:
    """The error for a model that NESTML refused."""
    faults = [
        Fault(f"NESTML: {_line(message)}", _place(path, message))
        for message in said
        if message["level"] == "ERROR"
    ]
    faults = list(dict.fromkeys(faults))
    error = ConfigurationFault.from_faults(
        faults or [Fault("NESTML refused the model, and said no reason", str(path))]
    )
    assert isinstance(error, ConfigurationFault)  # noqa: S101 - from_faults gives its own class
    return error


def warnings(path: Path, said: Iterable[Mapping[str, Any]]) -> list[str]:
    """Its warnings, each once, with their place."""
    found = [
        f"{_place(path, message)}: {_line(message)}"
        for message in said
        if message["level"] == "WARNING"
    ]
    return list(dict.fromkeys(found))


def _line(message: Mapping[str, Any]) -> str:
    return " ".join(str(message["text"]).split())


def _place(path: Path, message: Mapping[str, Any]) -> str:
    if message.get("line") is None:
        return str(path)
    return f"{path}:{message['line']}:{message['column']}"
