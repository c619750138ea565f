"""The run record: what a run was, where and with what it ran, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imagefactory.base.errors import UsageFault, nearest
from imagefactory.base.files import data_folder, write_json
from imagefactory.base.settings import load_schema, read_json

SCHEMA = 1
FILE = "record.json"


@dataclass(frozen=True)
class RunRecord:
    """One run. Unknown facts are None or absent, never guessed.

    Times are in seconds, model times in milliseconds. `folder` is where the record, the spikes
    and the logs are kept on the user's machine.
    """

    id: str
    state: str  # FINISHED, or FAILED, CANCELLED, TIMEOUT, or not yet over: see run.states
    site: str
    model: str
    backend: str
    image: dict[str, Any]  # reference, manifest, sif, size
    geometry: dict[str, int]  # nodes, ranks, threads, virtual_processes
    parameters: dict[str, Any]  # every parameter of the model, the seed among them
    model_code: str | None = None  # one digest of the model's files
    module: dict[str, Any] | None = None  # what NEST loaded: file, sha256, models, source, versions
    launcher: dict[str, Any] = field(default_factory=dict)  # name, version, argv
    pmix: dict[str, Any] = field(default_factory=dict)  # server, client, security, datastore
    versions: dict[str, Any] = field(default_factory=dict)  # nest, pynn, numpy, python, mpi, ...
    machine: dict[str, Any] = field(default_factory=dict)  # nodes, cpu, kernel, libm, apptainer
    network: dict[str, Any] = field(default_factory=dict)  # digest, connections, rng, guards
    timings: dict[str, float] = field(default_factory=dict)
    commands: list[list[str]] = field(default_factory=list)
    created: str | None = None  # UTC, ISO 8601
    job: dict[str, Any] = field(default_factory=dict)  # id, folder on the site, word of Slurm
    failure: dict[str, str] | None = None  # what, where, fix
    spikes: dict[str, Any] | None = None  # file, digest, count
    folder: Path = Path()


def runs_folder() -> Path:
    """Where run records are kept, one folder a run."""
    return data_folder() / "runs"


def write_record(record: RunRecord) -> Path:
    """Write the record into its folder; returns the file."""
    document = {"schema": SCHEMA, **asdict(record)}
    del document["folder"]
    path = record.folder / FILE
    write_json(path, document)
    return path


def read_record(run: str | Path) -> RunRecord:
    """Read a record by run id, or by the path of its folder or file.

    Raises UsageFault for an unknown run, ConfigurationFault for a damaged record.
    """
    path = _find(run)
    document = read_json(path, load_schema("imagefactory.run", "record.schema.json"))
    document.pop("schema")
    return RunRecord(**document, folder=path.parent)


def list_records() -> list[RunRecord]:
    """All records, oldest first; damaged ones raise ConfigurationFault."""
    return [read_record(path.parent) for path in sorted(runs_folder().glob(f"*/{FILE}"))]


def _find(run: str | Path) -> Path:
    for place in (runs_folder() / str(run) / FILE, Path(run) / FILE, Path(run)):
        if place.is_file():
            return place
    known = [path.parent.name for path in runs_folder().glob(f"*/{FILE}")]
    raise UsageFault(f"there is no run {str(run)!r}", fix=nearest(str(run), known))
