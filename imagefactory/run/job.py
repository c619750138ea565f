"""What goes to the site for a run: its parameters, and the script that starts it. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.launch import GUARD
from imagefactory.model import Model
from imagefactory.site import Setting, Site, shell_lines

if TYPE_CHECKING:
    from imagefactory.nestml import Module

SCHEMA = 1
FOLDER = "$folder"  # a run's folder where the server names it: job.sh knows it as this variable


class Via(StrEnum):
    """What carries a run to its site: a shell on its login node, or UNICORE."""

    SHELL = "shell"
    UNICORE = "unicore"


# Last of all, and whole: who sees this file knows that the job is over.
ENDING_LINES = (
    'echo "$status" >output/.exit-status && mv output/.exit-status output/exit-status',
    'exit "$status"',
)


@dataclass(frozen=True)
class Geometry:
    """How a run is spread: nodes, MPI ranks in all, threads per rank."""

    nodes: int
    ranks: int
    threads: int

    @property
    def virtual_processes(self) -> int:
        """Ranks x threads: what fixes NEST's random streams."""
        return self.ranks * self.threads


def parameters_text(
    model: Model,
    geometry: Geometry,
    parameters: Mapping[str, Any],
    backend: str,
    expect: Mapping[str, Any] | None = None,
    module: Module | None = None,
) -> str:
    """parameters.json, which every rank reads: `expect` is what the guard holds a run to, `module`
    what every rank loads."""
    document = {
        "schema": SCHEMA,
        "model": model.name,
        "backend": backend,
        "ranks": geometry.ranks,
        "threads": geometry.threads,
        "parameters": dict(parameters),
        "expect": dict(expect or {}),
    }
    if module is not None:
        document["module"] = {"file": module.file, "sha256": module.sha256}
    return json.dumps(document, indent=2) + "\n"


def program_of(model: Model) -> list[str]:
    """What every rank runs, inside the image, in the run's folder."""
    return ["python3", f"inside/{model.entry}", "parameters.json"]


def job_text(
    site: Site,
    run_id: str,
    folder: str,
    geometry: Geometry,
    settings: Sequence[Setting],
    launch: Sequence[str],
    after: Sequence[str] = (),
) -> str:
    """job.sh: for sbatch where the site has Slurm, else for sh."""
    lines = ["#!/bin/sh"]
    if site.scheduler.kind == "slurm":
        lines += [f"#SBATCH {option}" for option in sbatch_options(site, run_id, folder, geometry)]
    lines += [
        f"# Run {run_id}, written by imagefactory.",
        f"cd {shlex.quote(folder)} || exit 1",
        *launching_lines(site, settings, shlex.join(launch), after),
        *ENDING_LINES,
    ]
    return "\n".join(lines) + "\n"


def launching_lines(
    site: Site, settings: Sequence[Setting], launch: str, after: Sequence[str] = ()
) -> list[str]:
    """The lines of a job's script from its environment to `status`, in the run's folder."""
    versions = [f"{shlex.quote(site.apptainer)} --version"]
    if site.launcher.kind == "srun":
        versions += ["srun --version", "srun --mpi=list"]
    return [
        "export LC_ALL=C.UTF-8",
        *shell_lines(settings),
        f"{{ {'; '.join(versions)}; }} >output/site.txt 2>&1",
        launch,
        "status=$?",
        *after,
    ]


def sbatch_options(site: Site, run_id: str, folder: str, geometry: Geometry) -> list[str]:
    """The words after #SBATCH, one a line."""
    return [
        f"--job-name={run_id}",
        *_size_options(geometry),
        f"--time={site.scheduler.time_limit_minutes}",
        f"--chdir={folder}",
        f"--output={folder}/output/job.log",
        *_queue_options(site),
    ]


def batch_options(site: Site, run_id: str, geometry: Geometry, log: str) -> list[str]:
    """As `sbatch_options`, for a job that starts in a folder which is not known before."""
    return [
        f"--job-name={run_id}",
        *_size_options(geometry),
        f"--time={site.scheduler.time_limit_minutes}",
        f"--output={log}",
        *_queue_options(site),
    ]


def _size_options(geometry: Geometry) -> list[str]:
    options = [f"--nodes={geometry.nodes}", f"--ntasks={geometry.ranks}"]
    if geometry.ranks % geometry.nodes == 0:
        options.append(f"--ntasks-per-node={geometry.ranks // geometry.nodes}")
    return [*options, f"--cpus-per-task={geometry.threads}"]


def _queue_options(site: Site) -> list[str]:
    scheduler = site.scheduler
    options = ["--no-requeue"]  # a second start would write into the first one's results
    if scheduler.partition:
        options.append(f"--partition={scheduler.partition}")
    if scheduler.account:
        options.append(f"--account={scheduler.account}")
    return options


def parcel_of(model: Model, parameters: str, job: str) -> dict[str, str | Path]:
    """What is sent into the run's folder, by relative name."""
    inside = {f"inside/{path.name}": path for path in (*model.files, GUARD)}
    return {"parameters.json": parameters, "job.sh": job, **inside}
