"""What goes over the wire: a request, a reply, and the times as UNICORE writes them."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

CONTROL = "/control"  # where faults are set and counted; no part of UNICORE
JSON = "application/json"
OCTETS = "application/octet-stream"


@dataclass(frozen=True)
class Request:
    """One request. `path` is decoded and has no query; header names are in lower case. `pairs` is
    the query where a key may be there more than once."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    pairs: tuple[tuple[str, str], ...] = ()

    @property
    def line(self) -> str:
        """METHOD PATH: what the faults are matched against."""
        return f"{self.method} {self.path}"

    @property
    def wants_octets(self) -> bool:
        return OCTETS in self.headers.get("accept", "")

    def document(self) -> Any:
        """The body as JSON; ValueError if it is none."""
        return json.loads(self.body.decode() or "{}")

    def form(self) -> dict[str, str]:
        """The body as a form (OIDC uses those)."""
        return dict(urllib.parse.parse_qsl(self.body.decode()))


@dataclass(frozen=True)
class Reply:
    """One reply. `length` None: the body is sent in chunks of unknown number.

    `wait` seconds pass first; with `send_at_most` the connection is closed after so many bytes of
    the body, with `hang_up` before the first byte of the reply.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
    length: int | None = 0
    wait: float = 0.0
    send_at_most: int | None = None
    hang_up: bool = False

    def with_headers(self, **added: str) -> Reply:
        """The same with more headers; `_` in a name stands for `-`."""
        names = {name.replace("_", "-"): value for name, value in added.items()}
        return replace(self, headers={**self.headers, **names})


def json_reply(document: object, status: int = 200) -> Reply:
    """A reply with a JSON body."""
    return text_reply(json.dumps(document), JSON, status)


def text_reply(text: str, kind: str, status: int = 200) -> Reply:
    """A reply with a short text of the media type `kind`."""
    content = text.encode()
    return Reply(status, {"content-type": kind}, (content,), len(content))


def error_reply(status: int, message: str) -> Reply:
    """An error as UNICORE/X words it (recorded: tsi-post-malformed.json)."""
    return json_reply({"errorMessage": message, "status": status}, status)


def empty_reply(status: int) -> Reply:
    """A status and nothing else: how UNICORE/X says 403, 404 and 432."""
    return Reply(status)


def iso(moment: datetime) -> str:
    """2026-11-23T00:47:07+0000"""
    return moment.strftime("%Y-%m-%dT%H:%M:%S+0000")


def java_date(moment: datetime) -> str:
    """Mon Nov 23 00:47:07 UTC 2026: how the lines of a job's log begin."""
    return moment.strftime("%a %b %d %H:%M:%S UTC %Y")


def now() -> datetime:
    """This moment in UTC."""
    return datetime.now(UTC)
