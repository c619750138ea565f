"""The double itself, without a socket: a request goes in, a reply comes out."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from imagefactory.base.values import Secret
from imagefactory.sandbox.nmpi.jobs import STATUSES, TEST_QUOTAS, Job, Store, for_users, now
from imagefactory.sandbox.unicore.faults import FaultKind, FaultPlan, PlannedFault
from imagefactory.sandbox.unicore.issuer import Issuer
from imagefactory.sandbox.unicore.wire import OCTETS, Reply, Request, json_reply, text_reply

ABOUT = (
    "A loopback double of the EBRAINS Neuromorphic Computing Job Queue API (imagefactory sandbox)."
)
DATA = "/services/rest/output"  # where the provider's output is served, as in Manchester
NO_JOB = "Either there is no job with id {}, or you do not have access to it"
NO_COLLAB = "You do not have access to this collab or there is no collab with this id"
NO_QUOTA = "You do not have sufficient compute quota to submit this job"
DOWN = "The service is currently down for maintenance."
ERROR_PAGE = "<html><body><h1>Bad gateway</h1></body></html>"
_BEFORE = (
    FaultKind.UNAUTHORISED, FaultKind.UNAVAILABLE, FaultKind.BROKEN, FaultKind.ERROR_PAGE,
    FaultKind.CUT,
)  # fmt: skip
_AFTER = (FaultKind.SLOW, FaultKind.LOST_REPLY, FaultKind.CUT_BODY, FaultKind.UNKNOWN_STATUS)
_LIMITS = {"command": 500, "collab": 40, "hardware_platform": 20}  # columns: beyond them it is 500


class Refused(Exception):
    """Carries the reply that ends the handling of a request."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.reply = json_reply({"detail": detail}, status)


