"""Locks for tests, with hashes that fit: what Spack writes, made by other code than ours."""

from __future__ import annotations

import hashlib
import json
from base64 import b32encode
from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from imagefactory.release.lock import Lock, parse_lock


@dataclass(frozen=True)
class Made:
    """A node with its hash, and the nodes it needs."""

    content: dict[str, Any]
    hash: str
    needs: tuple[Made, ...] = field(default=())

    def all(self) -> dict[str, dict[str, Any]]:
        found = {self.hash: {**deepcopy(self.content), "hash": self.hash}}
        for one in self.needs:
            found |= one.all()
        return found


@dataclass(frozen=True)
class Use:
    """An edge that is more than build and link."""

    node: Made
    kinds: tuple[str, ...] = ("build", "link")
    virtuals: tuple[str, ...] = ()


def spack_hash(content: dict[str, Any]) -> str:
    text = json.dumps(content, ensure_ascii=True, indent=None, separators=(",", ":"))
    return b32encode(hashlib.sha1(text.encode()).digest()).decode().lower()  # noqa: S324


def node(spec: str, *needs: Made | Use, **extra: Any) -> Made:
    """A node of format 6 of `name@version`; `extra` are its keys, and its `variants`."""
    name, _, version = spec.partition("@")
    uses = [one if isinstance(one, Use) else Use(one) for one in needs]
    variants = extra.pop("variants", {})
    after = {key: extra.pop(key) for key in ("build_spec", "annotations") if key in extra}
    content: dict[str, Any] = {
        "name": name,
        "version": version or "1.0",
        "arch": {"platform": "linux", "platform_os": "debian12", "target": "x86_64_v3"},
        "namespace": "builtin",
        "parameters": {"build_system": "generic", **variants},
        "package_hash": f"{name[:4]}{version}====",
        **extra,
    }
    if uses:
        content["dependencies"] = [
            {
                "name": one.node.content["name"],
                "hash": one.node.hash,
                "parameters": {"deptypes": list(one.kinds), "virtuals": list(one.virtuals)},
            }
            for one in sorted(uses, key=lambda one: str(one.node.content["name"]))
        ]
    content |= {"annotations": {"original_specfile_version": 5}} | after
    found = spack_hash(content)
    if "build_spec" in content:
        found = found[:-7] + content["build_spec"]["hash"][-7:]
    return Made(content, found, tuple(one.node for one in uses))


def external(spec: str, path: str = "/usr", **extra: Any) -> Made:
    place: dict[str, Any] = {"path": path, "module": None, "extra_attributes": {}}
    return node(spec, external=place, **extra)


def by(compiler: Made, *languages: str) -> Use:
    """A compiler as format 6 has it: what it is used for says which language."""
    return Use(compiler, ("build",), languages or ("c", "cxx"))


def document(*roots: Made, nodes: Iterable[Made] = (), number: int = 6) -> dict[str, Any]:
    """A whole lock; what the roots need is in it, and `nodes` besides."""
    found: dict[str, Any] = {}
    for one in (*roots, *nodes):
        found |= one.all()
    return {
        "_meta": {
            "file-type": "spack-lockfile",
            "lockfile-version": number,
            "specfile-version": number - 1,
        },
        "spack": {"version": "1.1.0", "type": "git", "commit": "2" * 40},
        "roots": [{"hash": one.hash, "spec": one.content["name"]} for one in roots],
        "concrete_specs": found,
    }


def lock(*roots: Made) -> Lock:
    return parse_lock(json.dumps(document(*roots)), "spack.lock")
