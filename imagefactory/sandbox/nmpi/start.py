"""Start a double in this process: for tests, and beside the UNICORE double of the sandbox."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.process import Runner
from imagefactory.base.report import Report, Silent
from imagefactory.base.values import Secret
from imagefactory.sandbox.nmpi.jobs import TEST_QUOTAS
from imagefactory.sandbox.nmpi.provider import Provider
from imagefactory.sandbox.nmpi.service import Service
from imagefactory.sandbox.nmpi.starting import Start, start_here
from imagefactory.sandbox.unicore.certificates import make_certificates
from imagefactory.sandbox.unicore.faults import FaultPlan
from imagefactory.sandbox.unicore.issuer import OPENID, Issuer
from imagefactory.sandbox.unicore.issuer import PATH as ISSUER_PATH
from imagefactory.sandbox.unicore.server import Server
from imagefactory.sandbox.unicore.wire import Reply, Request


@dataclass(frozen=True)
class Nmpi:
    """A double that runs in this process."""

    service: Service
    provider: Provider
    ca_file: Path

    @property
    def url(self) -> str:
        """https://127.0.0.1:PORT"""
        return self.service.base

    @property
    def user_info_url(self) -> str:
        """What the client `nmpi` asks who a token's owner is."""
        return f"{self.url}{ISSUER_PATH}{OPENID}/userinfo"

    @property
    def faults(self) -> FaultPlan:
        return self.service.faults

    def token(self, user: str = "scientist", lifetime: int | None = None) -> str:
        """A bearer token; with a negative `lifetime` (seconds) it has expired."""
        return self.service.issuer.token(user, lifetime)


@contextmanager
def start_nmpi(
    folder: Path,
    *,
    issuer: Issuer | None = None,
    faults: FaultPlan | None = None,
    pause: float | None = None,
    runner: Runner | None = None,
    work: Path | None = None,
    start: Start | None = None,
    report: Report | None = None,
) -> Iterator[Nmpi]:
    """An NMPI double with its provider, until the block ends.

    Certificates and output are written into `folder`. Without an `issuer` it has its own, under the
    same address. `pause` is the provider's between two looks at an empty queue, in seconds; None:
    it runs a job only at each `provider.turn()`. `runner` fetches a job's source into a folder
    below `work`, where `start` starts its program.
    """
    report = report or Silent()
    certificates = make_certificates(folder)
    server = Server(certificates, report, added={"server": "imagefactory-sandbox"})
    output, work = folder / "nmpi-output", work or folder / "nmpi-jobs"
    for place in (output, work):
        place.mkdir(parents=True, exist_ok=True)
    keys = {name: Secret(secrets.token_urlsafe(24)) for name in TEST_QUOTAS}
    own = issuer or Issuer(server.base)
    service = Service(server.base, own, faults or FaultPlan(), keys, output)
    runner = runner or Runner(report)
    provider = Provider(service, work, runner, start or start_here(runner), report=report)
    ended = threading.Event()

    def handle(request: Request) -> Reply:
        mine = request.path.startswith(ISSUER_PATH)
        return own.handle(request) if mine else service.handle(request)

    server.handle = handle
    server.start()
    if pause is not None:
        threading.Thread(target=provider.run, args=(ended, pause), daemon=True).start()
    try:
        yield Nmpi(service, provider, certificates.authority)
    finally:
        ended.set()
        server.close()
