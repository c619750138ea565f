"""What goes to the site for a run: its parameters, and the script that starts it. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagefactory.model import Model
from imagefactory.site import Setting, Site, shell_lines

SCHEMA = 1
BACKEND = "nest"


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


def parameters_text(model: Model, geometry: Geometry, parameters: Mapping[str, Any]) -> str:
    """parameters.json, which every rank reads."""
    document = {
        "schema": SCHEMA,
        "model": model.name,
        "backend": BACKEND,
        "ranks": geometry.ranks,
        "threads": geometry.threads,
        "parameters": dict(parameters),
    }
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
) -> str:
    """job.sh: for sbatch where the site has Slurm, else for sh."""
    versions = [f"{shlex.quote(site.apptainer)} --version"]
    if site.launcher.kind == "srun":
        versions += ["srun --version", "srun --mpi=list"]
    lines = ["#!/bin/sh"]
    if site.scheduler.kind == "slurm":
        lines += [f"#SBATCH {option}" for option in sbatch_options(site, run_id, folder, geometry)]
    lines += [
        f"# Run {run_id}, written by imagefactory.",
        f"cd {shlex.quote(folder)} || exit 1",
        "export LC_ALL=C.UTF-8",
        *shell_lines(settings),
        f"{{ {'; '.join(versions)}; }} >output/site.txt 2>&1",
        shlex.join(launch),
        "status=$?",
        # Last of all, and whole: who sees this file knows that the job is over.
        'echo "$status" >output/.exit-status && mv output/.exit-status output/exit-status',
        'exit "$status"',
    ]
    return "\n".join(lines) + "\n"


def sbatch_options(site: Site, run_id: str, folder: str, geometry: Geometry) -> list[str]:
    """The words after #SBATCH, one a line."""
    scheduler = site.scheduler
    options = [
        f"--job-name={run_id}",
        f"--nodes={geometry.nodes}",
        f"--ntasks={geometry.ranks}",
        f"--cpus-per-task={geometry.threads}",
        f"--time={scheduler.time_limit_minutes}",
        f"--chdir={folder}",
        f"--output={folder}/output/job.log",
        "--no-requeue",  # a second start would write into the first one's results
    ]
    if geometry.ranks % geometry.nodes == 0:
        options.insert(3, f"--ntasks-per-node={geometry.ranks // geometry.nodes}")
    if scheduler.partition:
        options.append(f"--partition={scheduler.partition}")
    if scheduler.account:
        options.append(f"--account={scheduler.account}")
    return options


def parcel_of(model: Model, parameters: str, job: str) -> dict[str, str | Path]:
    """What is sent into the run's folder, by relative name."""
    inside = {f"inside/{path.name}": path for path in model.files}
    return {"parameters.json": parameters, "job.sh": job, **inside}
