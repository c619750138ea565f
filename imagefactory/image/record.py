"""The build record: from what, with what and how an image was built; it stands beside the SIF."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault
from imagefactory.base.files import write_json
from imagefactory.base.settings import read_json

SCHEMA = 1


@dataclass(frozen=True)
class BuildRecord:
    """One build. `key` names every input; `seconds` is what it took; `checked` is size and time."""

    name: str
    version: str
    sif: Path
    digest: str
    size: int
    key: dict[str, str]
    seconds: float
    definition: str
    log: str
    user: str
    root: str = ""  # the digest of the base root's tar
    sources: dict[str, str] = field(default_factory=dict)  # requirement to digest
    debian: dict[str, str] = field(default_factory=dict)  # package to version, in the image
    # Size and modification time (ns) of the SIF when its digest was last computed.
    checked: list[int] = field(default_factory=list)


def record_path(sif: Path) -> Path:
    """Where the record of a SIF stands."""
    return sif.with_suffix(".record.json")


def write_build_record(record: BuildRecord) -> None:
    """Write the record beside its SIF."""
    document: dict[str, Any] = {"schema": SCHEMA, **asdict(record), "sif": record.sif.name}
    write_json(record_path(record.sif), document)


def read_build_record(path: Path) -> BuildRecord:
    """Read a record; the SIF is the one beside it. Raises ConfigurationFault if it is damaged."""
    names = [item.name for item in fields(BuildRecord)]
    document = read_json(path, {"type": "object", "required": ["schema", *names]})
    if document.pop("schema") != SCHEMA:
        raise ConfigurationFault("another format of build record", where=str(path))
    return BuildRecord(**{**document, "sif": path.parent / document["sif"]})


def changed_parts(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Which inputs differ between two keys, by name."""
    return sorted(
        name for name in {*before, *now} if before.get(name, "none") != now.get(name, "none")
    )
