"""The double itself, without a socket: a request goes in, a reply comes out."""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from imagefactory.base.errors import FactoryError
from imagefactory.base.values import Secret
from imagefactory.sandbox.unicore import issuer as oidc
from imagefactory.sandbox.unicore.certificates import LIFETIME as VALID
from imagefactory.sandbox.unicore.core import (
    ANONYMOUS,
    COLLECTIONS,
    FACTORY,
    Caller,
    SiteFace,
    core_document,
    factory_document,
    job_document,
    list_document,
    registries_document,
    registry_document,
    storage_document,
)
from imagefactory.sandbox.unicore.engine import Engine
from imagefactory.sandbox.unicore.faults import FaultKind, FaultPlan, PlannedFault, read_faults
from imagefactory.sandbox.unicore.jobs import Job, Owner
from imagefactory.sandbox.unicore.own_tokens import LIFETIME, OwnTokens
from imagefactory.sandbox.unicore.sessions import SECONDS, Sessions
from imagefactory.sandbox.unicore.storages import ERROR_BODY, Storage
from imagefactory.sandbox.unicore.wire import (
    CONTROL,
    JSON,
    OCTETS,
    Reply,
    Request,
    empty_reply,
    error_reply,
    json_reply,
    now,
    text_reply,
)

REGISTRY = "registry"
SESSION = "x-unicore-securitysession"
SESSION_LIFETIME = "x-unicore-securitysession-lifetime"
USERS = ("scientist", "colleague")  # who has a login; any other valid token is anonymous
ERROR_PAGE = "<html><body><h1>Bad gateway</h1><p>The server is being maintained.</p></body></html>"
_BEFORE = (
    FaultKind.SESSION_GONE, FaultKind.REFUSED, FaultKind.UNAUTHORISED, FaultKind.UNAVAILABLE,
    FaultKind.BROKEN, FaultKind.ERROR_BODY, FaultKind.ERROR_PAGE, FaultKind.CUT,
)  # fmt: skip
_AFTER = (FaultKind.SLOW, FaultKind.LOST_REPLY, FaultKind.CUT_BODY, FaultKind.UNKNOWN_STATUS)
_SHAPES = (
    (r"^/[^/]+/rest/core/jobs/[^/]+$", "job"),
    (r"^/[^/]+/rest/core/jobs/?$", "jobs"),
    (r"^/[^/]+/rest/core/jobs/[^/]+/actions/(\w+)$", "action"),
    (r"^/[^/]+/rest/core/jobs/", "job detail"),
    (r"^/[^/]+/rest/core/storages/[^/]+/files", "file"),
    (r"^/[^/]+/rest/core/storages", "storage"),
    (r"^/[^/]+/rest/core", "core"),
    (r"^/[^/]+/rest/registries", "registry"),
    (r"^/issuer/", "issuer"),
)


