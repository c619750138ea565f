"""The double on a socket: TLS on the loopback, and replies that may be late, cut or lost."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

from imagefactory.base.report import Report
from imagefactory.sandbox.unicore.certificates import Certificates
from imagefactory.sandbox.unicore.wire import Reply, Request, error_reply

LOOPBACK = "127.0.0.1"
IDLE_SECONDS = 60
BODY_LIMIT = 1 << 30
http.client.responses.setdefault(432, "Security session gone")


class Server(ThreadingHTTPServer):
    """Answers from `handle`. The port is chosen by the kernel unless one is given."""

    daemon_threads = True
    request_queue_size = 256
    handle: Callable[[Request], Reply]
    report: Report

    def __init__(
        self,
        certificates: Certificates,
        report: Report,
        port: int = 0,
        added: Mapping[str, str] = MappingProxyType({"X-Frame-Options": "DENY"}),
    ) -> None:
        self.report = report
        self.added = added  # headers of every reply
        super().__init__((LOOPBACK, port), _Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.server, certificates.key)
        # The handshake is left to the thread of the connection: one slow client stops nobody.
        self.socket = context.wrap_socket(
            self.socket, server_side=True, do_handshake_on_connect=False
        )

    @property
    def base(self) -> str:
        """https://127.0.0.1:PORT"""
        return f"https://{LOOPBACK}:{self.server_address[1]}"

    def start(self) -> None:
        """Serve in a thread until `close`."""
        threading.Thread(target=self.serve_forever, name="unicore-server", daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, or does not trust us, is no event."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS
    server: Server

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a request's line may hold what a user would not print."""

    def _serve(self) -> None:
        length = self.headers.get("Content-Length", "0")
        try:
            body = b"".join(self._chunks()) if self._is_chunked() else self._exactly(int(length))
        except (ValueError, OSError):
            self.close_connection = True
            return
        try:
            reply = self.server.handle(self._request(body))
        except Exception as err:  # a defect of ours is told, and is one request's
            self.server.report.warn(f"{self.command}: {err!r}")
            reply = error_reply(500, f"Error: {err!r}")
        if reply.wait:
            time.sleep(reply.wait)
        if reply.hang_up:
            self._hang_up()
            return
        with contextlib.suppress(OSError):
            self._send(reply)

    def _request(self, body: bytes) -> Request:
        url = urllib.parse.urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        pairs = tuple(urllib.parse.parse_qsl(url.query))
        path = urllib.parse.unquote(url.path)
        return Request(self.command, path, dict(pairs), headers, body, pairs)

    def _is_chunked(self) -> bool:
        return "chunked" in self.headers.get("Transfer-Encoding", "").lower()

    def _exactly(self, length: int) -> bytes:
        if not 0 <= length <= BODY_LIMIT:
            raise ValueError
        content = self.rfile.read(length)
        if len(content) < length:  # the client was cut: nothing may come of half a request
            raise ValueError
        return content

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self._exactly(size)
            self.rfile.readline()
        self.rfile.readline()

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {**self.server.added, **reply.headers}.items():
            self.send_header(name, value)
        has_body = reply.status != 204
        if has_body and reply.length is None:
            self.send_header("Transfer-Encoding", "chunked")
        elif reply.length is not None and has_body:
            self.send_header("Content-Length", str(reply.length))
        self.end_headers()
        if has_body and self.command != "HEAD":
            self._send_body(reply)

    def _send_body(self, reply: Reply) -> None:
        if reply.send_at_most is not None:
            self.wfile.write(b"".join(reply.body)[: reply.send_at_most])
            self._hang_up()
        elif reply.length is not None:
            for chunk in reply.body:
                self.wfile.write(chunk)
        else:
            for chunk in reply.body:
                if chunk:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
