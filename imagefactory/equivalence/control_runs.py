"""The runs of the controls: made once by the ordinary way on this machine, then kept."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.base.files import digest_of, digest_of_text, locked
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Report, Silent
from imagefactory.equivalence.controls import MODEL, Ensemble, key_of
from imagefactory.model import find_model, resolve_parameters
from imagefactory.run import RunRecord, execute, plan_run, read_record

if TYPE_CHECKING:
    import numpy.typing as npt

    from imagefactory.model import Spikes

SITE = "here"


@dataclass(frozen=True)
class Task:
    """One run that is to be there: its key in the cache, and what it is."""

    key: str
    ensemble: Ensemble
    seed: int


class RunCache:
    """Runs of one image a backend, kept in a folder of the cache by all that decides their spikes.

    What the model's files decide is told by a probe: a tiny run of the same parameters. Files that
    changed and give the probe's spikes as before keep the runs.
    """

    def __init__(self, images: Mapping[str, Path], folder: Path | None = None) -> None:
        self.images = images  # by backend
        self.folder = folder or ordinary_cache() / "controls"
        self.model = find_model(MODEL)
        self.sifs = {backend: str(digest_of(image)) for backend, image in images.items()}
        files = "".join(str(digest_of(path)) for path in self.model.files)
        self.files = str(digest_of_text(files))

    def probes(self, ensembles: Sequence[Ensemble]) -> list[Task]:
        """The probe of each ensemble, each once."""
        probes = [self._task(ensemble.probe, 1, self.files) for ensemble in ensembles]
        return list({task.key: task for task in probes}.values())

    def tasks(self, ensembles: Sequence[Ensemble]) -> list[Task]:
        """Every run of these ensembles, each once; their probes must be there."""
        found: dict[str, Task] = {}
        for ensemble in ensembles:
            probe = self._task(ensemble.probe, 1, self.files)
            seal = str((read_record(self._place(probe).parent).spikes or {}).get("digest"))
            tasks = [self._task(ensemble, seed, seal) for seed in ensemble.seeds]
            found.update((task.key, task) for task in tasks)
        return list(found.values())

    def missing(self, tasks: Sequence[Task]) -> list[Task]:
        """Those whose runs are still to be made."""
        return [task for task in tasks if not self._place(task).is_file()]

    def count(self, ensembles: Sequence[Ensemble]) -> tuple[int, int]:
        """How many runs are to be made, at most, and how many there are to be."""
        probes = self.probes(ensembles)
        unknown = len(self.missing(probes))
        if unknown:
            runs = sum(each.count for each in {id(each): each for each in ensembles}.values())
            return unknown + runs, len(probes) + runs
        tasks = self.tasks(ensembles)
        return len(self.missing(tasks)), len(probes) + len(tasks)

    def read(self, ensemble: Ensemble) -> list[RunRecord]:
        """The runs of an ensemble, by seed; all must be there."""
        return [read_record(self._place(task).parent) for task in self.tasks([ensemble])]

    def fill(self, ensembles: Sequence[Ensemble], report: Report) -> None:
        """Make the runs that are missing, as many at a time as there are cores."""
        with locked(self.folder / "lock"):
            self._make_all(self.probes(ensembles), "probes of the model", report)
            self._make_all(self.tasks(ensembles), "runs of controls", report)

    def _make_all(self, tasks: Sequence[Task], what: str, report: Report) -> None:
        missing, done = self.missing(tasks), 0
        for width in sorted({_width(task) for task in missing}):
            chosen = [task for task in missing if _width(task) == width]
            with ThreadPoolExecutor(max(1, (cpu_count() or 1) // width)) as workers:
                for _ in workers.map(self._make, chosen):
                    done += 1
                    report.progress(what, done, len(missing), unit="runs")

    def _task(self, ensemble: Ensemble, seed: int, model: str) -> Task:
        parameters = resolve_parameters(self.model, ensemble.overrides(seed))
        sif = self.sifs[ensemble.backend]
        return Task(key_of(sif, model, ensemble, parameters), ensemble, seed)

    def _make(self, task: Task) -> None:
        ensemble = task.ensemble
        plan = plan_run(
            str(self.images[ensemble.backend]), SITE, MODEL, report=Silent(),
            ranks=ensemble.ranks, threads=ensemble.threads,
            overrides=ensemble.overrides(task.seed), backend=ensemble.backend,
        )  # fmt: skip
        self.keep(execute(plan, Silent()), task)

    def keep(self, record: RunRecord, task: Task) -> None:
        """Take a finished run into the cache: whole or not at all."""
        place = self._place(task).parent
        if place.exists():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        coming = place.with_name(f".{place.name}-{record.id}")
        shutil.move(record.folder, coming)
        coming.rename(place)

    def _place(self, task: Task) -> Path:
        return self.folder / task.key / "record.json"


def _width(task: Task) -> int:
    return task.ensemble.ranks * task.ensemble.threads


def change_runs(runs: Sequence[RunRecord], change: str, folder: Path) -> list[RunRecord]:
    """The same runs, each changed after the fact and written below `folder`."""
    return [CHANGES[change](run, folder / run.id) for run in runs]


def _with_spikes(
    make: Callable[[Spikes], tuple[npt.NDArray[Any], npt.NDArray[Any]]],
    record: RunRecord,
    folder: Path,
) -> RunRecord:
    """A record of other spikes, with their digest: nothing but the spikes tells."""
    import numpy as np

    from imagefactory.model import load_spikes, write_spikes

    spikes = load_spikes(record.folder / "spikes.npz")
    neuron, step = make(spikes)
    order = np.lexsort((neuron, step))
    changed = replace(spikes, neuron=neuron[order], step=step[order])
    folder.mkdir(parents=True)
    write_spikes(changed, folder / "spikes.npz")
    return _told(record, folder, {"digest": str(changed.digest), "count": len(changed)})


def _told(record: RunRecord, folder: Path, spikes: Mapping[str, Any], **changed: Any) -> RunRecord:
    told = {**(record.spikes or {}), **spikes}
    return replace(record, id=f"{record.id}-changed", folder=folder, spikes=told, **changed)


def _shift(spikes: Spikes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    kept = spikes.step < round(spikes.duration_ms / spikes.dt_ms)
    return spikes.neuron[kept], spikes.step[kept] + 1


def _swap(spikes: Spikes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    import numpy as np

    # The two busiest: they have spikes to be told apart by.
    first, second = np.argsort(np.bincount(spikes.neuron, minlength=spikes.size))[-2:]
    names = np.arange(spikes.size)
    names[[first, second]] = second, first
    return names[spikes.neuron], spikes.step


def _empty(spikes: Spikes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return spikes.neuron[:0], spikes.step[:0]


def _truncate(spikes: Spikes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    kept = spikes.step * spikes.dt_ms <= spikes.duration_ms / 2
    return spikes.neuron[kept], spikes.step[kept]


def _cut_file(record: RunRecord, folder: Path) -> RunRecord:
    folder.mkdir(parents=True)
    whole = (record.folder / "spikes.npz").read_bytes()
    (folder / "spikes.npz").write_bytes(whole[: len(whole) // 2])
    return _told(record, folder, {})


def _hide_compression(record: RunRecord, folder: Path) -> RunRecord:
    """The record says what a run with the guard says; folder and spikes stay."""
    return _told(
        record, record.folder, {},
        network={**record.network, "use_compressed_spikes": False},
        parameters={**record.parameters, "delivery_guard": True},
    )  # fmt: skip


CHANGES: Mapping[str, Callable[[RunRecord, Path], RunRecord]] = {
    "shift": partial(_with_spikes, _shift),
    "swap": partial(_with_spikes, _swap),
    "empty": partial(_with_spikes, _empty),
    "truncate": partial(_with_spikes, _truncate),
    "cut file": _cut_file,
    "hide compression": _hide_compression,
}
