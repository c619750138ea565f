"""Start a double in this process: for tests, and for the background process."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagefactory.base.report import Report, Silent
from imagefactory.base.values import Secret
from imagefactory.sandbox.unicore.certificates import make_certificates
from imagefactory.sandbox.unicore.description import Partition
from imagefactory.sandbox.unicore.engine import Engine
from imagefactory.sandbox.unicore.faults import FaultPlan
from imagefactory.sandbox.unicore.issuer import CLIENT_ID, Issuer
from imagefactory.sandbox.unicore.jobs import Surroundings
from imagefactory.sandbox.unicore.login import Login
from imagefactory.sandbox.unicore.server import Server
from imagefactory.sandbox.unicore.service import REGISTRY, Service
from imagefactory.sandbox.unicore.wire import Request

if TYPE_CHECKING:
    import httpx

# The sandbox's queue: two nodes with two processors each, an hour at most.
PARTITION = Partition(
    "batch",
    {
        "CPUsPerNode": (1, 2),
        "Runtime": (1, 3600),
        "MemoryPerNode": (1048576, 8589934592),
        "Nodes": (1, 2),
        "TotalCPUs": (1, 4),
    },
    {"CPUsPerNode": 1, "Runtime": 600, "Nodes": 1},
)
GRACE_LOOKS = 10
ADDRESS_WITHOUT_SOCKET = "https://unicore.test"


@dataclass(frozen=True)
class Unicore:
    """A double that runs in this process."""

    service: Service
    ca_file: Path
    issuer: Issuer
    faults: FaultPlan

    @property
    def registry_url(self) -> str:
        return f"{self.service.base}/{REGISTRY}/rest/registries/default_registry"

    def site_url(self, name: str) -> str:
        """The core service of a site."""
        return self.service.face(name).core

    @property
    def issuer_url(self) -> str:
        return self.issuer.url

    @property
    def client_id(self) -> str:
        return CLIENT_ID

    @property
    def requests(self) -> Counter[str]:
        """How often what was asked: "GET job", "POST jobs", "PUT file", "POST abort" ..."""
        return self.service.requests

    def token(self, user: str = "scientist", lifetime: int | None = None) -> str:
        """A bearer token; with a negative `lifetime` (seconds) it has expired."""
        return self.issuer.token(user, lifetime)

    def foreign_token(self, user: str = "scientist") -> str:
        """A token that names another issuer."""
        return self.issuer.token(user, issuer="https://elsewhere.test/realms/other")

    def approve(self, user_code: str, user: str | None = None) -> bool:
        """What a person does in the browser in the device flow."""
        return self.issuer.approve(user_code, user)

    def deny(self, user_code: str) -> bool:
        return self.issuer.deny(user_code)

    def turn(self) -> None:
        """One look at all jobs of all sites."""
        for engine in self.service.engines.values():
            engine.turn()

    def transport(self) -> httpx.MockTransport:
        """Answers httpx without a socket."""
        import httpx

        return httpx.MockTransport(self._answer)

    def _answer(self, asked: httpx.Request) -> httpx.Response:
        import httpx

        request = Request(
            asked.method, asked.url.path, dict(asked.url.params), dict(asked.headers), asked.read()
        )
        reply = self.service.handle(request)
        limit = asked.extensions.get("timeout", {}).get("read")
        if limit is not None and reply.wait > limit:
            raise httpx.ReadTimeout("timed out", request=asked)
        if reply.hang_up:
            raise httpx.RemoteProtocolError("Server disconnected", request=asked)
        if reply.send_at_most is not None:
            raise httpx.RemoteProtocolError("peer closed connection", request=asked)
        headers = {"x-frame-options": "DENY", **reply.headers}
        return httpx.Response(reply.status, headers=headers, content=b"".join(reply.body))


@contextmanager
def start_unicore(
    folder: Path,
    logins: Mapping[str, Login],
    *,
    looks: float | None = None,
    listen: bool = True,
    port: int = 0,
    grace: int = GRACE_LOOKS,
    report: Report | None = None,
) -> Iterator[Unicore]:
    """A UNICORE double for the sites in `logins`, until the block ends.

    Certificates are written into `folder`. `looks` is the pause in seconds between two looks at
    the jobs (up to four times that when all is still); None: one look after each GET of a job, no
    clock. `grace`: how many looks a missing exit code is waited for. Without `listen` there is no
    socket, see `Unicore.transport`.
    """
    report = report or Silent()
    certificates = make_certificates(folder)
    server = Server(certificates, report, port) if listen else None
    base = server.base if server else ADDRESS_WITHOUT_SOCKET
    faults = FaultPlan()
    engines = {
        name: Engine(Surroundings(login, PARTITION, faults, grace), report)
        for name, login in logins.items()
    }
    service = Service(
        base=base,
        engines=engines,
        issuer=Issuer(base),
        faults=faults,
        certificate=certificates.server_text,
        control=Secret(secrets.token_urlsafe(32)),
        looks_by_request=looks is None,
    )
    with _running(service, server, looks):
        yield Unicore(service, certificates.authority, service.issuer, faults)


@contextmanager
def _running(service: Service, server: Server | None, looks: float | None) -> Iterator[None]:
    engines = list(service.engines.values())
    if looks is not None:
        for engine in engines:
            threading.Thread(target=engine.run, args=(looks,), daemon=True).start()
    if server:
        server.handle = service.handle
        server.start()
    try:
        yield
    finally:
        if server:
            server.close()
        for engine in engines:
            engine.close()
