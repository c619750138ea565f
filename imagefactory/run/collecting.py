"""From a job's end to the run's record: fetched, judged, kept. The same for every carrier."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from imagefactory.base.errors import FactoryError
from imagefactory.base.files import write_text
from imagefactory.base.report import Report
from imagefactory.model import find_model, read_spikes, write_spikes
from imagefactory.run.diagnosing import fabric_of
from imagefactory.run.facts import read_ranks, record_facts
from imagefactory.run.keeping import keep_failure, launcher_version, timed
from imagefactory.run.outcome import Ending, Outcome, judge
from imagefactory.run.record import RunRecord, write_record
from imagefactory.run.states import JobState


def collect(
    record: RunRecord, site: str, ending: Ending, fetch: Callable[[Path], None], report: Report
) -> RunRecord:
    """Fetch what the run wrote, judge it, write the record; raises unless it is FINISHED."""
    model = find_model(record.model)
    with report.step("fetch the results"), timed(record, "fetch_s"):
        output = _fetch(record, fetch)
    ranks = read_ranks(output)
    log = _keep_log(record, output)
    fabric = fabric_of(site)
    outcome = judge(
        ending, record.geometry["ranks"], ranks, log, _place(record, site), fabric
    )  # fmt: skip
    facts: dict[str, Any] = record_facts(model, ranks)
    timings = record.timings | facts.pop("timings")
    machine = record.machine | facts.pop("machine")
    record = replace(
        record, state=outcome.state, timings=timings, machine=machine,
        launcher=record.launcher | launcher_version(output),
        job=record.job | ({"word": ending.word} if ending.word else {}), **facts,
    )  # fmt: skip
    record, outcome = _keep_spikes(record, output, outcome)
    if outcome.error is None:
        write_record(record)
    else:
        keep_failure(record, outcome.state, outcome.error)
    shutil.rmtree(output.parent, ignore_errors=True)
    if outcome.error is not None:
        raise outcome.error
    return record


def _fetch(record: RunRecord, fetch: Callable[[Path], None]) -> Path:
    """The run's output folder, fetched beside its parameters; a temporary place."""
    place = Path(tempfile.mkdtemp(prefix=".fetch-", dir=record.folder))
    try:
        fetch(place / "output")
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.copy(record.folder / "parameters.json", place)
    (place / "output").mkdir(exist_ok=True)
    ranks = record.folder / "ranks"
    ranks.mkdir(exist_ok=True)
    for path in (place / "output").glob("rank-*.json"):
        shutil.copyfile(path, ranks / path.name)
    return place / "output"


def _keep_log(record: RunRecord, output: Path) -> str:
    path = output / "job.log"
    log = path.read_text("utf-8", "replace") if path.is_file() else ""
    write_text(record.folder / "log.txt", log)
    return log


def _keep_spikes(record: RunRecord, output: Path, outcome: Outcome) -> tuple[RunRecord, Outcome]:
    """The merged spikes of a finished run; spikes that are missing or damaged make it FAILED."""
    if outcome.state is not JobState.FINISHED:
        return record, outcome
    try:
        spikes = read_spikes(output.parent)
    except FactoryError as err:
        return replace(record, state=JobState.FAILED), Outcome(JobState.FAILED, err)
    write_spikes(spikes, record.folder / "spikes.npz")
    about = {"file": "spikes.npz", "digest": str(spikes.digest), "count": len(spikes)}
    return replace(record, spikes=about), outcome


def _place(record: RunRecord, site: str) -> str:
    job = f"job {record.job['id']}" if record.job.get("id") else record.id
    return f"{site}, {job}, log {record.folder / 'log.txt'}"