@dataclass
class Service:
    """The queue. `handle` may be called from many threads.

    `keys` maps each platform to its provider's key; `output` is the folder of what jobs left.
    """

    base: str
    issuer: Issuer
    faults: FaultPlan
    keys: dict[str, Secret]
    output: Path
    store: Store = field(default_factory=Store)
    requests: Counter[str] = field(default_factory=Counter)

    def handle(self, request: Request) -> Reply:
        """Answer, with the faults that are planned for such a request."""
        self.requests[f"{request.method} {re.sub('[0-9]+', 'N', request.path)}"] += 1
        fault = self.faults.draw(request.line, *_BEFORE)
        reply = self.answer(request) if fault is None else failure(fault)
        late = self.faults.draw(request.line, *_AFTER)
        return reply if late is None else spoiled(reply, late)

    def answer(self, request: Request) -> Reply:
        """Answer without faults: they hit users, not the provider, who asks all the time."""
        for method, pattern, answer in _ROUTES:
            found = re.fullmatch(pattern, request.path)
            if found and method == request.method:
                try:
                    return answer(self, request, *found.groups())
                except Refused as refused:
                    return refused.reply
        return json_reply({"detail": "Not Found"}, 404)

    # --- who asks

    def _user(self, request: Request, status: int = 401, words: str = "Not authenticated") -> str:
        """The user of the bearer token; without one `status` and `words`."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer":
            raise Refused(status, words)
        user = self.issuer.user_of(token)
        if user is None:
            raise Refused(401, "Token may have expired")
        return user

    def _provider(self, request: Request, platform: str) -> None:
        key = request.headers.get("x-api-key")
        if key is None:
            raise Refused(403, "Not authenticated")
        allowed = [name for name, known in self.keys.items() if known.reveal() == key]
        if not allowed:
            raise ValueError("unknown key")  # 500, as the real service has it
        if platform not in allowed:
            words = "The provided API key does not allow access to jobs, sessions, or quotas for "
            raise Refused(403, words + platform)

    def _job(self, number: str, user: str) -> Job:
        job = self.store.jobs.get(int(number))
        if job is None or job.user != user:
            raise Refused(404, NO_JOB.format(number))
        return job

    def editable(self, user: str) -> list[str]:
        """Collabs in which this user may submit: editor or administrator, and the private one."""
        found = {f"private-{user}"}
        for team in self.issuer.teams.get(user, ()):
            known = re.fullmatch(r"collab-(.+)-(editor|administrator)", team)
            if known:
                found.add(known[1])
        return sorted(found)

    # --- what is asked

    def _about(self, _request: Request) -> Reply:
        return json_reply(
            {
                "about": ABOUT,
                "version": "3",
                "status": "ok",
                "links": {"documentation": "/docs"},
                "authentication": {
                    "server": self.issuer.url,
                    "client-id": "imagefactory-sandbox",
                    "collaboratory": f"{self.base}/no-collaboratory/",
                },
            }
        )

    def _submit(self, request: Request) -> Reply:
        body = checked_submission(request)
        user = self._user(request, 403)
        if any(len(str(body.get(key) or "")) > most for key, most in _LIMITS.items()) or (
            "\0" in body["code"]
        ):
            return broken()
        collab, platform = body["collab"], body["hardware_platform"]
        if collab not in self.editable(user):
            raise Refused(404, NO_COLLAB)
        with self.store.lock:
            quota = self.store.quota(collab, platform, user)
            if quota is None or quota.usage >= quota.limit:
                raise Refused(403, NO_QUOTA)
            return json_reply(self.store.add(user, body).accepted(), 201)

    def _list(self, request: Request) -> Reply:
        if "authorization" not in request.headers:
            raise Refused(401, "You must provide either a token or an API key")
        user = self._user(request)
        wanted = listed(request, "status")
        for place, word in enumerate(wanted):
            if word not in STATUSES:
                raise Refused(422, [wrong_status(["query", "status", place], word)])
        tags, collabs = set(listed(request, "tags")), set(listed(request, "collab"))
        first, count = int(request.query.get("from_index", 0)), int(request.query.get("size", 10))
        found = [
            job.told()
            for job in self.store.newest()
            if job.user == user
            and (not wanted or job.status in wanted)
            and tags <= set(job.tags)
            and (not collabs or job.collab in collabs)
        ]
        return json_reply(found[first : first + count])

    def _get(self, request: Request, number: str) -> Reply:
        job = self._job(number, self._user(request))
        flags = {name: request.query.get(f"with_{name}") == "true" for name in ("log", "comments")}
        return json_reply(job.told(**flags))

    def _log(self, request: Request, number: str) -> Reply:
        job = self._job(number, self._user(request, 403))
        return text_reply(job.log, "text/plain; charset=utf-8")

    def _output(self, request: Request, number: str) -> Reply:
        told = self._job(number, self._user(request)).told()["output_data"]
        return broken() if told is None else json_reply(told)

    def _remove(self, request: Request, number: str) -> Reply:
        user = self._user(request, 403)
        job = self.store.jobs.get(int(number))
        if job is None or job.user != user:
            return broken()  # as the real service has it
        with self.store.lock:
            job.status = "removed"
        return json_reply(None)

    def _tags(self, request: Request, number: str) -> Reply:
        job = self._job(number, self._user(request))
        given = [] if request.method == "GET" else request.document()
        with self.store.lock:
            if request.method == "POST":
                job.tags = sorted({*job.tags, *given})
            else:
                job.tags = [tag for tag in job.tags if tag not in given]
            return json_reply(sorted(job.tags))

    def _comments(self, request: Request, number: str) -> Reply:
        return json_reply(self._job(number, self._user(request)).comments)

    def _comment(self, request: Request, number: str) -> Reply:
        user = self._user(request)
        job = self._job(number, user)
        with self.store.lock:
            comment = {
                "id": len(job.comments) + 1,
                "job_id": job.id,
                "content": request.document()["content"],
                "user_id": user,
                "timestamp": for_users(now()),
                "resource_uri": f"/jobs/{job.id}/comments/{len(job.comments) + 1}",
            }
            job.comments.append(comment)
        return json_reply(comment, 201)

    def _collabs(self, request: Request) -> Reply:
        return json_reply(self.editable(self._user(request)))

    def _projects(self, request: Request) -> Reply:
        mine = self.editable(self._user(request))
        wanted = listed(request, "collab") or mine
        found = [quota for quota in self.store.quotas if quota.collab in {*wanted} & {*mine}]
        return json_reply([quota.project_told() for quota in found])

    def _quotas(self, request: Request, project: str) -> Reply:
        self._user(request)
        return json_reply([q.told() for q in self.store.quotas if q.project == project])

    def _queues(self, _request: Request) -> Reply:
        jobs = self.store.newest()
        found = [
            {
                "queue_name": name,
                "running": sum(job.platform == name and job.status == "running" for job in jobs),
                "submitted": sum(
                    job.platform == name and job.status == "submitted" for job in jobs
                ),
            }
            for name in TEST_QUOTAS
        ]
        return json_reply(found)

    # --- the provider's side

    def _next(self, request: Request, platform: str) -> Reply:
        try:
            self._provider(request, platform)
        except ValueError:
            return broken()
        queued = [job for job in self.store.newest() if job.status == "submitted"]
        mine = [job for job in queued if job.platform == platform]
        if not mine:
            raise Refused(404, f"No queued job for {platform}")
        return json_reply(mine[-1].told())

    def _update(self, request: Request, number: str) -> Reply:
        body = request.document()
        job = self._provided(request, number)
        status, output = body.get("status"), body.get("output_data")
        if status is not None and status not in STATUSES:
            raise Refused(422, [wrong_status(["body", "status"], status)])
        if output is not None and not {"repository", "files"} <= set(output):
            absent = next(key for key in ("repository", "files") if key not in output)
            raise Refused(422, [missing(["body", "output_data", absent], output)])
        with self.store.lock:
            self._apply(job, body)
            return json_reply(job.row())

    def _apply(self, job: Job, body: dict[str, Any]) -> None:
        job.status = body.get("status") or job.status
        if job.status in {"finished", "error"}:
            job.completed = now()
        job.provenance = body.get("provenance") or job.provenance
        job.log = body.get("log") or job.log
        # A second PUT adds the files again, as the real service has it (put_finished_twice).
        for item in (body.get("output_data") or {}).get("files", []):
            known = {key: item.get(key) for key in ("url", "path", "hash", "size", "content_type")}
            job.output.append({"id": len(job.output) + 1, **known})
        usage = body.get("resource_usage")
        if usage is not None:
            job.usage = float(usage["value"])
            if usage["units"] != job.units:
                words = f"Invalid units ({usage['units']}) for resource usage. "
                raise Refused(400, f"{words}Expected units: {job.units}")
            quota = self.store.quota(job.collab, job.platform, job.user)
            if quota is not None:
                quota.usage += job.usage

    def _write_log(self, request: Request, number: str) -> Reply:
        job = self._provided(request, number)
        with self.store.lock:
            job.log = request.body.decode("utf-8", "replace")
        return json_reply(None)

    def _provided(self, request: Request, number: str) -> Job:
        if "x-api-key" not in request.headers:
            raise Refused(403, "Not authenticated")
        job = self.store.jobs.get(int(number))
        if job is None:
            raise Refused(404, f"There is no job with id {number}")
        self._provider(request, job.platform)
        return job

    def _data(self, _request: Request, name: str) -> Reply:
        """Open to everybody, as the real provider's server is."""
        path = (self.output / name).resolve()
        if not path.is_relative_to(self.output.resolve()) or not path.is_file():
            return text_reply("Not found", "text/plain", 404)
        content = path.read_bytes()
        return Reply(200, {"content-type": OCTETS}, (content,), len(content))


