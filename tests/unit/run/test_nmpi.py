"""A run on a job queue: our runner against the double, without a socket, with every fault."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused, UsageFault
from imagefactory.base.http import open_client
from imagefactory.base.process import Done, Runner
from imagefactory.base.report import Silent
from imagefactory.base.tokens import TokenRefused, TokenSource, read_token
from imagefactory.base.values import Secret
from imagefactory.model import load_spikes
from imagefactory.run import read_record
from imagefactory.run.nmpi import Nmpi
from imagefactory.run.nmpi_plan import NmpiPlan, plan_nmpi
from imagefactory.run.nmpi_run import (
    NAME,
    Line,
    cancel_job,
    execute_on_queue,
    fetch_job,
    resume_job,
)
from imagefactory.run.record import RunRecord, list_records
from imagefactory.sandbox.nmpi import Provider
from imagefactory.sandbox.nmpi.jobs import TEST_QUOTAS
from imagefactory.sandbox.nmpi.service import Service
from imagefactory.sandbox.nmpi.starting import start_here
from imagefactory.sandbox.unicore.faults import FaultKind, FaultPlan, PlannedFault
from imagefactory.sandbox.unicore.issuer import Issuer
from imagefactory.sandbox.unicore.wire import Request
from imagefactory.site import JobQueue

SMALL = {"dt_ms": "1", "n_exc": "40", "n_inh": "10", "duration_ms": "20", "warmup_ms": "0"}
STEPS = np.array([3, 5, 9])


def output_tar() -> bytes:
    """What a job leaves: one rank's file and its spikes."""
    spikes = io.BytesIO()
    np.savez(spikes, neuron=np.array([0, 41, 4]), step=STEPS)
    rank = {
        "rank": 0, "size": 1, "host": "board", "pid": 1, "state": "finished",
        "versions": {"spynnaker": "unknown"},
        "populations": [
            {"name": "excitatory", "first": 0, "size": 40},
            {"name": "inhibitory", "first": 40, "size": 10},
        ],
        "spikes": 3, "guard": {"faults": []},
    }  # fmt: skip
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in (
            ("rank-board-1.json", json.dumps(rank).encode()),
            ("spikes-0.npz", spikes.getvalue()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


class FakeRunner(Runner):
    """In place of the job's program: leaves what `status` and `lies` say."""

    status = 0
    lies = False

    def run(self, *argv: str | Path, **given: Any) -> Done:
        place: Path = given["cwd"]
        compile((place / "run.py").read_text("utf-8"), "run.py", "exec")
        content = output_tar()
        digest = hashlib.sha256(content).hexdigest()
        log = f"imagefactory: run X, system {argv[-1]}\n"
        log += f"imagefactory: output {len(content)} sha256:{digest}\n"
        (place / NAME).write_bytes(b"x" * len(content) if self.lies else content)
        return Done((), self.status, log, "Traceback: no board\n" if self.status else "", 0.0)


@dataclass
class World:
    service: Service
    provider: Provider
    runner: FakeRunner
    plan: NmpiPlan
    turns: bool = True
    report: Silent = field(default_factory=Silent)

    def answer(self, asked: httpx.Request) -> httpx.Response:
        pairs = tuple(asked.url.params.multi_items())
        request = Request(
            asked.method, asked.url.path, dict(pairs), dict(asked.headers), asked.read(), pairs
        )
        if asked.url.path.startswith("/services/"):
            assert "authorization" not in asked.headers  # our token goes to the queue alone
        reply = self.service.handle(request)
        if reply.hang_up or reply.send_at_most is not None:
            raise httpx.RemoteProtocolError("Server disconnected", request=asked)
        return httpx.Response(
            reply.status, headers=dict(reply.headers), content=b"".join(reply.body)
        )

    def line(self, lifetime: int | None = None, user: str = "scientist") -> Line:
        text = self.service.issuer.token(user, lifetime)
        tokens = TokenSource(lambda: read_token(text, "test"), clock=lambda: 0)
        transport = httpx.MockTransport(self.answer)
        nmpi = Nmpi(self.plan.queue, tokens, lambda: open_client(transport, follow_redirects=False))
        return Line(nmpi, self._sleep)

    def _sleep(self, _seconds: float) -> None:
        if self.turns:
            self.provider.turn()

    def run(self, *faults: PlannedFault, **more: Any) -> RunRecord:
        self.service.faults.set(faults)
        return execute_on_queue(self.plan, self.report, line=self.line(), **more)

    @property
    def posts(self) -> int:
        return len(self.service.store.jobs)


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "work").mkdir()
    keys = {name: Secret(f"key of {name}") for name in TEST_QUOTAS}
    issuer = Issuer("https://nmpi.test")
    service = Service("https://nmpi.test", issuer, FaultPlan(), keys, tmp_path / "output")
    runner = FakeRunner()
    provider = Provider(service, tmp_path / "work", runner, start_here(runner))
    queue = JobQueue("nmpi-double", "https://nmpi.test", double=True)
    plan = plan_nmpi("nmpi", "balanced-random", "demo", SMALL)
    plan = NmpiPlan(plan.id, queue, plan.collab, plan.model, plan.parameters)
    return World(service, provider, runner, plan)


def test_a_run_says_what_really_ran(world: World) -> None:
    record = world.run()
    assert (record.state, record.backend, record.site) == (
        "FINISHED", "spinnaker-emulated", "nmpi-double",
    )  # fmt: skip
    assert record.job["usage"]["units"] == "core-hours"
    assert record.job["provenance"]["system"] == "spinnaker-emulated"
    assert record.versions["spynnaker"] == "unknown"
    assert "no SpiNNaker took part" in (record.folder / "log.txt").read_text()
    assert list(load_spikes(record.folder / "spikes.npz").step) == list(STEPS)
    assert read_record(record.id) == record
    assert any("DOUBLE" in line for line in world.plan.lines())


@pytest.mark.parametrize(
    "kind", [FaultKind.LOST_REPLY, FaultKind.CUT, FaultKind.UNAVAILABLE, FaultKind.BROKEN]
)
def test_a_submission_is_never_made_twice(world: World, kind: FaultKind) -> None:
    assert world.run(PlannedFault(kind, "POST /jobs/")).state == "FINISHED"
    assert world.posts == 1


@pytest.mark.parametrize(
    ("kind", "on"),
    [
        (FaultKind.UNAVAILABLE, "GET /jobs/"),
        (FaultKind.ERROR_PAGE, "GET /jobs/"),
        (FaultKind.CUT_BODY, "GET /jobs/"),
        (FaultKind.UNKNOWN_STATUS, r"GET /jobs/\d"),
        (FaultKind.CUT_BODY, "GET /services/"),
        (FaultKind.BROKEN, "GET /services/"),
        (FaultKind.UNAVAILABLE, "GET /collabs/"),
    ],
)
def test_what_passes_is_waited_for(world: World, kind: FaultKind, on: str) -> None:
    assert world.run(PlannedFault(kind, on, times=2)).state == "FINISHED"
    assert world.service.faults.fired[kind] == 2


def fails(call: Callable[[], object], kind: type[FactoryError], words: str) -> str:
    with pytest.raises(kind, match=words) as caught:
        call()
    return str(caught.value) + caught.value.detail


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (FaultKind.OUTPUT_GONE, ToolFailed, "dead"),
        (FaultKind.OUTPUT_ELSEWHERE, TrustRefused, "linked to a place"),
        (FaultKind.OUTPUT_FILE, TrustRefused, "linked to a place"),
        (FaultKind.OUTPUT_CLIMBS, TrustRefused, "climbs out"),
        (FaultKind.PROVIDER_FAILS, ToolFailed, "error at its provider"),
    ],
)
def test_bad_output_ends_the_run(
    world: World, fault: FaultKind, kind: type[FactoryError], words: str
) -> None:
    text = fails(lambda: world.run(PlannedFault(fault)), kind, words)
    [record] = list_records()
    assert record.state == "FAILED"
    assert record.failure is not None
    assert record.spikes is None
    if fault is FaultKind.PROVIDER_FAILS:
        assert "the board did not boot" in text


