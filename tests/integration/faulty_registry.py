"""A registry on the loopback that fails as told: the reading half of the OCI distribution protocol,
for one SIF a repository."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from imagefactory.registry.manifest import CONFIG, MANIFEST_TYPE, digest_of_bytes, write_manifest

RETRY_AFTER = 1  # seconds


def digest(content: bytes) -> str:
    return str(digest_of_bytes(content))


@dataclass(frozen=True)
class Answer:
    """What becomes of one request for the SIF: a status, a cut after so many bytes, other bytes."""

    status: int = 200
    cut: int | None = None
    content: bytes | None = None


@dataclass
class Repository:
    """One SIF, and the answers that the next requests get, for the SIF or for its manifest (status
    only). `before` is called before the SIF's body is sent; without `ranges` a request for a part
    is answered with the whole. `asked` has the times of the requests for the SIF."""

    sif: bytes
    ranges: bool = True
    answers: list[Answer] = field(default_factory=list)
    manifest_answers: list[Answer] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)
    before: Callable[[], None] = lambda: None
    served: int = 0
    tags: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.manifest = write_manifest(digest_of_bytes(self.sif), len(self.sif), "image")
        self.tags["1"] = self.manifest


class FaultyRegistry(ThreadingHTTPServer):
    """Listens on a port that the kernel chooses."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.lock = threading.Lock()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed has hung up: no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyRegistry

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        name, kind, what = ["", "", "", *self.path.removeprefix("/v2/").rsplit("/", 2)][-3:]
        repository = self.server.repositories.get(name)
        if repository is None or kind not in {"manifests", "blobs"}:
            self._send(Answer(content=b"{}") if self.path == "/v2/" else Answer(404))
        elif kind == "manifests":
            found = {digest(item): item for item in repository.tags.values()} | repository.tags
            found[digest(repository.manifest)] = repository.manifest
            answers = repository.manifest_answers
            answer = Answer(content=found[what]) if what in found else Answer(404)
            self._send(answers.pop(0) if answers else answer)
        elif what == digest(CONFIG):
            self._send(Answer(content=CONFIG))
        else:
            self._send_sif(repository)

    def _send_sif(self, repository: Repository) -> None:
        if self.command == "HEAD":
            self._send(Answer(content=repository.sif))
            return
        with self.server.lock:
            repository.asked.append(time.monotonic())
            answer = repository.answers.pop(0) if repository.answers else Answer()
            repository.served += answer.status == 200
        repository.before()
        content = repository.sif if answer.content is None else answer.content
        first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if answer.status != 200:
            self._send(Answer(answer.status))
        elif first is None or not repository.ranges:
            self._send(Answer(200, answer.cut, content))
        elif int(first[1]) >= len(content):
            self._send(Answer(416))
        else:
            self._send(Answer(206, answer.cut, content[int(first[1]) :]), int(first[1]))

    def _send(self, answer: Answer, first: int = 0) -> None:
        content = answer.content or b""
        self.send_response(answer.status)
        if "/manifests/" in self.path:
            self.send_header("Content-Type", MANIFEST_TYPE)
        self.send_header("Docker-Content-Digest", digest(content))
        self.send_header("Content-Length", str(len(content)))
        if answer.status == 206:
            last = first + len(content)
            self.send_header("Content-Range", f"bytes {first}-{last - 1}/{last}")
        if answer.status == 429:
            self.send_header("Retry-After", str(RETRY_AFTER))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(content[: answer.cut])
        if answer.cut is not None:
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the test's output."""


@contextmanager
def faulty_registry() -> Iterator[FaultyRegistry]:
    """A registry that is up as long as the block."""
    with FaultyRegistry() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