_N = r"(\d+)"
_ROUTES: tuple[tuple[str, str, Callable[..., Reply]], ...] = (
    ("GET", "/", Service._about),
    ("POST", "/jobs/", Service._submit),
    ("GET", "/jobs/", Service._list),
    ("GET", f"/jobs/{_N}", Service._get),
    ("DELETE", f"/jobs/{_N}", Service._remove),
    ("PUT", f"/jobs/{_N}", Service._update),
    ("GET", f"/jobs/{_N}/log", Service._log),
    ("PUT", f"/jobs/{_N}/log", Service._write_log),
    ("GET", f"/jobs/{_N}/output_data", Service._output),
    ("GET", f"/jobs/{_N}/tags/", Service._tags),
    ("POST", f"/jobs/{_N}/tags/", Service._tags),
    ("DELETE", f"/jobs/{_N}/tags/", Service._tags),
    ("GET", f"/jobs/{_N}/comments", Service._comments),
    ("POST", f"/jobs/{_N}/comments/", Service._comment),
    ("GET", "/jobs/next/([^/]+)", Service._next),
    ("GET", "/collabs/", Service._collabs),
    ("GET", "/projects/", Service._projects),
    ("GET", "/projects/([^/]+)/quotas/", Service._quotas),
    ("GET", "/statistics/queue-length", Service._queues),
    ("GET", f"{DATA}/(.+)", Service._data),
)


