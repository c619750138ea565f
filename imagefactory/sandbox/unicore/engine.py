"""Drives the lives of all jobs of one site: one look at all processes, then one step for each."""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from imagefactory.base.errors import FactoryError
from imagefactory.base.report import Report
from imagefactory.sandbox.unicore.faults import FaultKind
from imagefactory.sandbox.unicore.jobs import (
    Job,
    Owner,
    Surroundings,
    abort,
    client_line,
    kill,
    live,
    live_again,
)
from imagefactory.sandbox.unicore.wire import now

LIFETIME = timedelta(days=30)
WORKERS = 8
_LETTERS = string.ascii_letters + string.digits


class Engine:
    """The jobs of one site. `turn` may be called by a thread or by whoever asks for a job."""

    def __init__(self, around: Surroundings, report: Report) -> None:
        self.around = around
        self._report = report
        self._jobs: dict[str, Job] = {}
        self._lives: dict[str, Iterator[None]] = {}
        self._lock = threading.RLock()
        self._turning = threading.Lock()
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="unicore")
        self._woken = threading.Event()
        self._ended = False

    def close(self) -> None:
        """Stop turning and the workers; what runs at the site goes on."""
        self._ended = True
        self._woken.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, document: dict[str, Any], owner: Owner) -> Job:
        """Take a job; its folder is made at once. Raises FactoryError if it cannot be made."""
        login = self.around.login
        key = "".join(secrets.choice(_LETTERS) for _ in range(11))
        job = Job(key, owner, document, f"{login.folder}{key}/")
        job.note("Created with type 'JSON'")
        job.note(client_line(owner, login))
        job.started = str(document.get("haveClientStageIn", "")).lower() != "true"
        job.termination = job.submitted + LIFETIME
        login.make_folder(job.folder)
        with self._lock:
            self._jobs[key] = job
            self._lives[key] = live(job, self.around)
        self._woken.set()
        return job

    def start(self, job: Job) -> None:
        """All files are uploaded: the job may go on."""
        job.started = True
        self._woken.set()

    def find(self, key: str) -> Job | None:
        """The job of that name."""
        with self._lock:
            return self._jobs.get(key)

    def jobs(self) -> list[Job]:
        """All jobs, the newest first."""
        with self._lock:
            return list(reversed(self._jobs.values()))

    def ask_abort(self, job: Job) -> None:
        """Note an abort; it is done at the next turn."""
        if not job.is_final and not self._drawn(job, FaultKind.ABORT_LOST):
            job.note("Got 'abort' request.")
            job.abort_asked = True
            self._woken.set()

    def restart(self, job: Job) -> None:
        """Begin a finished job anew; one that is not finished is left alone."""
        with self._lock:
            if job.is_final and job.id in self._jobs:
                self._lives[job.id] = live_again(job, self.around)
                job.status, job.abort_asked = "QUEUED", False
                self._woken.set()

    def remove(self, job: Job) -> None:
        """Forget a job; what runs of it is stopped, its folder is removed."""
        with self._lock:
            self._jobs.pop(job.id, None)
            self._lives.pop(job.id, None)
        with job.lock:
            if not job.is_final and job.batch_id is not None:
                self._quietly(job, lambda: kill(job, self.around.login))
            job.fail("destroyed")
        self._quietly(job, lambda: self.around.login.remove(job.folder))

    def run(self, pause: float) -> None:
        """Turn until `close`: every `pause` seconds, up to four times that when all is still."""
        wait = pause
        while not self._ended:
            self._woken.wait(wait)
            self._woken.clear()
            before = self._changes()
            self.turn(parallel=True)
            wait = pause if self._changes() != before else min(wait * 1.2, 4 * pause)

    def _changes(self) -> list[tuple[str, int, int]]:
        return [(job.status, len(job.log), job.waited) for job in self.jobs()]

    def turn(self, parallel: bool = False) -> None:
        """Look once at all that runs, and let every job go on as far as it can."""
        with self._turning:
            jobs = [job for job in self.jobs() if not self._over(job)]
            watched = [job for job in jobs if job.watch is not None]
            blind = self._look(watched) if watched else set()
            able = [job for job in jobs if job.id not in blind or job.abort_asked]
            if parallel and len(able) > 1:
                list(self._pool.map(self._advance, able))
            else:
                for job in able:
                    self._advance(job)

    def _look(self, jobs: list[Job]) -> set[str]:
        """Set what is seen of each; returns the jobs of which nothing could be learnt."""
        watches = [job.watch for job in jobs if job.watch is not None]
        try:
            seen = self.around.login.look(watches)
        except FactoryError as err:
            self._report.warn(f"the site gives no answer: {err.faults[0].what}")
            seen = {}
        for job in jobs:
            if job.id in seen:
                job.seen = seen[job.id]
        return {job.id for job in jobs if job.id not in seen}

    def _advance(self, job: Job) -> None:
        with job.lock:
            life = self._lives.get(job.id)
            if life is None:
                return
            try:
                if job.abort_asked:
                    abort(job, self.around.login)
                else:
                    next(life, None)
            except Exception as err:  # a defect of ours in one job must not stop the others
                job.fail(f"Processing failed: {err!r}")
                self._report.warn(f"job {job.id}: {err!r}")
            if job.is_final:
                self._lives.pop(job.id, None)

    def _over(self, job: Job) -> bool:
        """Remove a job whose lifetime is over, or that a fault takes away."""
        late = job.termination is not None and job.termination < now()
        if late or (not job.is_final and self._drawn(job, FaultKind.JOB_GONE)):
            self.remove(job)
            return True
        return job.is_final and job.id not in self._lives

    def _drawn(self, job: Job, kind: FaultKind) -> bool:
        return self.around.faults.draw(job.name, kind) is not None

    def _quietly(self, job: Job, work: Any) -> None:
        try:
            work()
        except FactoryError as err:
            self._report.warn(f"job {job.id}: {err.faults[0].what}")
