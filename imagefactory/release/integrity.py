"""Was a node of a lock edited by hand? Its hash is computed again, without Spack.

Source: `Spec.spec_hash` and `Spec.to_node_dict` in spack/spec.py of Spack 0.23.1 and 1.1.0. The
hash of a node is the sha1, in base 32, of the node itself as compact JSON in the order of its
keys, without the key `hash`; the hashes of its dependencies are in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from imagefactory.base.errors import Fault

_KEPT = 7  # how many characters a spliced node keeps of the hash that it was built under
_FLAGS = ("cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs")


def find_edit(node: Mapping[str, Any], place: str) -> Iterator[Fault]:
    """The fault of a node (in the shape of a lock) whose hash does not fit it, if so.

    Says nothing of nodes for which nothing can be said, see `_is_open`.
    """
    if any(_hash(form, node) == node["hash"] for form in _forms(node)) or _is_open(node):
        return
    yield Fault(
        "the hash does not fit: this node was edited by hand",
        place,
        "take back the edit; to change it, write it into spack.yaml and make the lock again",
    )


def _forms(node: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What Spack may have hashed for this node."""
    whole = {key: value for key, value in node.items() if key != "hash"}
    yield whole
    if "external" in node:
        # Spack 1.1 and 1.2 hash an external that they took from another node's specification
        # (gcc, glibc) before it has a namespace. Seen in public locks of both.
        yield {key: value for key, value in whole.items() if key != "namespace"}


def _hash(form: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    text = json.dumps(form, separators=(",", ":"))
    digest = base64.b32encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest())
    found = digest.decode().lower()
    if "build_spec" in node:
        return found[:-_KEPT] + str(node["build_spec"]["hash"])[-_KEPT:]
    return found


def _is_open(node: Mapping[str, Any]) -> bool:
    """True where Spack itself writes nodes that do not fit their hash.

    It hashes a node once and keeps that hash for ever: one that an older Spack made is written
    in the format of today, and the compiler flags of one that is reused are written sorted.
    """
    if node.get("annotations", {}).get("original_specfile_version", 5) < 5:
        return True
    flags = [node.get("parameters", {}).get(name) for name in _FLAGS]
    return any(isinstance(one, list) and len(one) > 1 for one in flags)