@dataclass
class Service:
    """All sites behind one address. `handle` may be called from many threads.

    With `looks_by_request` every GET of a job or of the list of jobs is followed by one look at
    all jobs.
    """

    base: str
    engines: Mapping[str, Engine]
    issuer: oidc.Issuer
    faults: FaultPlan
    certificate: str
    control: Secret
    looks_by_request: bool = False
    requests: Counter[str] = field(default_factory=Counter)
    since: datetime = field(default_factory=now)
    sessions: Sessions = field(default_factory=Sessions, repr=False)
    own_tokens: OwnTokens = field(init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        self.own_tokens = OwnTokens(lambda: self.issuer.clock())

    def face(self, name: str) -> SiteFace:
        """What the site of that name says of itself."""
        return SiteFace(name, self.base, self.issuer.url, self.since, self.since + VALID)

    def left(self) -> float:
        """Seconds for which the server's certificate is valid still."""
        return (self.since + VALID - now()).total_seconds()

    def handle(self, request: Request) -> Reply:
        """Answer, with the faults that are planned for such a request."""
        if request.path.startswith(CONTROL):
            return self._control(request)
        with self._lock:
            self.requests[shape(request)] += 1
        fault = self.faults.draw(request.line, *_BEFORE)
        reply = self._answer(request) if fault is None else failure(fault)
        late = self.faults.draw(request.line, *_AFTER)
        return reply if late is None else spoiled(reply, late)

    def _answer(self, request: Request) -> Reply:
        if request.path.startswith(oidc.PATH):
            return self.issuer.handle(request)
        found = re.fullmatch(r"/([^/]+)/rest/(core|registries)(?:/(.*?))?/?", request.path)
        if not found or found[1] not in {*self.engines, REGISTRY}:
            return empty_reply(404)
        session, caller = self._authenticate(request)
        if isinstance(caller, Reply):
            return caller
        parts = tuple((found[3] or "").split("/")) if found[3] else ()
        try:
            if found[2] == "registries":
                reply = self._registries(found[1], parts, caller)
            elif found[1] == REGISTRY:
                reply = empty_reply(404)
            else:
                reply = SiteService(self, found[1], caller).answer(request, parts)
        except FactoryError as err:
            reply = error_reply(500, f"Error: {err.faults[0].what}")
        return replace(reply, headers={**session, **reply.headers})

    def _registries(self, name: str, parts: tuple[str, ...], caller: Caller) -> Reply:
        if not parts:
            return json_reply(registries_document(self.face(name), caller))
        if parts != ("default_registry",):
            return empty_reply(404)
        sites = [self.face(site) for site in self.engines]
        return json_reply(registry_document(self.face(name), sites, self.certificate))

    def _authenticate(self, request: Request) -> tuple[dict[str, str], Caller | Reply]:
        """The caller and the session's headers. A known session is enough: as in the real one,
        the token that comes with it is not looked at."""
        known = request.headers.get(SESSION)
        if known is not None:
            caller = self.sessions.find(known)
            return ({}, empty_reply(432)) if caller is None else (session_headers(known), caller)
        credentials = request.headers.get("authorization", "")
        if not credentials:
            return session_headers(self.sessions.begin(ANONYMOUS)), ANONYMOUS
        kind, _, token = credentials.partition(" ")
        caller = self._caller(token) if kind == "Bearer" else None
        if caller is None:
            return {}, empty_reply(403)
        return session_headers(self.sessions.begin(caller)), caller

    def _caller(self, token: str) -> Caller | None:
        """Whose token it is, the server's own ones first; None if it does not hold."""
        own = self.own_tokens.read(token)
        user, may_renew = own or (self.issuer.user_of(token), True)
        if user is None:
            return None
        login = next(iter(self.engines.values())).around.login
        known = user in USERS
        return Caller(
            dn=f"UID={user}@sandbox.test",
            role="user" if known else "anonymous",
            uid=login.user if known else "",
            group=login.group if known else "",
            method="ETD" if own else "OAUTH",
            name=user,
            may_renew=may_renew,
        )

    def _control(self, request: Request) -> Reply:
        """Faults of a double in another process; only who can read the secret may set them."""
        sent = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(sent.encode(), self.control.reveal().encode()):
            return empty_reply(403)
        if request.path == f"{CONTROL}/requests":
            return json_reply(dict(self.requests))
        if request.path == f"{CONTROL}/token" and request.method == "POST":
            return self._issue(request)
        if request.path == f"{CONTROL}/device" and request.method == "POST":
            return self._decide(request)
        if request.path != f"{CONTROL}/faults":
            return empty_reply(404)
        if request.method == "PUT":
            try:
                self.faults.set(*read_faults(request.document(), "faults"))
            except (FactoryError, ValueError) as err:
                return error_reply(400, str(err))
        elif request.method == "DELETE":
            self.faults.clear()
        return json_reply(self.faults.document())

    def _issue(self, request: Request) -> Reply:
        asked = request.document()
        user = str(asked.get("user", self.issuer.default_user))
        return text_reply(self.issuer.token(user, asked.get("lifetime")), "text/plain")

    def _decide(self, request: Request) -> Reply:
        asked = request.document()
        code = str(asked.get("user_code", ""))
        known = self.issuer.deny(code) if asked.get("deny") else self.issuer.approve(code)
        return json_reply({}) if known else error_reply(400, f"there is no device code {code!r}")


@dataclass(frozen=True)
class SiteService:
    """One site, as one caller sees it."""

    service: Service
    name: str
    caller: Caller

    @property
    def engine(self) -> Engine:
        return self.service.engines[self.name]

    @property
    def face(self) -> SiteFace:
        return self.service.face(self.name)

    def answer(self, request: Request, parts: tuple[str, ...]) -> Reply:
        """Answer for rest/core and what is below it."""
        reply = self._answer(request, parts)
        if self.service.looks_by_request and request.method == "GET" and parts[:1] == ("jobs",):
            self.engine.turn()  # time passes between two questions
        return reply

    def _answer(self, request: Request, parts: tuple[str, ...]) -> Reply:
        if not parts:
            return json_reply(core_document(self.face, self.caller))
        if parts[0] == "jobs":
            return self._jobs(request, parts[1:])
        if parts == ("token",) and request.method == "GET":
            return self._own_token(request)
        if parts[0] == "storages" and len(parts) > 1:
            return self._storage(request, parts[1:])
        if parts == ("factories", FACTORY):
            partition = self.engine.around.partition
            return json_reply(factory_document(self.face, partition))
        if len(parts) == 1 and parts[0] in COLLECTIONS:
            return self._list(request, parts[0], self._children(parts[0], request))
        return empty_reply(404)

    def _own_token(self, request: Request) -> Reply:
        if not self.caller.may_renew:
            return empty_reply(403)
        lifetime = int(request.query.get("lifetime", LIFETIME))
        renewable = request.query.get("renewable", "").lower() == "true"
        if lifetime > self.service.left():
            problem = "Requested token lifetime is longer than the remaining server certificate"
            return error_reply(400, f"{problem} validity.")
        token = self.service.own_tokens.issue(self.caller.name, lifetime, renewable)
        return text_reply(token, "text/plain")

    def _children(self, name: str, request: Request) -> list[str]:
        if name == "factories":
            return [FACTORY]
        if name != "storages" or not self.caller.is_user:
            return []
        jobs = self._own_jobs() if request.query.get("filter") == "all" else []
        return ["HOME", *(f"{job.id}-uspace" for job in jobs)]

    def _list(self, request: Request, name: str, children: list[str]) -> Reply:
        offset, count = (
            int(request.query.get(key, default))
            for key, default in (("offset", "0"), ("num", "200"))
        )
        urls = [f"{self.face.core}/{name}/{child}" for child in children]
        return json_reply(list_document(self.face.core, name, urls, offset, count))

    def _own_jobs(self) -> list[Job]:
        return [job for job in self.engine.jobs() if job.owner.dn == self.caller.dn]

    def _jobs(self, request: Request, parts: tuple[str, ...]) -> Reply:
        if not parts:
            return self._submit(request) if request.method == "POST" else self._list_jobs(request)
        job = self.engine.find(parts[0])
        if job is None:
            return empty_reply(404)
        if job.owner.dn != self.caller.dn:
            return empty_reply(403)
        if len(parts) == 3 and parts[1] == "actions" and request.method == "POST":
            return self._act(job, parts[2])
        return self._job(request, job, parts[1:])

    def _job(self, request: Request, job: Job, parts: tuple[str, ...]) -> Reply:
        answers: Mapping[tuple[str, ...], Callable[[], Reply]] = {
            ("GET",): lambda: json_reply(job_document(self.face, job)),
            ("PUT",): lambda: self._change(request, job),
            ("DELETE",): lambda: self._delete(job),
            ("GET", "submitted"): lambda: json_reply(job.document),
            ("GET", "details"): lambda: json_reply(self._details(job)),
            ("GET", "forward-port"): lambda: json_reply({"status": "Nothing to see here yet."}),
        }
        answer = answers.get((request.method, *parts))
        return answer() if answer else empty_reply(404)

    def _list_jobs(self, request: Request) -> Reply:
        wanted = {tag for tag in request.query.get("tags", "").split(",") if tag}
        jobs = [job.id for job in self._own_jobs() if wanted <= set(job.tags)]
        return self._list(request, "jobs", jobs)

    def _submit(self, request: Request) -> Reply:
        if not self.caller.is_user:
            return empty_reply(403)
        try:
            document = request.document()
        except ValueError as err:
            return error_reply(500, f"Could not submit job: org.json.JSONException: {err}")
        if not isinstance(document, dict):
            problem = "A JSONObject text must begin with '{' at 1 [character 2 line 1]"
            return error_reply(500, f"Could not submit job: org.json.JSONException: {problem}")
        job = self.engine.add(document, Owner(self.caller.dn))
        tags = document.get("Tags", document.get("tags"))
        job.tags = [str(tag) for tag in tags] if isinstance(tags, list) else []
        return Reply(201, {"location": f"{self.face.core}/jobs/{job.id}"})

    def _act(self, job: Job, action: str) -> Reply:
        if action == "start":
            self.engine.start(job)
        elif action == "abort":
            self.engine.ask_abort(job)
        elif action == "restart":
            self.engine.restart(job)
        else:
            return empty_reply(404)
        return Reply(204, {"content-type": JSON}, length=None)

    def _change(self, request: Request, job: Job) -> Reply:
        """Set tags or terminationTime; anything else is answered, not done."""
        done = {}
        for name, value in request.document().items():
            done[name] = "OK"
            if name == "tags" and isinstance(value, list):
                job.tags = [str(tag) for tag in value]
            elif name == "terminationTime":
                job.termination = datetime.strptime(str(value), "%Y-%m-%dT%H:%M:%S%z")
            else:
                done[name] = "Property not found or cannot be modified!"
        return json_reply(done)

    def _delete(self, job: Job) -> Reply:
        self.engine.remove(job)
        return empty_reply(204)

    def _details(self, job: Job) -> dict[str, str]:
        if job.batch_id is None or job.batch_id.startswith("INTERACTIVE_"):
            return {"rawDetailsData": "N/A"}
        words = self.engine.around.login.details(job.batch_id).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def _storage(self, request: Request, parts: tuple[str, ...]) -> Reply:
        login = self.engine.around.login
        job = self.engine.find(parts[0].removesuffix("-uspace"))
        if parts[0] == "HOME" and self.caller.is_user:
            folder = login.home
        elif parts[0].endswith("-uspace") and job is not None:
            folder = job.folder
        else:
            return empty_reply(404 if self.caller.is_user else 403)
        if job is not None and job.owner.dn != self.caller.dn:
            return empty_reply(403)
        storage = Storage(self.face, parts[0], folder, login)
        if len(parts) == 1 and request.method == "GET":
            free = login.free_bytes(folder)
            return json_reply(storage_document(self.face, parts[0], folder, free, job))
        if len(parts) > 1 and parts[1] == "files":
            return storage.handle(request, "/" + "/".join(parts[2:]))
        if len(parts) == 3 and parts[1] == "actions":
            return storage.act(request, parts[2])
        return empty_reply(404)


def shape(request: Request) -> str:
    """What kind of request it is, for counting: "GET job", "POST jobs", "PUT file"."""
    for pattern, word in _SHAPES:
        found = re.search(pattern, request.path)
        if found:
            word = found[1] if word == "action" else word
            return f"{request.method} {word}"
    return f"{request.method} other"


def session_headers(key: str) -> dict[str, str]:
    """The two headers of a security session; its lifetime is in milliseconds."""
    return {SESSION: key, SESSION_LIFETIME: str(SECONDS * 1000)}


def failure(fault: PlannedFault) -> Reply:
    """The reply in place of an answer."""
    replies: Mapping[FaultKind, Callable[[], Reply]] = {
        FaultKind.SESSION_GONE: lambda: empty_reply(432),
        FaultKind.REFUSED: lambda: empty_reply(403),
        FaultKind.UNAUTHORISED: lambda: error_reply(401, "no accessible targetsystem factories"),
        FaultKind.UNAVAILABLE: lambda: error_reply(503, "Service is currently unavailable"),
        FaultKind.BROKEN: lambda: error_reply(500, "Error: java.lang.NullPointerException"),
        FaultKind.ERROR_BODY: lambda: text_reply(ERROR_BODY, OCTETS, 500),
        FaultKind.ERROR_PAGE: lambda: text_reply(ERROR_PAGE, "text/html"),
        FaultKind.CUT: lambda: Reply(200, hang_up=True),
    }
    return replies[fault.kind]()


def spoiled(reply: Reply, fault: PlannedFault) -> Reply:
    """A good reply that arrives late, in part, or not at all."""
    if fault.kind is FaultKind.SLOW:
        return replace(reply, wait=fault.seconds)
    if fault.kind is FaultKind.LOST_REPLY:
        return replace(reply, hang_up=True)
    if fault.kind is FaultKind.CUT_BODY:
        content = b"".join(reply.body)
        return replace(reply, body=(content,), length=len(content), send_at_most=len(content) // 2)
    return with_status(reply, "SUSPENDED")


def with_status(reply: Reply, word: str) -> Reply:
    """The same reply, where it is that of a job with another status word."""
    content = b"".join(reply.body)
    if reply.headers.get("content-type") != JSON or b'"batchSystemID"' not in content:
        return replace(reply, body=(content,))
    document: dict[str, Any] = json.loads(content)
    return replace(json_reply({**document, "status": word}), headers=reply.headers)