def test_output_that_is_not_the_programs_is_refused(world: World) -> None:
    world.runner.lies = True
    fails(world.run, TrustRefused, "not the output")


def test_a_program_that_fails_is_told_with_its_log(world: World) -> None:
    world.runner.status = 1
    assert "Traceback: no board" in fails(world.run, ToolFailed, "error at its provider")


def test_a_job_on_the_virtual_board_is_no_run(world: World) -> None:
    """As from a provider that has no board, and takes no wish for the emulation."""
    real = JobQueue("nmpi-double", "https://nmpi.test", double=False)
    world.plan = replace(world.plan, queue=real)
    fails(world.run, ToolFailed, "virtual board: nothing was simulated")
    [record] = list_records()
    assert (record.state, record.backend) == ("FAILED", "spinnaker")
    assert record.job["provenance"]["board"] == "virtual"
    assert record.spikes is None


def test_nothing_is_submitted_where_it_would_be_refused(world: World) -> None:
    wrong = NmpiPlan(world.plan.id, world.plan.queue, "demos", world.plan.model, {"frozen": True})
    right, world.plan = world.plan, wrong
    assert "demo" in fails(world.run, UsageFault, "may not submit")
    world.plan = right
    quota = world.service.store.quota("demo", "SpiNNaker", "scientist")
    assert quota is not None
    quota.usage = quota.limit
    fails(world.run, ToolFailed, "quota of demo is used up")
    dead = world.line(lifetime=-5)
    fails(lambda: execute_on_queue(right, world.report, line=dead), TokenRefused, "does not accept")
    assert world.posts == 0
    assert list_records() == []


