"""The one door to HTTP: timeouts always on, TLS verified, only what is temporary is tried again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused

if TYPE_CHECKING:
    import ssl

    import httpx

T = TypeVar("T")

PAUSES = (0.5, 2.0, 5.0)
TEMPORARY = {408, 425, 429, 500, 502, 503, 504}  # RFC 9110 15.5.9 and 15.6; RFC 6585 4 for 429
CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0


def open_client(
    transport: httpx.BaseTransport | None = None,
    verify: ssl.SSLContext | bool = True,
    *,
    follow_redirects: bool = True,
) -> httpx.Client:
    """A client that verifies TLS against the system's (or SSL_CERT_FILE's) authorities, or as the
    context `verify` says."""
    import httpx

    return httpx.Client(
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
        follow_redirects=follow_redirects,
        transport=transport,
        verify=verify,
    )


def explain(
    err: httpx.HTTPError,
    where: str,
    authority: str = "set SSL_CERT_FILE to the file with its authority's certificate",
) -> FactoryError:
    """What an HTTP failure means for a user; `authority` says where one that we do not know of is
    named."""
    import httpx

    if isinstance(err, httpx.HTTPStatusError):
        return explain_status(err.response.status_code, where)
    if "CERTIFICATE_VERIFY_FAILED" in str(err):
        return TrustRefused(
            "the server's certificate is not trusted",
            where=where,
            fix=authority,
        )
    if isinstance(err, httpx.TimeoutException):
        return ServiceAway("the server did not answer in time", where=where, fix="try again later")
    return ServiceAway(
        f"cannot reach the server ({err})", where=where, fix="check its address, and that it is up"
    )


def explain_status(status: int, where: str) -> FactoryError:
    """What an HTTP status means for a user."""
    if status in {401, 403}:
        return TrustRefused(
            f"the server refused us ({status})",
            where=where,
            fix="log in first: apptainer registry login -u USER docker://HOST",
        )
    if status == 404:
        return ToolFailed(
            "the server has no such thing (404)", where=where, fix="check name and tag"
        )
    if status in TEMPORARY:
        return ServiceAway(
            f"the server is busy or broken ({status})", where=where, fix="try again later"
        )
    return ToolFailed(f"the server answered {status}", where=where)


def retrying(
    call: Callable[[], T],
    pauses: Iterable[float] = PAUSES,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call; again after each pause while ServiceAway is raised. Anything else leaves at once."""
    for pause in pauses:
        try:
            return call()
        except ServiceAway:
            sleep(pause)
    return call()
