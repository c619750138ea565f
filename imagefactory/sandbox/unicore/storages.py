"""The files of a storage: a job's folder or the user's home, read and changed over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagefactory.base.errors import FactoryError
from imagefactory.sandbox.unicore.core import SiteFace, file_document, folder_document
from imagefactory.sandbox.unicore.jobs import inside
from imagefactory.sandbox.unicore.login import Login
from imagefactory.sandbox.unicore.wire import (
    OCTETS,
    Reply,
    Request,
    empty_reply,
    error_reply,
    json_reply,
    text_reply,
)

BUFFER = 32768  # what fits in the server's buffer is sent with its length, more in chunks
# Recorded: tsi-file-unreadable-octet.json.
_NAMESPACE = 'xmlns:ns1="http://cxf.apache.org/bindings/xformat"'
ERROR_BODY = (
    f"<ns1:XMLFault {_NAMESPACE}><ns1:faultstring {_NAMESPACE}>"
    "java.io.IOException: Error reading from TSI</ns1:faultstring></ns1:XMLFault>"
)


@dataclass(frozen=True)
class Storage:
    """One storage: its name, and the folder at the site that is its top."""

    face: SiteFace
    key: str
    folder: str
    login: Login

    def handle(self, request: Request, path: str) -> Reply:
        """Answer a request for `path`, which begins with `/`."""
        place = inside(self.folder, path)
        answers = {
            "GET": self._download if request.wants_octets else self._describe,
            "PUT": self._upload,
            "POST": self._make_folder,
            "DELETE": self._remove,
        }
        answer = answers.get(request.method)
        if answer is None:
            return empty_reply(405)
        try:
            return answer(request, path, place)
        except FactoryError as err:
            return error_reply(500, f"Error handling '{path}': {err.faults[0].what}")

    def act(self, request: Request, action: str) -> Reply:
        """rename or copy, from and to."""
        document = request.document()
        source = inside(self.folder, str(document.get("from", "")))
        target = inside(self.folder, str(document.get("to", "")))
        work = {"rename": self.login.rename, "copy": self.login.copy}.get(action)
        if work is None:
            return empty_reply(404)
        try:
            work(source, target)
        except (FactoryError, OSError):
            return error_reply(500, f"Error handling action: '{action}'")
        return empty_reply(204)

    def _describe(self, _request: Request, path: str, place: str) -> Reply:
        facts = self.login.stat(place)
        if facts is None:
            return empty_reply(404)
        if not facts.is_folder:
            found = json_reply(file_document(self.face, self.key, facts))
            return found.with_headers(accept_ranges="bytes")
        content = self.login.listing(place)
        return json_reply(folder_document(self.face, self.key, path, facts, content))

    def _download(self, request: Request, _path: str, place: str) -> Reply:
        facts = self.login.stat(place)
        if facts is None:
            return empty_reply(404)
        if facts.is_folder:
            return empty_reply(406)
        asked = request.headers.get("range")
        first, count = (0, facts.size) if asked is None else read_range(asked, facts.size)
        if first < 0:
            return error_reply(416, f"Range header '{asked}' cannot be parsed")
        try:
            chunks = _begun(self.login.read(place, first, count))
        except FactoryError:
            return text_reply(ERROR_BODY, OCTETS, 500)
        length = count if count < BUFFER else None
        return Reply(206 if asked else 200, {"content-type": OCTETS}, chunks, length)

    def _upload(self, request: Request, _path: str, place: str) -> Reply:
        self.login.write(place, request.body)
        return empty_reply(204)

    def _make_folder(self, _request: Request, path: str, place: str) -> Reply:
        self.login.make_folder(place)
        where = f"{self.face.core}/storages/{self.key}/files{path}"
        return Reply(201, {"location": where})

    def _remove(self, _request: Request, _path: str, place: str) -> Reply:
        self.login.remove(place)
        return empty_reply(204)


def read_range(text: str, size: int) -> tuple[int, int]:
    """First byte and how many of a Range header; (-1, 0) if it is none that can be served."""
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", text.strip())
    if not found or not (found[1] or found[2]):
        return -1, 0
    if not found[1]:
        count = min(int(found[2]), size)
        return size - count, count
    first = int(found[1])
    last = min(int(found[2]), size - 1) if found[2] else size - 1
    if found[2] and int(found[2]) < first:
        return -1, 0
    return first, max(last + 1 - first, 0)


def _begun(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same chunks; an error of the first one is raised now."""
    first = next(chunks, b"")

    def all_of_it() -> Iterator[bytes]:
        yield first
        yield from chunks

    return all_of_it()
