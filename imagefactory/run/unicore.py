"""UNICORE's REST interface through PyUNICORE: the only import of it, and the only place that knows
how its failures look (facts/unicore-nmpi.md 1.3, 2.9)."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from imagefactory.base.errors import (
    ConfigurationFault,
    FactoryError,
    ServiceAway,
    ToolFailed,
    TrustRefused,
    UsageFault,
    nearest,
)
from imagefactory.base.http import TEMPORARY, explain
from imagefactory.base.report import size
from imagefactory.base.tokens import TokenRefused, TokenSource
from imagefactory.run.states import JobState, from_unicore
from imagefactory.site import UnicoreAccess

if TYPE_CHECKING:
    from imagefactory.base.report import Report

READ_SECONDS = 60
SESSION_GONE = 432  # PyUNICORE asks again once; a second one is for us
PART_BYTES = 16_000_000
_REFUSED = re.compile(r"^(\d{3}) Server Error: (.*) for url: ", re.DOTALL)


@dataclass(frozen=True)
class Seen:
    """One look at a job: UNICORE's word, ours, what it says, and the exit code once it is known."""

    word: str
    state: JobState
    message: str = ""
    exit_code: int | None = None
    log: tuple[str, ...] = ()
    folder: str = ""


@dataclass(frozen=True)
class UnicoreSite:
    """The jobs and files of a site. One transport for all: each one more is a security session of
    its own, of which a user has a handful.

    Every method raises ServiceAway for what may pass, TrustRefused for what the server does not
    let us do, ToolFailed for the rest.
    """

    where: str
    core: str
    transport: Any

    def submit(self, description: Mapping[str, Any]) -> str:
        """Post a job; returns its URL. After ServiceAway it may be there all the same: see
        `find`."""
        with _told(self.where):
            # A copy: PyUNICORE and others write into what they are given.
            reply = self.transport.post(url=f"{self.core}/jobs", json=dict(description))
            return str(reply.headers["Location"])

    def find(self, tag: str) -> list[str]:
        """URLs of our jobs with this tag, the newest first."""
        with _told(self.where):
            url, found = f"{self.core}/jobs?tags={quote(tag)}", []
            for _ in range(100):
                page = self.transport.get(url=url)
                found += [str(job) for job in page["jobs"]]
                url = page.get("_links", {}).get("next", {}).get("href", "")
                if not url:
                    break
            return found

    def look(self, job: str, report: Report, last: str = "") -> Seen:
        """Ask for the job's state; a word that is unknown is warned of unless it is `last`."""
        with _told(job):
            found = self.transport.get(url=job)
            code = str(found.get("exitCode", ""))
            return Seen(
                word=str(found["status"]),
                state=from_unicore(str(found["status"]), report, last),
                message=str(found.get("statusMessage", "")),
                exit_code=int(code) if re.fullmatch(r"-?\d+", code) else None,
                log=tuple(str(line) for line in found.get("log", [])),
                folder=str(found["_links"]["workingDirectory"]["href"]),
            )

    def upload(self, folder: str, name: str, content: bytes) -> None:
        """Put one file into a job's folder; a second time does no harm."""
        with _told(f"{folder}: {name}"):
            reply = self.transport.put(
                url=_file(folder, name),
                headers={"Content-Type": "application/octet-stream"},
                content=content,
            )
            if reply.content:  # an error page of something between us and the server
                raise ServiceAway("the server did not take the file", where=f"{folder}: {name}")

    def start(self, job: str) -> None:
        """Let a job begin whose files are there; one that has begun is left alone."""
        self._act(job, "start")

    def abort(self, job: str) -> None:
        """End a job; one that is over is left alone. A precommand goes on to its own end."""
        self._act(job, "abort")

    def listing(self, folder: str, name: str) -> dict[str, int]:
        """Files right below a folder of the job: name and bytes. Empty where it is not there."""
        with _told(f"{folder}: {name}"):
            found = self._stat(folder, name)
            content = found.get("content", {}) if found else {}
            return {
                checked_name(path, name): int(about["size"])
                for path, about in content.items()
                if not about["isDirectory"]
            }

    def read(self, folder: str, name: str, limit: int) -> bytes | None:
        """The first `limit` bytes of a file; None where it is not there."""
        with _told(f"{folder}: {name}"):
            found = self._stat(folder, name)
            if found is None or found.get("isDirectory"):
                return None
            wanted = min(int(found["size"]), limit)
            return self._part(folder, name, 0, wanted) if wanted else b""

    def tail(self, folder: str, name: str, limit: int) -> bytes:
        """The last `limit` bytes of a file; none where it is not there."""
        with _told(f"{folder}: {name}"):
            found = self._stat(folder, name)
            whole = int(found["size"]) if found and not found.get("isDirectory") else 0
            count = min(whole, limit)
            return self._part(folder, name, whole - count, count) if count else b""

    def download(self, folder: str, name: str, to: Path, limit: int) -> bool:
        """Fetch a file, in parts, each with its size checked; False where it is not there.

        PyUNICORE's own download writes an error page as if it were the file.
        """
        with _told(f"{folder}: {name}"):
            found = self._stat(folder, name)
            if found is None or found.get("isDirectory"):
                return False
            whole = int(found["size"])
            if whole > limit:
                raise ToolFailed(
                    f"the results are larger than {size(limit)}", where=f"{folder}: {name}"
                )
            to.parent.mkdir(parents=True, exist_ok=True)
            with to.open("wb") as sink:
                for first in range(0, whole, PART_BYTES):
                    count = min(PART_BYTES, whole - first)
                    sink.write(self._part(folder, name, first, count))
            return True

    def _part(self, folder: str, name: str, first: int, count: int) -> bytes:
        reply = self.transport.get(
            url=_file(folder, name),
            to_json=False,
            headers={
                "Accept": "application/octet-stream",
                "Range": f"bytes={first}-{first + count - 1}",
            },
        )
        content = bytes(reply.content)
        kind = str(reply.headers.get("content-type", ""))
        if kind.startswith("text/html") or len(content) != count:
            raise ServiceAway(
                f"the server sent {len(content)} bytes of {kind or 'no type'} in place of {count}",
                where=f"{folder}: {name}",
                fix="try again later: imagefactory runs fetch RUN",
            )
        return content

    def _stat(self, folder: str, name: str) -> dict[str, Any] | None:
        try:
            with _told(f"{folder}: {name}"):
                found = self.transport.get(url=_file(folder, name))
        except NotThere:
            return None
        return dict(found)

    def _act(self, job: str, word: str) -> None:
        with _told(job):
            self.transport.post(url=f"{job}/actions/{word}", json={})


