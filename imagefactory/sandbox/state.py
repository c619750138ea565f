"""What is remembered of a sandbox that is up; the file is written last, when all answer."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from imagefactory.base.files import write_json
from imagefactory.base.settings import read_json
from imagefactory.sandbox.settings import sandbox_settings

FILE = "state.json"
SCHEMA = 1
_TEXT = {"type": "string"}
_SITE_KEYS = ("name", "login", "record", "slurm", "pmix", "apptainer")
_STATE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "prefix", "engine", "registry", "folder", "sites"],
    "properties": {
        "schema": {"const": SCHEMA},
        "prefix": _TEXT,
        "engine": _TEXT,
        "registry": _TEXT,
        "folder": _TEXT,
        "sites": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": [*_SITE_KEYS, "port"],
                "properties": {"port": {"type": "integer"}, **dict.fromkeys(_SITE_KEYS, _TEXT)},
            },
        },
    },
}


@dataclass(frozen=True)
class SandboxSite:
    """One site that is up. `login` is the container's name; the versions were measured."""

    name: str
    login: str
    port: int
    record: Path
    slurm: str
    pmix: str
    apptainer: str


@dataclass(frozen=True)
class Sandbox:
    """A sandbox that is up: where its engine, its registry and its sites are."""

    prefix: str
    engine: str
    registry: str
    folder: Path
    sites: tuple[SandboxSite, ...]

    def site(self, name: str) -> SandboxSite:
        """The site of that name; KeyError if there is none."""
        return {site.name: site for site in self.sites}[name]


def write_state(sandbox: Sandbox) -> None:
    """Remember that the sandbox is up."""
    document = asdict(sandbox)
    document["folder"] = str(sandbox.folder)
    for site in document["sites"]:
        site["record"] = str(site["record"])
    write_json(sandbox.folder / FILE, {"schema": SCHEMA, **document}, mode=0o600)


def load_sandbox() -> Sandbox | None:
    """The sandbox as `up` left it, or None; says nothing about whether it still answers."""
    settings = sandbox_settings()
    path = settings.folder / FILE
    if not path.is_file():
        return None
    document = read_json(path, _STATE_SCHEMA)
    sites = tuple(
        SandboxSite(**{**site, "record": Path(site["record"])}) for site in document["sites"]
    )
    return Sandbox(
        prefix=document["prefix"],
        engine=document["engine"],
        registry=document["registry"],
        folder=Path(document["folder"]),
        sites=sites,
    )
