"""A registry in memory that speaks distribution-spec v1.1 to requests, and fails on demand."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.models import PreparedRequest, Response

from imagefactory.base.values import ImageRef
from imagefactory.registry.connection import Registry

Answer = Callable[[PreparedRequest], Response | None]


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def reply(
    request: PreparedRequest,
    status: int,
    body: bytes = b"",
    raw: Any = None,
    **headers: str,
) -> Response:
    response = Response()
    response.status_code = status
    response.raw = raw or io.BytesIO(body)
    response.url = str(request.url)
    response.request = request
    response.headers.update({key.replace("_", "-"): value for key, value in headers.items()})
    return response


class CutStream(io.BytesIO):
    """Gives what it has, then the connection is gone."""

    def read(self, count: int | None = -1, **_: object) -> bytes:
        found = super().read(count)
        if not found:
            message = "connection reset"
            raise requests.exceptions.ConnectionError(message)
        return found


class FakeRegistry(BaseAdapter):
    """Keeps blobs, manifests and tags; `faults` answer first, each as often as it stands there."""

    def __init__(self) -> None:
        super().__init__()
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.tags: dict[str, str] = {}
        self.faults: list[Answer] = []
        self.log: list[str] = []
        self.slept: list[float] = []

    def connect(self, ref: ImageRef) -> Registry:
        """A Registry of ours whose every request comes here."""
        registry = Registry(ref, self.slept.append)
        registry.session.mount("http://", self)
        registry.session.mount("https://", self)
        return registry

    def fail(self, status: int, times: int = 99, **headers: str) -> None:
        """Answer the next requests with this status."""
        self.faults += [lambda request: reply(request, status, b"<html>", **headers)] * times

    def close(self) -> None:
        pass

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:
        parts = urlsplit(str(request.url))
        self.log.append(f"{request.method} {parts.path.split('/v2/', 1)[-1]}")
        if self.faults:
            answer = self.faults.pop(0)(request)
            if answer is not None:
                return answer
        kind, _slash, name = str(parts.path).split("/v2/a/nest/", 1)[1].partition("/")
        if kind == "manifests":
            return self._manifest(request, name)
        if kind == "tags":
            return reply(request, 200, json.dumps({"tags": sorted(self.tags)}).encode())
        return self._blob(request, name, parse_qs(parts.query))

    def _manifest(self, request: PreparedRequest, name: str) -> Response:
        if request.method == "PUT":
            body = bytes(request.body or b"")  # type: ignore[arg-type]
            self.manifests[digest(body)] = body
            self.tags[name] = digest(body)
            return reply(request, 201)
        found = self.manifests.get(self.tags.get(name, name))
        if found is None:
            return reply(request, 404)
        return reply(request, 200, found, Docker_Content_Digest=digest(found))

    def _blob(self, request: PreparedRequest, name: str, query: dict[str, list[str]]) -> Response:
        if request.method == "POST":
            return reply(request, 202, Location="/v2/a/nest/blobs/uploads/1")
        if request.method == "PUT":
            body: Any = request.body
            content = body if isinstance(body, bytes) else body.read()
            if digest(content) != query["digest"][0]:
                return reply(request, 400)
            self.blobs[query["digest"][0]] = content
            return reply(request, 201)
        found = self.blobs.get(name)
        if found is None:
            return reply(request, 404)
        return reply(request, 200, b"" if request.method == "HEAD" else found)
