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

# A spliced node ends like a hash of the node that it was built as. Spack computes that one anew
# from what the splice left of it, so it need not be the hash under which that node stands.
_ENDING = 7
_FLAGS = ("cflags", "cppflags", "cxxflags", "fflags", "ldflags", "ldlibs")
_encode = json.JSONEncoder(separators=(",", ":")).encode

_Node = Mapping[str, Any]


def find_edit(node: _Node, place: str) -> Iterator[Fault]:
    """The fault of a node (in the shape of a lock) whose hash does not fit it, if so.

    Says nothing of nodes for which nothing can be said, see `_is_open`.
    """
    length = len(node["hash"]) - (_ENDING if "build_spec" in node else 0)
    wanted = node["hash"][:length]
    if any(_hash(form)[:length] == wanted for form in _forms(node)) or _is_open(node):
        return
    yield Fault(
        "the hash does not fit: this node was edited by hand",
        place,
        "take back the edit; to change it, write it into spack.yaml and make the lock again",
    )


def _forms(node: _Node) -> Iterator[dict[str, Any]]:
    """What Spack may have hashed for this node, the usual first."""
    whole = {key: value for key, value in node.items() if key != "hash"}
    yield whole
    if "external" in node:
        # Spack 1.1 and 1.2 hash an external that they took from another node's specification
        # (gcc, glibc) before it has a namespace. Seen in public locks of both.
        yield {key: value for key, value in whole.items() if key != "namespace"}
    if _format(node) == 4 and "compiler" in node["annotations"]:
        yield _as_format_4(whole)


def _as_format_4(whole: _Node) -> dict[str, Any]:
    """A node of Spack 0.21 to 0.23 that 1.x wrote, as it was when it got its hash."""
    name, _, version = str(whole["annotations"]["compiler"]).partition("@")
    compiler = {"name": name, "version": version.removeprefix("=")}
    form: dict[str, Any] = {}
    for key, value in whole.items():
        if key == "dependencies":
            form[key] = [
                {**one, "parameters": {k: v for k, v in one["parameters"].items() if k != "direct"}}
                for one in value
            ]
        elif key != "annotations":
            form[key] = value
        if key == "arch":
            form["compiler"] = compiler
    return form


def _hash(form: _Node) -> str:
    digest = hashlib.sha1(_encode(form).encode(), usedforsecurity=False).digest()
    return base64.b32encode(digest).decode().lower()


def _format(node: _Node) -> int:
    """The format of nodes in which this one got its hash; 5 where it does not say."""
    found: int = node.get("annotations", {}).get("original_specfile_version", 5)
    return found


def _is_open(node: _Node) -> bool:
    """True where Spack itself writes nodes that do not fit their hash.

    It hashes a node once and keeps that hash for ever: one of Spack 0.20 or older is written in
    the format of today, and the compiler flags of one that is reused are written sorted.
    """
    if _format(node) < 4:
        return True
    flags = [node.get("parameters", {}).get(name) for name in _FLAGS]
    return any(isinstance(one, list) and len(one) > 1 for one in flags)
