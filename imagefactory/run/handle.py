"""The verbs `run` and `runs` for Python: a handle on a run that goes on without us."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import ToolFailed, UsageFault
from imagefactory.base.report import Console, Report
from imagefactory.model import BACKEND
from imagefactory.run.description import Mode
from imagefactory.run.execute import execute
from imagefactory.run.job import Via
from imagefactory.run.later import cancel, fetch, resume
from imagefactory.run.plan import plan_run
from imagefactory.run.record import RunRecord, list_records, read_record
from imagefactory.run.states import JobState

if TYPE_CHECKING:
    from imagefactory.model import Spikes


def console() -> Report:
    """Progress as text: to standard output in a notebook, where errors are red, else to standard
    error."""
    return Console(stream=sys.stdout if "ipykernel" in sys.modules else None)


@dataclass(frozen=True)
class RunHandle:
    """A run by its id. All that is known of it stands in its record, so a handle of the same id may
    be made anew, in another process or on another day: `open_run(id)`."""

    id: str
    report: Report = field(default_factory=console, repr=False, compare=False)

    @property
    def record(self) -> RunRecord:
        """What is known now; asks nothing of the site."""
        return read_record(self.id)

    @property
    def state(self) -> JobState:
        """Where the run was when its record was last written."""
        return JobState(self.record.state)

    def wait(self) -> RunRecord:
        """Go on with the run to its end: wait, fetch, judge. Returns its record if it FINISHED.

        Raises FactoryError for every other end, also for one that was reached before. To interrupt
        it cancels the job, as Ctrl-C does.
        """
        return self._ended() or resume(self.id, self.report)

    def fetch(self) -> RunRecord:
        """As `wait`, but raises UsageFault where the job is not over."""
        return self._ended() or fetch(self.id, self.report)

    def cancel(self) -> RunRecord:
        """Cancel the job. Raises UsageFault for a run that is over."""
        return cancel(self.id, self.report)

    def spikes(self) -> Spikes:
        """The spikes of all ranks. Raises UsageFault unless the run has FINISHED."""
        from imagefactory.model import load_spikes

        record = self.record
        if record.spikes is None:
            raise UsageFault(f"the run is {record.state}: it has no spikes", where=record.id)
        return load_spikes(record.folder / str(record.spikes["file"]))

    def __str__(self) -> str:
        return f"{self.id} {self.state}"

    def _ended(self) -> RunRecord | None:
        record = self.record
        if not JobState(record.state).is_final:
            return None
        if record.state != JobState.FINISHED:
            failure = record.failure or {}
            raise ToolFailed(
                failure.get("what", f"the run is {record.state}"),
                where=failure.get("where", record.id),
                fix=failure.get("fix", ""),
                detail=failure.get("detail", ""),
            )
        return record


def start(
    image: str,
    *,
    site: str,
    model: str = "balanced-random",
    backend: str = BACKEND,
    ranks: int = 2,
    threads: int = 1,
    nodes: int | None = None,
    seed: int | None = None,
    parameters: Mapping[str, Any] | None = None,
    via: str | None = None,
    mode: str = "batch",
    force: bool = False,
    report: Report | None = None,
) -> RunHandle:
    """`imagefactory run` with `--detach`: start a run, and return when it goes on without us.

    The arguments are the verb's options; `parameters` are the model's. On a site without a queue
    (`here`) the run is over when this returns. Raises FactoryError where it cannot be started.
    """
    report = report or console()
    overrides = dict(parameters or {}) | ({} if seed is None else {"seed": seed})
    plan = plan_run(
        image, site, model, report=report, via=Via(via) if via else None,
        ranks=ranks, threads=threads, nodes=nodes, overrides=overrides, backend=backend,
        force=force,
    )  # fmt: skip
    execute(plan, report, Mode(mode), detach=plan.site.scheduler.kind != "none")
    return RunHandle(plan.id, report)


def open_run(run: str, report: Report | None = None) -> RunHandle:
    """The handle of a run that another process began. Raises UsageFault for an unknown one."""
    return RunHandle(read_record(run).id, report or console())


def list_runs() -> list[RunHandle]:
    """Handles of all runs, oldest first."""
    return [RunHandle(record.id) for record in list_records()]
