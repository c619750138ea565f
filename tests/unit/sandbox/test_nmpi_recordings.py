"""Key by key: the replies of the NMPI double against those of the real service (59c92ce).

`tests/golden/nmpi/recordings.json` is made from the recordings of the facts; `UPDATE_GOLDEN=1`
makes it anew where they are at hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imagefactory.base.values import Secret
from imagefactory.sandbox.nmpi.jobs import TEST_QUOTAS
from imagefactory.sandbox.nmpi.service import Service
from imagefactory.sandbox.unicore.faults import FaultPlan
from imagefactory.sandbox.unicore.issuer import Issuer
from imagefactory.sandbox.unicore.wire import Reply, Request

if TYPE_CHECKING:
    from tests.conftest import Golden

TOP = Path(__file__).parents[3]
RECORDINGS = TOP.parent / "shared" / "facts" / "nmpi-wire"
GOLDEN = TOP / "tests" / "golden" / "nmpi" / "recordings.json"
# The exchange of a case that is compared, where it is not the first.
LATER = {"post_job_quota_exhausted": -1}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")
JOB: dict[str, Any] = {
    "code": "import pyNN.spiNNaker as sim\nsim.setup()\n",
    "command": "run.py {system}",
    "collab": "mycollab",
    "hardware_platform": "SpiNNaker",
    "hardware_config": {"extra_pip_installs": ["numpy"], "spynnaker_version": "master"},
    "tags": ["test", "demo run"],
}
ITEM = {"url": "http://127.0.0.1/r.txt", "path": "/mycollab/r.txt", "content_type": "text/plain",
        "size": 18, "hash": "0a1b2c"}  # fmt: skip
MANCHESTER = "http://spinnaker.cs.man.ac.uk/services/rest/output/mycollab/142973/reports.zip"


def shape(value: Any, name: str = "") -> Any:
    """Mappings keep their keys, lists the different shapes in them, errors their words."""
    if isinstance(value, dict):
        if name in {"hardware_config", "provenance"}:
            return "mapping"
        return {key: shape(item, key) for key, item in sorted(value.items())}
    if isinstance(value, list):
        return sorted({json.dumps(shape(item), sort_keys=True) for item in value})
    if isinstance(value, str) and name in {"detail", "msg", "error"}:
        return re.sub(r"\d+", "N", value)
    if isinstance(value, str):
        found = TIME.fullmatch(value)
        return f"time {found[2]}" if found else "text"
    return type(value).__name__


def comparable(status: int, kind: str, body: Any) -> dict[str, Any]:
    return {"status": status, "type": kind, "shape": shape(body)}


def recorded(path: Path) -> dict[str, Any]:
    exchange = json.loads(path.read_text("utf-8"))["exchanges"][LATER.get(path.stem, 0)]
    answer = exchange["response"]
    return comparable(answer["status"], answer["headers"]["content-type"], answer["body"])


def test_the_golden_file_is_that_of_the_recordings(golden: Golden) -> None:
    if not RECORDINGS.is_dir():
        pytest.skip("the recordings of the facts are not beside this checkout")
    found = {name: recorded(RECORDINGS / f"{name}.json") for name in sorted(CASES)}
    golden.check("nmpi/recordings.json", json.dumps(found, indent=1) + "\n")


class Client:
    """Asks the double without a socket, and holds each reply against its recording."""

    def __init__(self, folder: Path) -> None:
        teams = {"alice": ("collab-mycollab-editor", "collab-viewonly-viewer")}
        issuer = Issuer("https://nmpi.test", teams=teams)
        keys = {name: Secret(f"key of {name}") for name in TEST_QUOTAS}
        self.service = Service("https://nmpi.test", issuer, FaultPlan(), keys, folder)
        self.wanted = json.loads(GOLDEN.read_text("utf-8"))
        self.seen: set[str] = set()

    def ask(self, method: str, path: str, body: Any = None, **who: str | None) -> Reply:
        headers = {}
        if "key" in who:
            headers = {"x-api-key": str(who["key"])} if who["key"] else {}
        elif who.get("user", "alice") is not None:
            token = who.get("token") or self.service.issuer.token(str(who.get("user", "alice")))
            headers = {"authorization": f"Bearer {token}"}
        path, _, query = path.partition("?")
        pairs = tuple(tuple(word.split("=")) for word in query.split("&") if word)
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.service.handle(Request(method, path, dict(pairs), headers, content, pairs))  # type: ignore[arg-type]

    def same(self, name: str, method: str, path: str, body: Any = None, **who: str | None) -> Any:
        reply = self.ask(method, path, body, **who)
        text, kind = b"".join(reply.body).decode(), reply.headers["content-type"]
        document = json.loads(text) if kind == "application/json" else text
        assert comparable(reply.status, kind, document) == self.wanted[name], name
        self.seen.add(name)
        return document


KEY, OTHER = "key of SpiNNaker", "key of Demo"
NEXT = "/jobs/next/SpiNNaker"
CASES = set(
    """
    get_root post_job_ok post_job_minimal post_job_empty_config post_job_no_collab_right
    post_job_viewer_only post_job_unknown_platform post_job_bad_token post_job_no_token
    post_job_missing_fields post_job_missing_fields_bad_token post_job_short_tag
    post_job_long_command post_job_nul_in_code post_job_quota_exhausted post_job_private_space
    get_job_submitted get_job_unknown get_job_not_mine get_log get_output_data_none list_no_auth
    list_bad_token list_status_bad list_tags next_empty next_no_key next_unknown_key
    next_wrong_provider next_with_job provider_put_status_validated provider_put_status_running
    provider_put_status_unknown put_status_user_token log_put put_finished_no_repository
    put_finished_ok put_wrong_units get_output_data_ok tags_get tags_add tags_remove comment_post
    comments_get collabs projects_list_accepted quotas_get unknown_path delete_ok delete_not_mine
    delete_again
    """.split()  # noqa: SIM905
)


def submit_jobs(client: Client) -> str:
    same = client.same
    same("get_root", "GET", "/")
    same("next_empty", "GET", NEXT, key=KEY)
    job = same("post_job_ok", "POST", "/jobs/", JOB)
    bare = {key: JOB[key] for key in ("code", "collab", "hardware_platform")}
    same("post_job_minimal", "POST", "/jobs/", bare)
    same("post_job_empty_config", "POST", "/jobs/", JOB | {"hardware_config": {}, "tags": []})
    same("post_job_private_space", "POST", "/jobs/", JOB | {"collab": "private-alice"})
    same("post_job_no_collab_right", "POST", "/jobs/", JOB | {"collab": "other"})
    same("post_job_viewer_only", "POST", "/jobs/", JOB | {"collab": "viewonly"})
    same("post_job_unknown_platform", "POST", "/jobs/", JOB | {"hardware_platform": "Nonesuch"})
    same("post_job_bad_token", "POST", "/jobs/", JOB, token="no.good.token")
    same("post_job_no_token", "POST", "/jobs/", JOB, user=None)
    same("post_job_missing_fields", "POST", "/jobs/", {"code": "print(1)"})
    body = {"code": "print(1)"}
    same("post_job_missing_fields_bad_token", "POST", "/jobs/", body, token="no.good.token")
    same("post_job_short_tag", "POST", "/jobs/", JOB | {"tags": ["x"]})
    same("post_job_long_command", "POST", "/jobs/", JOB | {"command": "x" * 501})
    same("post_job_nul_in_code", "POST", "/jobs/", JOB | {"code": "import a\0"})
    return f"/jobs/{job['id']}"


def look(client: Client, job: str) -> None:
    same = client.same
    same("get_job_submitted", "GET", job)
    same("get_job_unknown", "GET", "/jobs/99999")
    same("get_job_not_mine", "GET", job, user="bob")
    same("get_output_data_none", "GET", f"{job}/output_data")
    same("list_no_auth", "GET", "/jobs/", user=None)
    same("list_bad_token", "GET", "/jobs/", token="no.good.token")
    same("list_status_bad", "GET", "/jobs/?status=foo")
    same("tags_get", "GET", f"{job}/tags/")
    same("tags_add", "POST", f"{job}/tags/", ["new tag", "test"])
    same("tags_remove", "DELETE", f"{job}/tags/", ["new tag"])
    same("comment_post", "POST", f"{job}/comments/", {"content": "looks good"})
    same("comments_get", "GET", f"{job}/comments")
    same("collabs", "GET", "/collabs/")
    found = same("projects_list_accepted", "GET", "/projects/?collab=mycollab&status=accepted")
    same("quotas_get", "GET", f"{found[0]['resource_uri']}/quotas/")
    same("unknown_path", "GET", "/nope")


def provide(client: Client, job: str) -> None:
    same = client.same
    same("next_no_key", "GET", NEXT, key=None)
    same("next_unknown_key", "GET", NEXT, key="nonsense")
    same("next_wrong_provider", "GET", NEXT, key=OTHER)
    for word in ("finished", "submitted"):  # the recorded job had been over once; no rule forbids
        assert client.ask("PUT", job, {"status": word}, key=KEY).status == 200
    assert same("next_with_job", "GET", NEXT, key=KEY)["resource_uri"] == job
    fresh = json.loads(b"".join(client.ask("POST", "/jobs/", JOB).body))["resource_uri"]
    for word in ("validated", "running"):
        same(f"provider_put_status_{word}", "PUT", fresh, {"status": word}, key=KEY)
    same("provider_put_status_unknown", "PUT", job, {"status": "exploded"}, key=KEY)
    same("put_status_user_token", "PUT", job, {"status": "finished"})
    same("log_put", "PUT", f"{job}/log", "line A é\n".encode(), key=KEY)
    same("get_log", "GET", f"{job}/log")
    files: dict[str, Any] = {"files": [ITEM]}
    same("put_finished_no_repository", "PUT", job, {"output_data": files}, key=KEY)
    usage = {"value": 3.25, "units": "core-hours"}
    done = {"status": "finished", "output_data": files | {"repository": "r"},
            "resource_usage": usage, "provenance": {"spynnaker": "7.3"}}  # fmt: skip
    same("put_finished_ok", "PUT", job, done, key=KEY)
    free = {"status": "finished", "resource_usage": {"value": 0.0, "units": "core-hours"}}
    assert client.ask("PUT", fresh, free, key=KEY).status == 200
    same("list_tags", "GET", "/jobs/?tags=test&size=1")
    same("get_output_data_ok", "GET", f"{job}/output_data")
    usage = {"value": 1.0, "units": "hours"}
    same("put_wrong_units", "PUT", job, {"status": "finished", "resource_usage": usage}, key=KEY)


def end(client: Client, job: str) -> None:
    files = [{"url": MANCHESTER}, {"url": "http://127.0.0.1/data/results.txt", "path": ""}]
    body = {"status": "finished", "output_data": {"repository": "r", "files": files}}
    other = f"/jobs/{int(job.rpartition('/')[2]) + 1}"
    assert client.ask("PUT", other, JOB | body, key=KEY).status == 200
    found = client.ask("GET", other)
    told = json.loads(b"".join(found.body))
    assert told["output_data"]["files"][0]["path"] == "ycollab/142973/reports.zip"  # as recorded
    for quota in client.service.store.quotas:
        quota.usage = quota.limit
    client.same("post_job_quota_exhausted", "POST", "/jobs/", JOB)
    client.same("delete_ok", "DELETE", job)
    client.same("delete_again", "DELETE", job)
    client.same("delete_not_mine", "DELETE", job, user="bob")
    assert json.loads(b"".join(client.ask("GET", job).body))["status"] == "removed"
    assert job not in b"".join(client.ask("GET", "/jobs/").body).decode()


def test_every_reply_is_as_recorded(tmp_path: Path) -> None:
    client = Client(tmp_path)
    job = submit_jobs(client)
    look(client, job)
    provide(client, job)
    end(client, job)
    assert client.seen == CASES
