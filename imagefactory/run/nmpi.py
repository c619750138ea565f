"""The NMPI's REST calls (version 3), with a timeout on each and nothing written anywhere.

Not through the client `nmpi` 0.11.2: docs/architecture.md, decision 23.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from imagefactory.base.errors import (
    ConfigurationFault,
    FactoryError,
    ServiceAway,
    ToolFailed,
    TrustRefused,
    UsageFault,
    nearest,
)
from imagefactory.base.http import TEMPORARY, explain, open_client
from imagefactory.base.report import Report, size
from imagefactory.base.tokens import TokenRefused, TokenSource
from imagefactory.base.values import Digest
from imagefactory.run.states import JobState, from_nmpi
from imagefactory.site import JobQueue

if TYPE_CHECKING:
    import httpx

PAGE = 50
WORDS = 2000  # of what a server says


@dataclass(frozen=True)
class Quota:
    """What a collab may use of a platform, and has used."""

    limit: float
    usage: float
    units: str


@dataclass(frozen=True)
class SeenJob:
    """One look at a job: the queue's word, ours, and what is known of it; empty where it is not."""

    word: str
    state: JobState
    log: str = ""
    files: tuple[Mapping[str, Any], ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Nmpi:
    """A job queue. Every method raises ServiceAway for what may pass, TokenRefused for a token that
    is not taken, and other errors for what another call would not mend.

    Each call has a connection of its own: the service closes one after an error without a word.
    """

    queue: JobQueue
    tokens: TokenSource
    connect: Callable[[], httpx.Client]

    def check_right(self, collab: str) -> None:
        """Raises UsageFault where the token's owner may not submit for this collab."""
        known = [str(name) for name in self._json("GET", "/collabs/")]
        if collab not in known:
            raise UsageFault(
                f"you may not submit jobs for the collab {collab!r}: you are no editor of it, or "
                "there is none of that name",
                where=self.queue.url,
                fix=nearest(collab, known),
            )

    def quota(self, collab: str) -> Quota | None:
        """The collab's quota on this platform; None where the first job will make one."""
        projects = self._json("GET", f"/projects/?collab={quote(collab)}&status=accepted")
        for project in projects:
            for found in project.get("quotas") or ():
                if found["platform"] == self.queue.platform:
                    return Quota(float(found["limit"]), float(found["usage"]), str(found["units"]))
        return None

    def submit(self, job: Mapping[str, Any]) -> int:
        """Post a job; returns its number. After ServiceAway it may be there all the same: see
        `find`."""
        return int(self._json("POST", "/jobs/", job)["id"])

    def find(self, tag: str) -> list[int]:
        """Our jobs with this tag, the newest first; removed ones are not told."""
        jobs = self._json("GET", f"/jobs/?tags={quote(tag)}&size={PAGE}")
        return [int(job["id"]) for job in jobs if tag in job["tags"]]

    def look(self, number: int, report: Report, last: str = "", *, log: bool = False) -> SeenJob:
        """Ask for a job; a word that is unknown is warned of unless it is `last`."""
        found = self._json("GET", f"/jobs/{number}?with_log={'true' if log else 'false'}")
        return SeenJob(
            word=str(found["status"]),
            state=from_nmpi(str(found["status"]), report, last),
            log=found.get("log") or "",
            files=tuple((found.get("output_data") or {}).get("files") or ()),
            provenance=found.get("provenance") or {},
            usage=found.get("resource_usage") or {},
        )

    def remove(self, number: int) -> None:
        """Take a job off the queue. One that runs goes on at the provider."""
        self._json("DELETE", f"/jobs/{number}")

    def download(self, item: Mapping[str, Any], to: Path, bytes_: int, digest: Digest) -> None:
        """Fetch one output, whole and as its program said it is; our token is not sent.

        Raises TrustRefused for an address that is not the queue's or its provider's.
        """
        url = self._checked(item)
        hasher, count = hashlib.sha256(), 0
        with (
            _told(url),
            self.connect() as client,
            client.stream("GET", url, follow_redirects=False) as answer,
        ):
            if answer.status_code != 200:
                answer.read()
                raise _dead(answer.status_code, url)
            with to.open("wb") as sink:
                for chunk in answer.iter_bytes():
                    count += len(chunk)
                    if count > bytes_:
                        break
                    hasher.update(chunk)
                    sink.write(chunk)
        if count < bytes_:
            raise ServiceAway(f"the output came cut: {count} of {bytes_} bytes", where=url)
        if count != bytes_ or Digest(f"sha256:{hasher.hexdigest()}") != digest:
            raise TrustRefused(
                "this is not the output that the job's log tells of", where=url,
                fix=f"wanted {size(bytes_)}, {digest}",
            )  # fmt: skip

    def _checked(self, item: Mapping[str, Any]) -> str:
        url, path = str(item.get("url", "")), str(item.get("path") or "")
        parts, own = urlsplit(url), urlsplit(self.queue.url)
        ours = (parts.scheme, parts.netloc) == (own.scheme, own.netloc)
        given = parts.scheme in {"http", "https"} and parts.hostname in self.queue.output_hosts
        if not ours and not given:
            raise TrustRefused(
                "the job's output is linked to a place that we do not take files from", where=url,
                fix="if it is right, add its host to output_hosts of the queue's record",
            )  # fmt: skip
        if ".." in PurePosixPath(path).parts:
            raise TrustRefused(f"the job's output has a path that climbs out: {path!r}", where=url)
        return url

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        url = self.queue.url + path
        headers = {"Authorization": f"Bearer {self.tokens.get().secret.reveal()}"}
        with _told(url), self.connect() as client:
            answer = client.request(method, url, json=body, headers=headers)
            if answer.status_code >= 300:
                raise self._refused(answer, method, url)
            return answer.json()

    def _refused(self, answer: httpx.Response, method: str, url: str) -> FactoryError:
        status, said = answer.status_code, _said(answer)
        if status == 401:
            return TokenRefused(
                f"the queue does not accept our token ({said})",
                where=url,
                fix="get a new token; then go on: imagefactory runs resume RUN",
            )
        if status in TEMPORARY:
            return ServiceAway(
                f"the queue is away or broken ({status}): {said}", where=url, fix="try again later"
            )
        if status == 403 and "quota" in said:
            return ToolFailed(
                f"the quota is used up, or the queue has no platform {self.queue.platform!r} "
                f"({said})",
                where=url,
                fix="ask EBRAINS support for more quota; check the platform",
            )
        if status == 404 and method == "POST":
            return UsageFault(said, where=url, fix="check --collab; you must be an editor of it")
        return ToolFailed(f"the queue answered {status}: {said}", where=url)


def connect_nmpi(queue: JobQueue, tokens: TokenSource, verify: Any = True) -> Nmpi:
    """The queue's calls; nothing is asked yet."""
    return Nmpi(queue, tokens, lambda: open_client(verify=verify, follow_redirects=False))


def verification_of(queue: JobQueue) -> ssl.SSLContext:
    """The system's authorities, and the queue's own where its record names one."""
    if queue.ca is None:
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context()
        context.load_verify_locations(cafile=str(queue.ca))
    except (OSError, ssl.SSLError) as err:
        raise ConfigurationFault(
            f"this is no file of certificates: {err.strerror or err}", where=str(queue.ca),
            fix="ca of the queue's record is a PEM file",
        ) from None  # fmt: skip
    return context


def _said(answer: httpx.Response) -> str:
    """`detail` (a text, or a list of faults) or `error` of a reply, else its text."""
    try:
        document = answer.json()
    except ValueError:
        return answer.text[:WORDS].strip()
    if not isinstance(document, dict):
        return answer.text[:WORDS]
    detail = document.get("detail", document.get("error", ""))
    if isinstance(detail, list):
        return "; ".join(f"{one.get('loc')}: {one.get('msg')}" for one in detail)[:WORDS]
    return str(detail)[:WORDS]


def _dead(status: int, url: str) -> FactoryError:
    if status in TEMPORARY:
        return ServiceAway(f"the output's server answered {status}", where=url)
    return ToolFailed(
        f"the link to the job's output is dead ({status})",
        where=url,
        fix="providers keep output for some days only: run it again, and fetch sooner",
    )


@contextmanager
def _told(where: str) -> Iterator[None]:
    import httpx

    try:
        yield
    except httpx.InvalidURL:
        raise ToolFailed("the queue gave an address that is none", where=where) from None
    except httpx.HTTPError as err:
        raise explain(err, where, "name it in ca of the queue's record") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ServiceAway(
            "the answer is not an NMPI's", where=where, fix="check the queue's address"
        ) from None