def listed(request: Request, key: str) -> list[str]:
    """All values of a key that may be given more than once."""
    return [value for name, value in request.pairs if name == key]


def checked_submission(request: Request) -> dict[str, Any]:
    """The body of a submission; Refused with 422 and all that is missing."""
    try:
        body = request.document()
    except ValueError:
        raise Refused(422, [{"type": "json_invalid", "loc": ["body", 0]}]) from None
    absent = [key for key in ("code", "collab", "hardware_platform") if key not in body]
    if absent:
        raise Refused(422, [missing(["body", key], body) for key in absent])
    short = [place for place, tag in enumerate(body.get("tags") or []) if len(tag) < 2]
    if short:
        raise Refused(422, [short_tag(place, body["tags"][place]) for place in short])
    return dict(body)


def missing(place: Iterable[Any], given: Any) -> dict[str, Any]:
    """How the real service words a key that is not there."""
    return {"type": "missing", "loc": list(place), "msg": "Field required", "input": given}


def short_tag(place: int, tag: str) -> dict[str, Any]:
    """How it words a tag of one letter."""
    return {
        "type": "string_too_short",
        "loc": ["body", "tags", place],
        "msg": "String should have at least 2 characters",
        "input": tag,
        "ctx": {"min_length": 2},
    }


def wrong_status(place: list[Any], word: str) -> dict[str, Any]:
    """How it words a status that is none."""
    known = ", ".join(f"'{status}'" for status in STATUSES[:-1]) + f" or '{STATUSES[-1]}'"
    return {
        "type": "enum",
        "loc": place,
        "msg": f"Input should be {known}",
        "input": word,
        "ctx": {"expected": known},
    }


def broken() -> Reply:
    """An unhandled error, after which the real service closes the connection."""
    return text_reply("Internal Server Error", "text/plain; charset=utf-8", 500)


def failure(fault: PlannedFault) -> Reply:
    """The reply to a request that was not handled."""
    if fault.kind is FaultKind.UNAUTHORISED:
        return json_reply({"detail": "Token may have expired"}, 401)
    if fault.kind is FaultKind.UNAVAILABLE:
        return json_reply({"error": DOWN}, 503)
    if fault.kind is FaultKind.ERROR_PAGE:
        return text_reply(ERROR_PAGE, "text/html")
    return Reply(500, hang_up=True) if fault.kind is FaultKind.CUT else broken()


def spoiled(reply: Reply, fault: PlannedFault) -> Reply:
    """The reply to a request that was handled: late, lost, cut, or with a strange status."""
    if fault.kind is FaultKind.SLOW:
        return replace(reply, wait=fault.seconds)
    if fault.kind is FaultKind.LOST_REPLY:
        return replace(reply, hang_up=True)
    content = b"".join(reply.body)
    if fault.kind is FaultKind.CUT_BODY:
        return replace(reply, body=(content,), send_at_most=len(content) // 2)
    document = json.loads(content)
    return json_reply(document | {"status": "exploded"}, reply.status)