def test_a_quota_that_another_used_up_meanwhile(world: World) -> None:
    nmpi = world.line().nmpi
    quota = world.service.store.quota("demo", "SpiNNaker", "scientist")
    assert quota is not None
    quota.usage = quota.limit
    body = {"code": "import a", "collab": "demo", "hardware_platform": "SpiNNaker"}
    fails(lambda: nmpi.submit(body), ToolFailed, "quota is used up")
    fails(lambda: nmpi.submit(body | {"collab": "x"}), UsageFault, "do not have access")


def test_a_run_is_gone_on_with_where_its_client_ended(world: World) -> None:
    world.turns = False
    away = PlannedFault(FaultKind.UNAVAILABLE, r"GET /jobs/\d", times=None)
    fails(lambda: world.run(away), ServiceAway, "away")
    [record] = list_records()
    world.service.faults.clear()
    fails(lambda: fetch_job(record, world.report, world.line()), UsageFault, "not over")
    world.turns = True
    assert resume_job(record, world.report, world.line()).state == "FINISHED"
    assert world.posts == 1


def test_a_client_that_died_while_it_submitted(world: World) -> None:
    lost = PlannedFault(FaultKind.LOST_REPLY, "POST /jobs/", times=None)
    away = PlannedFault(FaultKind.UNAVAILABLE, "GET /jobs/$", times=None)
    fails(lambda: world.run(lost, away), ServiceAway, "away")
    [record] = list_records()
    assert "id" not in record.job
    world.service.faults.clear()
    assert resume_job(record, world.report, world.line()).state == "FINISHED"
    assert world.posts == 1


def test_cancelling_takes_the_job_off_the_queue(world: World) -> None:
    record = world.run(detach=True)
    assert cancel_job(record, world.report, world.line()).state == "CANCELLED"
    [job] = world.service.store.jobs.values()
    assert job.status == "removed"


def test_a_job_that_somebody_removed(world: World) -> None:
    record = world.run(detach=True)
    [job] = world.service.store.jobs.values()
    job.status = "removed"
    fails(lambda: resume_job(record, world.report, world.line()), ToolFailed, "was removed")
    assert read_record(record.id).state == "CANCELLED"


def test_what_a_board_cannot_do_is_said_before(world: World) -> None:
    fails(
        lambda: plan_nmpi("nmpi", "balanced-random", "demo", {"dt_ms": "0.1"}), UsageFault, "1 ms"
    )
    fails(lambda: plan_nmpi("nmpy", "balanced-random", "demo", SMALL), UsageFault, "no job queue")


def test_a_program_that_no_queue_takes(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagefactory.run.nmpi_plan.CODE_BYTES", 1000)
    fails(world.run, UsageFault, "a queue takes")
    assert world.posts == 0
