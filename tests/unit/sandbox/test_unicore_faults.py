"""Faults on demand: which requests are hit, and what arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from imagefactory.base.errors import ConfigurationFault, UsageFault
from imagefactory.sandbox.unicore import (
    FakeLogin,
    FaultKind,
    FaultPlan,
    Outcome,
    PlannedFault,
    Unicore,
    start_unicore,
)
from imagefactory.sandbox.unicore.faults import read_faults

SLOW = FaultKind.SLOW


def hits(plan: FaultPlan, count: int, subject: str = "GET /x") -> list[bool]:
    return [plan.draw(subject, SLOW) is not None for _ in range(count)]


def test_skip_and_times() -> None:
    plan = FaultPlan([PlannedFault(SLOW, skip=2, times=2)])
    assert hits(plan, 6) == [False, False, True, True, False, False]
    assert plan.fired[SLOW] == 2


def test_other_requests_do_not_count() -> None:
    plan = FaultPlan([PlannedFault(SLOW, on="POST", skip=1)])
    assert hits(plan, 3, "GET /x") == [False] * 3
    assert hits(plan, 2, "POST /x") == [False, True]


def test_for_ever() -> None:
    assert all(hits(FaultPlan([PlannedFault(SLOW, times=None)]), 50))


def test_a_seed_gives_the_same_faults_again() -> None:
    fault = PlannedFault(SLOW, times=None, chance=0.5)
    first, second, other = (hits(FaultPlan([fault], seed), 64) for seed in (7, 7, 8))
    assert first == second
    assert first != other
    assert 10 < sum(first) < 54


def test_faults_from_json_are_checked_all_at_once() -> None:
    document = {"faults": [{"kind": "slwo"}, {"on": "x", "tmes": 1}]}
    with pytest.raises(ConfigurationFault) as caught:
        read_faults(document, "faults")
    text = str(caught.value)
    for word in ("'slwo'", "slow", "'tmes'", "times", "'kind' is missing"):
        assert word in text
    with pytest.raises(ConfigurationFault, match="regular expression"):
        read_faults({"faults": [{"kind": "slow", "on": "("}]}, "faults")


def test_faults_go_through_json_unchanged() -> None:
    fault = PlannedFault(SLOW, on="x", skip=1, times=None, chance=0.25)
    document = json.loads(json.dumps(FaultPlan([fault], seed=3).document()))
    del document["fired"]
    assert read_faults(document, "faults") == ([fault], 3)


def test_a_wrong_pattern_is_told() -> None:
    with pytest.raises(UsageFault, match="no regular expression"):
        PlannedFault(SLOW, on="[")


@pytest.fixture
def unicore(tmp_path: Path) -> Iterator[Unicore]:
    def behave(step: str, _command: str, folder: Path) -> Outcome:
        (folder / "result.dat").write_text("0123456789" * 100)
        return Outcome(looks=2)

    login = FakeLogin(tmp_path / "site", behave)
    with start_unicore(tmp_path, {"bookworm": login}, listen=False, grace=2) as unicore:
        yield unicore


@pytest.fixture
def client(unicore: Unicore) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {unicore.token()}"}
    base = unicore.site_url("bookworm")
    with httpx.Client(transport=unicore.transport(), headers=headers, base_url=base) as client:
        yield client


def submit(client: httpx.Client, **description: object) -> str:
    reply = client.post("jobs", json={"Executable": "date", **description})
    assert reply.status_code == 201
    return str(reply.headers["location"])


def finish(client: httpx.Client, job: str) -> dict[str, object]:
    for _ in range(40):
        found: dict[str, object] = client.get(job).json()
        if found["status"] in {"SUCCESSFUL", "FAILED"}:
            return found
    raise AssertionError(found)


@pytest.mark.parametrize(
    ("kind", "status", "kind_of_body"),
    [
        ("session-gone", 432, ""),
        ("refused", 403, ""),
        ("unauthorised", 401, "application/json"),
        ("unavailable", 503, "application/json"),
        ("broken", 500, "application/json"),
        ("error-body", 500, "application/octet-stream"),
        ("error-page", 200, "text/html"),
    ],
)
def test_a_reply_in_place_of_the_answer(
    unicore: Unicore, client: httpx.Client, kind: str, status: int, kind_of_body: str
) -> None:
    unicore.faults.add(PlannedFault(FaultKind(kind), on="POST .*/jobs$"))
    reply = client.post("jobs", json={"Executable": "date"})
    assert reply.status_code == status
    assert reply.headers.get("content-type", "") == kind_of_body
    if kind_of_body == "application/json":
        assert reply.json()["status"] == status
    assert client.get("jobs").json()["jobs"] == []  # it was not carried out
    assert client.post("jobs", json={"Executable": "date"}).status_code == 201


def test_cut_does_nothing_and_a_lost_reply_does(unicore: Unicore, client: httpx.Client) -> None:
    for kind, jobs in ((FaultKind.CUT, 0), (FaultKind.LOST_REPLY, 1)):
        unicore.faults.set([PlannedFault(kind, on="POST .*/jobs$")])
        with pytest.raises(httpx.RemoteProtocolError):
            client.post("jobs", json={"Executable": "date"})
        assert len(client.get("jobs").json()["jobs"]) == jobs


def test_a_body_is_cut(unicore: Unicore, client: httpx.Client) -> None:
    job = submit(client)
    finish(client, job)
    unicore.faults.add(PlannedFault(FaultKind.CUT_BODY, on="GET .*/files/"))
    file = f"storages/{job.rpartition('/')[2]}-uspace/files/result.dat"
    octets = {"Accept": "application/octet-stream"}
    with pytest.raises(httpx.RemoteProtocolError):
        client.get(file, headers=octets)
    assert len(client.get(file, headers=octets).content) == 1000


def test_slow_is_later_than_a_client_waits(unicore: Unicore, client: httpx.Client) -> None:
    unicore.faults.add(PlannedFault(SLOW, on="GET .*/core/$", seconds=99))
    with pytest.raises(httpx.ReadTimeout):
        client.get("", timeout=5)
    assert client.get("", timeout=5).status_code == 200


def test_an_unknown_status_word(unicore: Unicore, client: httpx.Client) -> None:
    job = submit(client)
    unicore.faults.add(PlannedFault(FaultKind.UNKNOWN_STATUS, on="GET .*/jobs/"))
    assert client.get(job).json()["status"] == "SUSPENDED"
    assert client.get(job).json()["status"] != "SUSPENDED"


def test_a_precommand_that_fails(unicore: Unicore, client: httpx.Client) -> None:
    unicore.faults.add(PlannedFault(FaultKind.PRECOMMAND_FAILS, on="^unlucky$"))
    for name, status in (("lucky", "SUCCESSFUL"), ("unlucky", "FAILED")):
        job = submit(client, Name=name, **{"User precommand": "bash pre.sh"})
        assert finish(client, job)["status"] == status


def test_a_lost_exit_code(unicore: Unicore, client: httpx.Client) -> None:
    unicore.faults.add(PlannedFault(FaultKind.EXIT_CODE_LOST))
    found = finish(client, submit(client))
    assert found["status"] == "FAILED"
    assert "exitCode" not in found
    assert str(found["statusMessage"]).startswith("Job did not complete normally on BSS")


def test_an_abort_that_is_lost(unicore: Unicore, client: httpx.Client) -> None:
    unicore.faults.add(PlannedFault(FaultKind.ABORT_LOST))
    job = submit(client)
    client.get(job)
    assert client.post(f"{job}/actions/abort", json={}).status_code == 204
    assert finish(client, job)["status"] == "SUCCESSFUL"


def test_a_job_that_is_gone(unicore: Unicore, client: httpx.Client, tmp_path: Path) -> None:
    unicore.faults.add(PlannedFault(FaultKind.JOB_GONE, skip=2))
    job = submit(client)
    assert [client.get(job).status_code for _ in range(5)] == [200, 200, 200, 404, 404]
    assert not list((tmp_path / "site" / "jobs").iterdir())


def test_control_needs_its_secret(unicore: Unicore, client: httpx.Client) -> None:
    url = f"{unicore.service.base}/control/faults"
    assert client.get(url).status_code == 403
    headers = {"Authorization": f"Bearer {unicore.service.control.reveal()}"}
    body = {"seed": 5, "faults": [{"kind": "unavailable", "on": "GET .*/core/$"}]}
    assert client.put(url, json=body, headers=headers).json()["seed"] == 5
    assert client.get("").status_code == 503
    assert client.get(url, headers=headers).json()["fired"] == {"unavailable": 1}
    wrong = client.put(url, json={"faults": [{"kind": "nothing"}]}, headers=headers)
    assert wrong.status_code == 400
    assert "'nothing'" in wrong.json()["errorMessage"]
    assert client.delete(url, headers=headers).json()["faults"] == []
    counted = client.get(f"{unicore.service.base}/control/requests", headers=headers).json()
    assert counted == {"GET core": 1}
