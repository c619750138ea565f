"""Push and pull: planned by asking what is there already, done with every byte hashed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from imagefactory.base.errors import (
    ConfigurationFault,
    ServiceAway,
    ToolFailed,
    TrustRefused,
    UsageFault,
    nearest,
)
from imagefactory.base.files import CHUNK, digest_of, require_space, whole_file
from imagefactory.base.http import PAUSES, retrying
from imagefactory.base.report import Report, size
from imagefactory.base.values import Digest, ImageRef
from imagefactory.registry.connection import Registry
from imagefactory.registry.manifest import (
    CONFIG,
    INDEX_TYPE,
    MANIFEST_LIMIT,
    MANIFEST_TYPE,
    SIF,
    Artifact,
    Kind,
    digest_of_bytes,
    read_manifest,
    write_manifest,
)

if TYPE_CHECKING:
    import requests

SIF_MODE = 0o755


@dataclass(frozen=True)
class PushPlan:
    """What a push would do. `before` is the manifest that the tag names now, if it names one."""

    sif: Path
    artifact: Artifact
    tag: ImageRef
    manifest: bytes
    has_layer: bool
    before: Digest | None

    @property
    def complete(self) -> bool:
        """True if the tag names this very image already."""
        return self.before == self.artifact.manifest

    def lines(self) -> list[str]:
        """The plan for people."""
        if self.complete:
            return [f"nothing to do: {self.tag} is {self.artifact.manifest} already"]
        layer = f"{size(self.artifact.size)}, {self.artifact.layer}"
        moved = f"moved from {self.before}" if self.before else "new"
        return [
            f"the SIF is there already: {layer}" if self.has_layer else f"upload the SIF: {layer}",
            f"write the manifest {self.artifact.manifest}",
            f"set the tag {self.tag} ({moved})",
        ]


@dataclass(frozen=True)
class PullPlan:
    """What a pull would do. `complete`: the file is there and is the right one."""

    artifact: Artifact
    to: Path
    complete: bool

    def lines(self) -> list[str]:
        """The plan for people."""
        if self.complete:
            return [f"nothing to do: {self.to} is {self.artifact.layer} already"]
        verb = "replace" if self.to.exists() else "write"
        return [
            f"download {size(self.artifact.size)}, {self.artifact.layer}",
            f"{verb} {self.to}",
        ]


def resolve(
    ref: ImageRef, report: Report, registry: Registry | None = None, kind: Kind = SIF
) -> Artifact:
    """What a reference names now; the manifest is checked against its digest.

    Raises ToolFailed for a tag that is not there (nearest shown), ServiceAway, TrustRefused.
    """
    registry = registry or Registry(ref)
    response = _get_manifest(ref, registry)
    if response is None:
        raise ToolFailed("there is no such image", where=str(ref), fix=_nearest_tag(ref, registry))
    content = response.content
    if len(content) > MANIFEST_LIMIT:
        raise TrustRefused(f"a manifest of {size(len(content))}", where=str(ref))
    artifact = read_manifest(content, ref, kind)
    told = response.headers.get("Docker-Content-Digest")
    if told and told != str(artifact.manifest):
        raise TrustRefused(
            f"the registry calls the manifest {told}, its bytes are {artifact.manifest}",
            where=str(ref),
        )
    return artifact


def plan_push(
    sif: Path, ref: ImageRef, report: Report, registry: Registry | None = None, kind: Kind = SIF
) -> PushPlan:
    """Decide a push: hashes the file, asks the registry what it has; changes nothing."""
    if ref.tag is None:
        raise UsageFault("a push needs a tag, not a digest", where=str(ref), fix="NAME:TAG")
    if kind is SIF:
        _require_sif(sif)
    registry = registry or Registry(ref)
    whole = sif.stat().st_size
    layer = digest_of(sif, lambda count: report.progress("hash", count, whole))
    # Not the local file's name: the same SIF is the same manifest wherever it was pushed from.
    manifest = write_manifest(layer, whole, ref.repository.rpartition("/")[2], kind)
    digest = digest_of_bytes(manifest)
    there = _get_manifest(ref, registry)
    return PushPlan(
        sif=sif,
        artifact=Artifact(ref.at(digest), digest, layer, whole),
        tag=ref,
        manifest=manifest,
        has_layer=_has_blob(layer, registry),
        before=digest_of_bytes(there.content) if there is not None else None,
    )


def push(
    sif: Path, ref: ImageRef, report: Report, registry: Registry | None = None, kind: Kind = SIF
) -> Artifact:
    """Push a file under a tag; what the registry has already is not sent again.

    The tag is set last, so that it never names an image that is not there whole.
    """
    registry = registry or Registry(ref)
    plan = plan_push(sif, ref, report, registry, kind)
    if plan.complete and plan.has_layer:
        report.note(plan.lines()[0])
        return plan.artifact
    with report.step(f"push {sif.name} to {ref}"):
        if not plan.has_layer:
            with sif.open("rb") as stream:
                body = partial(_FileBody, stream, plan.artifact.size, report)
                _upload(plan.artifact.layer, plan.artifact.size, body, registry)
        if not _has_blob(digest_of_bytes(CONFIG), registry):
            _upload(digest_of_bytes(CONFIG), len(CONFIG), lambda: CONFIG, registry)
        registry.call(
            "PUT",
            f"manifests/{ref.tag}",
            headers={"Content-Type": MANIFEST_TYPE},
            body=lambda: plan.manifest,
        )
        found = resolve(ref, report, registry, kind)
    if found.manifest != plan.artifact.manifest:
        raise TrustRefused(
            f"after the push the tag names {found.manifest}, not {plan.artifact.manifest}",
            where=str(ref),
            fix="somebody pushed at the same time: push again",
        )
    return plan.artifact


def plan_pull(
    ref: ImageRef, to: Path, report: Report, registry: Registry | None = None, kind: Kind = SIF
) -> PullPlan:
    """Decide a pull; changes nothing."""
    if to.is_dir():
        raise UsageFault("this is a folder", where=str(to), fix=f"name a file: {to}/NAME.sif")
    artifact = resolve(ref, report, registry, kind)
    same = to.is_file() and to.stat().st_size == artifact.size and digest_of(to) == artifact.layer
    return PullPlan(artifact, to, same)


def pull(
    ref: ImageRef,
    to: Path,
    report: Report,
    registry: Registry | None = None,
    sleep: Callable[[float], None] = time.sleep,
    kind: Kind = SIF,
) -> Artifact:
    """Pull a file into the file `to`: whole and checked, or not at all (what was there stays)."""
    registry = registry or Registry(ref)
    plan = plan_pull(ref, to, report, registry, kind)
    if plan.complete:
        report.note(plan.lines()[0])
        return plan.artifact
    require_space(to.absolute().parent, plan.artifact.size)
    with report.step(f"pull {ref}"), whole_file(to, SIF_MODE) as temporary:
        retrying(lambda: _download(plan.artifact, temporary, report, registry), PAUSES, sleep)
    return plan.artifact


def _get_manifest(ref: ImageRef, registry: Registry) -> requests.Response | None:
    name = ref.digest or ref.tag
    accept = {"Accept": f"{MANIFEST_TYPE}, {INDEX_TYPE}"}
    return registry.call("GET", f"manifests/{name}", headers=accept, absent_is_fine=True)


def _nearest_tag(ref: ImageRef, registry: Registry) -> str:
    response = registry.call("GET", "tags/list", absent_is_fine=True)
    try:
        tags = response.json().get("tags") if response is not None else None
    except (ValueError, AttributeError):
        tags = None
    if ref.tag is None or not isinstance(tags, list) or not tags:
        return "check host, project, name and tag"
    return nearest(ref.tag, [str(tag) for tag in tags])


def _has_blob(digest: Digest, registry: Registry) -> bool:
    return registry.call("HEAD", f"blobs/{digest}", absent_is_fine=True) is not None


def _upload(digest: Digest, length: int, body: Any, registry: Registry) -> None:
    """One blob, in one request after the session is opened (distribution-spec, POST then PUT)."""
    opened = registry.call("POST", "blobs/uploads/", headers={"Content-Length": "0"})
    place = opened.headers.get("Location") if opened is not None else None
    if not place:
        raise ToolFailed("the registry opened no upload", where=registry.address("blobs/uploads/"))
    mark = "&" if "?" in place else "?"
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(length)}
    registry.call("PUT", f"{place}{mark}digest={digest}", headers=headers, body=body)


class _FileBody:
    """A file as the body of a request, that tells how far it was read."""

    def __init__(self, stream: BinaryIO, length: int, report: Report) -> None:
        stream.seek(0)  # each try begins anew
        self._stream = stream
        self._length = length
        self._report = report
        self._sent = 0

    def __len__(self) -> int:
        return self._length

    def read(self, count: int = -1) -> bytes:
        # The HTTP library asks for 16 kB at a time; a larger piece is twice as fast.
        chunk = self._stream.read(max(count, CHUNK) if count > 0 else count)
        self._sent += len(chunk)
        self._report.progress("upload", self._sent, self._length)
        return chunk


def _download(artifact: Artifact, to: Path, report: Report, registry: Registry) -> None:
    response = registry.call("GET", f"blobs/{artifact.layer}", stream=True)
    assert response is not None  # noqa: S101 - absent_is_fine was not asked for
    hasher, count = hashlib.sha256(), 0
    with response, to.open("wb") as stream:
        for chunk in _chunks(response, registry):
            hasher.update(chunk)
            stream.write(chunk)
            count += len(chunk)
            if count > artifact.size:
                break
            report.progress("download", count, artifact.size)
    if count < artifact.size:
        raise ServiceAway(
            f"the download was cut at {size(count)} of {size(artifact.size)}",
            where=str(artifact.reference),
            fix="pull again",
        )
    if f"sha256:{hasher.hexdigest()}" != str(artifact.layer):
        raise TrustRefused(
            "what the registry sent is not what its manifest says: altered or damaged",
            where=str(artifact.reference),
            fix="push the image again, and tell those who run the registry",
        )


def _chunks(response: requests.Response, registry: Registry) -> Iterator[bytes]:
    from requests.exceptions import RequestException

    try:
        yield from response.iter_content(CHUNK)
    except (RequestException, OSError) as err:
        raise ServiceAway(
            f"the connection was cut ({type(err).__name__})", where=response.url, fix="pull again"
        ) from None


def _require_sif(sif: Path) -> None:
    from imagefactory.image import require_sif

    try:
        require_sif(sif)
    except ConfigurationFault as err:
        raise UsageFault.from_faults(err.faults) from None
