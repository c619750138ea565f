"""The manifest of one file: for a SIF the same bytes that `apptainer push` writes; a strict
reader."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from imagefactory.base.errors import Fault, TrustRefused, UsageFault
from imagefactory.base.values import Digest, ImageRef

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG = b"{}"
MANIFEST_LIMIT = 4 * 1024 * 1024  # distribution-spec v1.1, "Pushing Manifests"


@dataclass(frozen=True)
class Kind:
    """What the one file of an artifact is: `layer_types` are read, the first one is written."""

    name: str
    config_type: str
    layer_types: tuple[str, ...]
    suffix: str


SIF = Kind(
    "SIF",
    "application/vnd.sylabs.sif.config.v1+json",
    (
        "application/vnd.sylabs.sif.layer.v1.sif",
        # Apptainer reads the older words too: internal/pkg/client/oras (pmix-containers.md 8).
        "appliciation/vnd.sylabs.sif.layer.tar",
        "application/vnd.sylabs.sif.layer.v1.sif.proto",
    ),
    ".sif",
)
SPACK_LOCK = Kind(
    "Spack lock",
    "application/vnd.imagefactory.spack.lock.config.v1+json",
    ("application/vnd.imagefactory.spack.lock.v1+json",),
    ".lock",
)
IMAGE_FACTS = Kind(
    "image's facts",
    "application/vnd.imagefactory.image.facts.config.v1+json",
    ("application/vnd.imagefactory.image.facts.v1+json",),
    ".json",
)


@dataclass(frozen=True)
class Artifact:
    """One file in a registry. `layer` is the sha256 of the file itself; `size` is in bytes."""

    reference: ImageRef  # pinned by digest
    manifest: Digest
    layer: Digest
    size: int


def digest_of_bytes(content: bytes) -> Digest:
    """The sha256 of some bytes."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def write_manifest(layer: Digest, size: int, name: str, kind: Kind = SIF) -> bytes:
    """The manifest of a file; for a SIF byte for byte what Apptainer 1.5 writes for NAME.sif."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": kind.config_type,
            "size": len(CONFIG),
            "digest": str(digest_of_bytes(CONFIG)),
        },
        "layers": [
            {
                "mediaType": kind.layer_types[0],
                "size": size,
                "digest": str(layer),
                "annotations": {"org.opencontainers.image.title": f"{name}{kind.suffix}"},
            }
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read_manifest(content: bytes, reference: ImageRef, kind: Kind = SIF) -> Artifact:
    """Read a manifest that some tool pushed; raises TrustRefused with everything wrong in it."""
    where = str(reference)
    digest = digest_of_bytes(content)
    if reference.digest is not None and digest != reference.digest:
        raise TrustRefused(
            f"the registry sent another manifest: {digest}",
            where=where,
            fix="pull again; if it stays, tell those who run the registry",
        )
    try:
        document = json.loads(content)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise TrustRefused(
            "the registry's answer is no manifest (no JSON)",
            where=where,
            fix="check the address; a log-in page answers like this",
        )
    faults = _faults(document, where, kind)
    if faults:
        raise TrustRefused.from_faults(faults)
    layer = document["layers"][0]
    return Artifact(reference.at(digest), digest, Digest(layer["digest"]), layer["size"])


def _faults(document: dict[str, Any], where: str, kind: Kind) -> list[Fault]:
    if document.get("mediaType") == INDEX_TYPE or "manifests" in document:
        return [
            Fault(
                f"this is an index of several images, not one {kind.name}",
                where,
                "name one of them",
            )
        ]
    layers = document.get("layers")
    if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], dict):
        count = len(layers) if isinstance(layers, list) else "no"
        return [
            Fault(
                f"a {kind.name} has one layer, this has {count}", where, "is this a Docker image?"
            )
        ]
    layer, faults = layers[0], []
    if layer.get("mediaType") not in kind.layer_types:
        faults.append(Fault(f"the layer is {layer.get('mediaType')!r}, not a {kind.name}", where))
    size = layer.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        faults.append(Fault(f"the layer's size is {size!r}", where))
    try:
        Digest(str(layer.get("digest")))
    except UsageFault as err:
        faults.append(Fault(str(err.faults[0].what), where))
    return faults
