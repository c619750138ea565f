"""The manifest of a SIF: the same bytes that `apptainer push` writes, and a strict reader."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from imagefactory.base.errors import Fault, TrustRefused, UsageFault
from imagefactory.base.values import Digest, ImageRef

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
CONFIG_TYPE = "application/vnd.sylabs.sif.config.v1+json"
LAYER_TYPE = "application/vnd.sylabs.sif.layer.v1.sif"
# Apptainer reads the older word too: internal/pkg/client/oras (facts/pmix-containers.md 8).
LAYER_TYPES = {LAYER_TYPE, "appliciation/vnd.sylabs.sif.layer.tar", f"{LAYER_TYPE}.proto"}
CONFIG = b"{}"
MANIFEST_LIMIT = 4 * 1024 * 1024  # distribution-spec v1.1, "Pushing Manifests"


@dataclass(frozen=True)
class Artifact:
    """A SIF in a registry. `layer` is the sha256 of the SIF itself; `size` is in bytes."""

    reference: ImageRef  # pinned by digest
    manifest: Digest
    layer: Digest
    size: int


def digest_of_bytes(content: bytes) -> Digest:
    """The sha256 of some bytes."""
    return Digest(f"sha256:{hashlib.sha256(content).hexdigest()}")


def write_manifest(layer: Digest, size: int, title: str) -> bytes:
    """The manifest of a SIF, byte for byte what Apptainer 1.5 writes for a file of that name."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": {
            "mediaType": CONFIG_TYPE,
            "size": len(CONFIG),
            "digest": str(digest_of_bytes(CONFIG)),
        },
        "layers": [
            {
                "mediaType": LAYER_TYPE,
                "size": size,
                "digest": str(layer),
                "annotations": {"org.opencontainers.image.title": title},
            }
        ],
    }
    return json.dumps(document, separators=(",", ":")).encode()


def read_manifest(content: bytes, reference: ImageRef) -> Artifact:
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
    faults = _faults(document, where)
    if faults:
        raise TrustRefused.from_faults(faults)
    layer = document["layers"][0]
    return Artifact(reference.at(digest), digest, Digest(layer["digest"]), layer["size"])


def _faults(document: dict[str, Any], where: str) -> list[Fault]:
    if document.get("mediaType") == INDEX_TYPE or "manifests" in document:
        return [Fault("this is an index of several images, not one SIF", where, "name one of them")]
    layers = document.get("layers")
    if not isinstance(layers, list) or len(layers) != 1 or not isinstance(layers[0], dict):
        count = len(layers) if isinstance(layers, list) else "no"
        return [Fault(f"a SIF has one layer, this has {count}", where, "is this a Docker image?")]
    layer, faults = layers[0], []
    if layer.get("mediaType") not in LAYER_TYPES:
        faults.append(Fault(f"the layer is {layer.get('mediaType')!r}, not a SIF", where))
    size = layer.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size <= 0:
        faults.append(Fault(f"the layer's size is {size!r}", where))
    try:
        Digest(str(layer.get("digest")))
    except UsageFault as err:
        faults.append(Fault(str(err.faults[0].what), where))
    return faults
