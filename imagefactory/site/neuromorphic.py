"""Neuromorphic job queues: records of their own, for they have no nodes, no store and no launcher.

`nmpi` is built in: the address that the client `nmpi` 0.11.2 has. The sandbox's double is there
while the sandbox is up, as `nmpi-double`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import UsageFault, nearest
from imagefactory.base.files import data_folder, settings_folder
from imagefactory.base.settings import load_schema, read_yaml

# Where the real provider serves what SpiNNaker jobs leave, over plain HTTP.
SPINNAKER_OUTPUT = "spinnaker.cs.man.ac.uk"
DOUBLE = "nmpi-double"


@dataclass(frozen=True)
class JobQueue:
    """An NMPI: its address, platform, own authority, and the other hosts that may serve output."""

    name: str
    url: str
    platform: str = "SpiNNaker"
    ca: Path | None = None
    output_hosts: tuple[str, ...] = (SPINNAKER_OUTPUT,)
    double: bool = False


BUILT_IN = JobQueue("nmpi", "https://nmpi-v3.hbpneuromorphic.eu")


def load_queue(name: str) -> JobQueue:
    """The queue of this name: the user's record, the sandbox's, or the built-in `nmpi`.

    Raises UsageFault with the nearest name, ConfigurationFault with all faults of its record.
    """
    known = _records()
    if name in known:
        given = read_yaml(known[name], load_schema("imagefactory.site", "neuromorphic.schema.json"))
        given["url"] = given["url"].rstrip("/")
        if "ca" in given:
            given["ca"] = Path(given["ca"]).expanduser()
        if "output_hosts" in given:
            given["output_hosts"] = tuple(given["output_hosts"])
        return JobQueue(name, **given)
    if name == BUILT_IN.name:
        return BUILT_IN
    raise UsageFault(
        f"there is no job queue {name!r}",
        where="--site",
        fix=nearest(name, {*known, BUILT_IN.name}) + f"; {DOUBLE} needs: imagefactory sandbox up",
    )


def double_record() -> Path:
    """Where the sandbox writes the record of its double."""
    return data_folder() / "sandbox" / "nmpi" / f"{DOUBLE}.yaml"


def _records() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in (settings_folder() / "nmpi", double_record().parent):
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found
