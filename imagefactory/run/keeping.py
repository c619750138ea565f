"""How a run's record grows while the run goes on, and how a failure gets into it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed
from imagefactory.launch import Verdict
from imagefactory.run.plan import RunPlan
from imagefactory.run.record import RunRecord, read_record, runs_folder, write_record
from imagefactory.run.staging import Staged
from imagefactory.run.states import JobState


def new_record(plan: RunPlan) -> RunRecord:
    """The record of a run that has not begun."""
    image = plan.image
    manifest = image.pinned.digest if image.pinned else None
    geometry = plan.geometry
    return RunRecord(
        id=plan.id,
        state=JobState.PREPARED,
        site=plan.site.name,
        model=plan.model.name,
        backend=plan.backend,
        image={
            "reference": image.reference,
            "manifest": str(manifest) if manifest else None,
            "sif": str(image.sif),
            "size": image.size,
            "verified": None,
            "path": image.path,
        },
        geometry={
            "nodes": geometry.nodes,
            "ranks": geometry.ranks,
            "threads": geometry.threads,
            "virtual_processes": geometry.virtual_processes,
        },
        parameters=dict(plan.parameters),
        model_code=str(plan.model.code),
        module=_module(plan),
        launcher={
            "name": plan.site.launcher.kind,
            "plugin": plan.site.launcher.plugin or None,
            "argv": list(plan.launch),
            "environment": {setting.name: setting.value for setting in plan.settings},
            "preflight": _preflight(plan),
        },
        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        job={"folder": plan.folder},
        folder=runs_folder() / plan.id,
    )


def _module(plan: RunPlan) -> dict[str, Any] | None:
    """What the run loads besides NEST's own models, and what it was made of."""
    if plan.module is None:
        return None
    module = plan.module
    return {
        "file": module.file,
        "sha256": module.sha256,
        "models": list(module.models),
        "source": module.source["sha256"],
        "versions": dict(module.versions),
    }


def _preflight(plan: RunPlan) -> dict[str, Any] | None:
    """The verdict before the run: what failed or warned, and whether the user went on by force."""
    if plan.preflight is None:
        return None
    failed = plan.preflight.verdict is Verdict.FAIL
    return {
        "verdict": str(plan.preflight.verdict),
        "told": plan.preflight.brief[1:],
        "forced": plan.force and failed,
    }


def with_staged(record: RunRecord, plan: RunPlan, staged: Staged) -> RunRecord:
    """The record with what stage one found on the site."""
    commands = [["stage_one.sh", *plan.stage_arguments]] if plan.stage_arguments else []
    slurm_site = plan.site.scheduler.kind == "slurm"
    commands.append(["sbatch", "--parsable", "job.sh"] if slurm_site else ["sh", "job.sh"])
    commands.append(list(plan.launch))
    return replace(
        record,
        image=record.image | {"verified": staged.sif},
        machine={"apptainer": staged.apptainer or None},
        launcher=record.launcher | ({"version": staged.slurm} if staged.slurm else {}),
        commands=commands,
    )


def launcher_version(output: Path) -> dict[str, Any]:
    """What the compute node itself said of srun, in job.sh."""
    path = output / "site.txt"
    lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
    said = [line.removeprefix("slurm ") for line in lines if line.startswith("slurm ")]
    return {"version": said[0]} if said else {}


@contextmanager
def timed(record: RunRecord, name: str) -> Iterator[None]:
    """Put the seconds that the block takes into the record's timings."""
    began = time.monotonic()
    try:
        yield
    finally:
        record.timings[name] = round(time.monotonic() - began, 3)


@contextmanager
def failures_kept(record: RunRecord) -> Iterator[None]:
    """Before an error leaves, the record says it; what was written later is not written over."""
    try:
        yield
    except FactoryError as err:
        latest = read_record(record.folder)
        # A site that is away after the job was submitted: the run goes on there, see `resume`.
        waiting = isinstance(err, ServiceAway) and latest.job.get("id")
        if latest.failure is None and not waiting:
            keep_failure(latest, JobState.FAILED, err)
        raise
    except KeyboardInterrupt:
        latest = read_record(record.folder)
        keep_failure(latest, JobState.CANCELLED, ToolFailed("stopped by the user"))
        raise


def keep_failure(record: RunRecord, state: JobState, error: FactoryError) -> None:
    """Write the record with its final state and what went wrong."""
    first = error.faults[0]
    more = [str(fault) for fault in error.faults[1:]]
    failure = {"what": first.what, "where": first.where, "fix": first.fix}
    if error.detail or more:
        failure["detail"] = "\n".join([*more, error.detail]).strip()
    write_record(replace(record, state=state, failure=failure))