class NotThere(ToolFailed):
    """The server says 404: of a job, that it was deleted or that its lifetime is over."""


def connect(
    access: UnicoreAccess, tokens: TokenSource, verify: ssl.SSLContext | bool
) -> UnicoreSite:
    """The site behind an address, with TLS verified and the token accepted.

    Raises UsageFault for a name that the registry does not have, with the nearest one.
    """
    try:
        from pyunicore.client import Client, Registry, Transport
        from pyunicore.credentials import Credential
    except ImportError:
        raise ToolFailed(
            "PyUNICORE is not installed", fix="pip install 'imagefactory[unicore]'"
        ) from None

    class Bearer(Credential):  # type: ignore[misc]
        """Asked for every request: a newer token is used as soon as there is one."""

        def get_auth_header(self) -> str:
            return f"Bearer {tokens.get().secret.reveal()}"

    transport = Transport(Bearer(), verify=verify, timeout=READ_SECONDS)
    address = access.url.rstrip("/")
    if not address:
        with _told(access.registry):
            known = dict(Registry(transport, access.registry).site_urls)
        if access.site not in known:
            raise UsageFault(
                f"the registry has no site {access.site!r}",
                where=access.registry,
                fix=nearest(access.site, known),
            )
        address = known[access.site]
    with _told(address):
        Client(transport, address)  # raises where the token's owner is not known there
    return UnicoreSite(access.site or address, address, transport)


def verification(access: UnicoreAccess) -> ssl.SSLContext | bool:
    """The system's authorities, and the site's own where its record names one."""
    if access.ca is None:
        return True
    try:
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=str(access.ca))
    except (OSError, ssl.SSLError) as err:
        raise ConfigurationFault(
            f"this is no file of certificates: {err.strerror or err}", where=str(access.ca),
            fix="unicore.ca of the site record is a PEM file",
        ) from None  # fmt: skip
    return context


def checked_name(path: str, folder: str) -> str:
    """The file's own name; raises TrustRefused for one that is not right below `folder`."""
    place = PurePosixPath("/") / folder
    found = PurePosixPath("/") / path.lstrip("/")
    if ".." in found.parts or found.parent != place or not found.name.isprintable():
        raise TrustRefused(f"the site names a file that we do not take: {path!r}")
    return found.name


def _file(folder: str, name: str) -> str:
    return f"{folder}/files/{quote(name)}"


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Failures of PyUNICORE, which have no type and no code of their own, as ours."""
    import httpx
    from pyunicore.credentials import AuthenticationFailedException

    try:
        yield
    except FactoryError:
        raise
    except AuthenticationFailedException:
        raise _unknown_user(where) from None
    except httpx.InvalidURL:
        raise ToolFailed("the server gave an address that is none", where=where) from None
    except httpx.HTTPError as err:
        found = _REFUSED.match(str(err))
        if found:
            raise explain_refusal(int(found[1]), found[2], where) from None
        raise explain(err, where, "name it in unicore.ca of the site record") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ServiceAway(
            "the server's answer is not UNICORE's",
            where=where,
            fix="check unicore.registry or unicore.url of the site record; try again later",
        ) from None


def explain_refusal(status: int, text: str, where: str) -> FactoryError:
    """What an HTTP status of a UNICORE server means for a user."""
    if status == 401 and "no accessible" in text:
        # Said for a while after a server's start, although the site itself answers.
        return ServiceAway(f"the server is not ready ({text})", where=where, fix="try again later")
    if status in {401, 403}:
        return TokenRefused(
            f"the server does not accept our token ({status})",
            where=where,
            fix="get a new token; then go on: imagefactory runs resume RUN",
        )
    if status == 404:
        return NotThere("the server has no such thing (404)", where=where)
    if status in TEMPORARY or status == SESSION_GONE:
        return ServiceAway(
            f"the server is busy or broken ({status}): {text}", where=where, fix="try again later"
        )
    return ToolFailed(f"the server answered {status}: {text}", where=where)


def _unknown_user(where: str) -> TokenRefused:
    return TokenRefused(
        "the site does not know the token's owner, or the token is another issuer's",
        where=where,
        fix="ask the site for access; check the token",
    )
