"""Key by key: the replies of the double against those of a real UNICORE/X 11.1.

`tests/golden/unicore/recordings.json` is made from the recordings of the facts (key names, kinds of
values, where links lead, the job's log); `UPDATE_GOLDEN=1` makes it anew where they are at hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imagefactory.sandbox.unicore import FakeLogin, Outcome, Unicore, start_unicore
from imagefactory.sandbox.unicore.wire import Reply, Request
from tests.unit.sandbox.unicore_shape import comparable

if TYPE_CHECKING:
    from tests.conftest import Golden

TOP = Path(__file__).parents[3]
RECORDINGS = TOP.parent / "shared" / "facts" / "unicore-wire"
GOLDEN = TOP / "tests" / "golden" / "unicore" / "recordings.json"
# The embedded mode is no part of the double, but one reply was recorded there only.
WANTED = ("tsi-*.json", "emb-job-submitted.json")
# jobs?fields=status gave the plain list of many jobs: as tsi-jobs-list.
LEFT_OUT = {"tsi-jobs-fields"}


def recorded(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    body = document["json"] if "json" in document else document["text"]
    return comparable(document["status"], document["headers"], body)


def test_the_golden_file_is_that_of_the_recordings(golden: Golden) -> None:
    if not RECORDINGS.is_dir():
        pytest.skip("the recordings of the facts are not beside this checkout")
    paths = sorted(path for name in WANTED for path in RECORDINGS.glob(name))
    found = {path.stem: recorded(path) for path in paths if path.stem not in LEFT_OUT}
    golden.check("unicore/recordings.json", json.dumps(found, indent=1) + "\n")


def expected() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return document


@dataclass
class Client:
    """Asks the double without a socket; `seen` keeps what was compared."""

    unicore: Unicore
    login: FakeLogin
    recordings: dict[str, Any]
    seen: set[str]

    def ask(self, method: str, path: str, token: str | None = "", **more: Any) -> Reply:
        headers = {"accept": more.get("accept", "application/json")}
        if token is not None:
            headers["authorization"] = f"Bearer {token or self.unicore.token()}"
        body = more.get("body", b"")
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        path, _, query = path.partition("?")
        pairs = dict(pair.split("=") for pair in query.split("&") if pair)
        return self.unicore.service.handle(Request(method, path, pairs, headers, content))

    def compare(self, name: str, reply: Reply) -> Any:
        """Compare with a recording; returns the JSON of the reply."""
        text = b"".join(reply.body).decode()
        kind = reply.headers.get("content-type", "")
        document = json.loads(text) if kind == "application/json" and text else text
        names = {"X-Frame-Options", *reply.headers}  # the server adds these two to every reply
        if reply.length is not None and reply.status != 204:
            names.add("Content-Length")
        found, wanted = comparable(reply.status, names, document), self.recordings[name]
        assert set(found) == set(wanted), name
        for key in found:
            assert found[key] == wanted[key], f"{name}: {key}"
        self.seen.add(name)
        return document

    def same(self, name: str, method: str, path: str, token: str | None = "", **more: Any) -> Any:
        return self.compare(name, self.ask(method, f"/bookworm{path}", token, **more))

    def submit(self, **description: Any) -> str:
        reply = self.ask("POST", "/bookworm/rest/core/jobs", body=description)
        assert reply.status == 201
        return reply.headers["location"].partition("/bookworm")[2]

    def until(self, job: str, status: str) -> Reply:
        """Look again until the job has that status."""
        for _ in range(30):
            reply = self.ask("GET", f"/bookworm{job}")
            if json.loads(b"".join(reply.body))["status"] == status:
                return reply
        raise AssertionError(f"the job never was {status}")

    def states(self, prefix: str, job: str, *states: str) -> None:
        for state in states:
            self.compare(f"tsi-job-{prefix}-{state}", self.until(job, state))


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    def behave(step: str, command: str, _folder: Path) -> Outcome:
        if step == "pre":
            return Outcome(3 if command == "bash pre.sh" else 0, looks=2)
        return Outcome(7 if "exit 7" in command else 0, looks=9 if "25" in command else 3, queued=1)

    login = FakeLogin(tmp_path / "site", behave, user="scientist", group="scientist")
    with start_unicore(tmp_path, {"bookworm": login}, listen=False, grace=2) as unicore:
        yield Client(unicore, login, expected(), set())


CORE = "/rest/core"


def look_at_the_resources(client: Client) -> None:
    client.same("tsi-core", "GET", CORE)
    client.same("tsi-factories", "GET", f"{CORE}/factories")
    client.same("tsi-factory", "GET", f"{CORE}/factories/default_target_system_factory")
    client.same("tsi-storages", "GET", f"{CORE}/storages")
    client.same("tsi-registries", "GET", "/rest/registries")
    client.same("tsi-registry", "GET", "/rest/registries/default_registry")


def look_as_nobody(client: Client) -> None:
    callers = {
        "none": None,
        "unmapped": client.unicore.token("stranger"),
        "wrong-pw": "no.such.token",
    }
    for word, token in callers.items():
        client.same(f"tsi-auth-{word}-core", "GET", CORE, token)
        client.same(f"tsi-auth-{word}-jobs", "GET", f"{CORE}/jobs", token)
        client.same(f"tsi-auth-{word}-jobs-nosuch", "GET", f"{CORE}/jobs/nosuch", token)
        if token is not None:
            job = {"Executable": "date"}
            client.same(f"tsi-auth-{word}-post", "POST", f"{CORE}/jobs", token, body=job)


def run_a_good_job(client: Client) -> None:
    job = client.submit(
        **{"Name": "ok job", "Executable": "bash", "Arguments": ["run.sh", "a1"]},
        **{"User precommand": "echo PRE >> pre.out; ls > pre.ls", "Environment": {"FOO": "bar"}},
        Resources={"Runtime": 60, "Nodes": 1, "Queue": "batch"},
        Tags=["t-a", "campaign-1"],
        haveClientStageIn="true",
    )
    client.ask("GET", f"/bookworm{job}")
    client.states("ok", job, "READY")
    assert client.ask("POST", f"/bookworm{job}/actions/start", body={}).status == 204
    client.until(job, "QUEUED")
    client.states("ok", job, "QUEUED", "RUNNING", "STAGINGOUT", "SUCCESSFUL")
    client.same("tsi-jobs-list", "GET", f"{CORE}/jobs")
    client.same("tsi-jobs-tagged", "GET", f"{CORE}/jobs?tags=campaign-1")
    client.same("tsi-job-details", "GET", f"{job}/details")
    look_at_files(client, job)


def look_at_files(client: Client, job: str) -> None:
    storage = f"{CORE}/storages/{job.rpartition('/')[2]}-uspace"
    octets = "application/octet-stream"
    client.same("tsi-workdir-storage", "GET", storage)
    client.same("tsi-files-listing", "GET", f"{storage}/files/")
    client.same("tsi-file-stat", "GET", f"{storage}/files/stdout")
    client.same("tsi-file-404-json", "GET", f"{storage}/files/nosuch.txt")
    client.same("tsi-file-404-octet", "GET", f"{storage}/files/nosuch.txt", accept=octets)
    client.login.unreadable.add("stdout")
    client.same("tsi-file-unreadable-octet", "GET", f"{storage}/files/stdout", accept=octets)


def run_jobs_that_fail(client: Client) -> None:
    resources = {"Queue": "batch", "CPUsPerNode": 1, "Runtime": 600, "Nodes": 1}
    job = client.submit(Executable="/bin/sh", Arguments=["-c", "'exit 7'"], Resources=resources)
    client.states("mainfail", job, "READY", "QUEUED", "FAILED")
    job = client.submit(
        Executable="date", haveClientStageIn="true", **{"User precommand": "bash pre.sh"}
    )
    client.ask("GET", f"/bookworm{job}")
    client.states("prefail", job, "READY")
    client.ask("POST", f"/bookworm{job}/actions/start", body={})
    client.until(job, "QUEUED")
    client.states("prefail", job, "QUEUED", "FAILED")
    client.same("tsi-job-details-remote", "GET", f"{job}/details")


def abort_jobs(client: Client) -> None:
    job = client.submit(Executable="echo $$ > m.pid; sleep 25; echo m > main.out")
    client.until(job, "RUNNING")
    client.same("tsi-abort-reply", "POST", f"{job}/actions/abort", body={})
    client.states("abortmain", job, "RUNNING", "FAILED")
    assert len(client.login.cancelled) == 1
    command = "echo $$ > pre.pid; sleep 25; echo pre-done > pre.out"
    job = client.submit(Executable="echo main > main.out", **{"User precommand": command})
    client.until(job, "QUEUED")
    client.until(job, "QUEUED")
    client.ask("POST", f"/bookworm{job}/actions/abort", body={})
    client.states("abortpre", job, "QUEUED", "FAILED")


def run_on_the_login_node(client: Client) -> None:
    command = "sh -c 'sleep 8; echo done > bg.out' &"
    job = client.submit(Executable=command, **{"Job type": "ON_LOGIN_NODE"})
    client.states("login", job, "READY", "QUEUED", "RUNNING", "SUCCESSFUL")
    command = "setsid sh -c 'sleep 8; echo done > bg.out' > /dev/null 2>&1 < /dev/null &"
    job = client.submit(Executable=command, **{"Job type": "INTERACTIVE"})
    client.states("login", job, "STAGINGOUT")


def ask_for_what_is_not_there(client: Client) -> None:
    client.same("tsi-job-404", "GET", f"{CORE}/jobs/nosuchjob")
    client.same("tsi-post-malformed", "POST", f"{CORE}/jobs", body=b'{"foo" bar')
    job = client.submit(Executable="echo hi")
    client.same("emb-job-submitted", "GET", f"{job}/submitted")
    client.same("tsi-job-of-other-user", "GET", job, client.unicore.token("colleague"))
    assert client.ask("DELETE", f"/bookworm{job}").status == 204
    client.same("tsi-job-deleted-get", "GET", job)


def test_every_reply_is_as_recorded(client: Client) -> None:
    client.same("tsi-jobs-empty", "GET", f"{CORE}/jobs")
    look_at_the_resources(client)
    look_as_nobody(client)
    run_a_good_job(client)
    run_jobs_that_fail(client)
    abort_jobs(client)
    run_on_the_login_node(client)
    ask_for_what_is_not_there(client)
    assert client.seen == set(client.recordings)
