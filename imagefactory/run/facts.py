"""What the ranks saw, as facts of the run record. Pure, apart from reading their files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imagefactory.model import Model

Rank = Mapping[str, Any]


def read_ranks(folder: Path) -> list[dict[str, Any]]:
    """The ranks' files of an output folder, by rank; a damaged one counts as not written."""
    found = []
    for path in sorted(folder.glob("rank-*.json")):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(document, dict) and isinstance(document.get("rank"), int):
            found.append(document)
    return sorted(found, key=lambda rank: int(rank["rank"]))


def record_facts(model: Model, ranks: Sequence[Rank]) -> dict[str, dict[str, Any]]:
    """The sections pmix, versions, machine, network and timings of a record.

    Where ranks differ a fact is the texts of all, joined by " | ".
    """
    pmix = _merge(ranks, "pmix")
    return {
        "pmix": {
            "server": pmix.get("server_version"),
            "client": pmix.get("client_version"),
            "datastore": pmix.get("datastore"),
            "security": pmix.get("security"),
            "namespace": pmix.get("namespace"),
        },
        "versions": {**_merge(ranks, "versions"), "mpi": _one(rank.get("mpi") for rank in ranks)},
        "machine": {
            "nodes": sorted({str(rank.get("host")) for rank in ranks}),
            "cpu": _one(rank.get("cpu") for rank in ranks),
            "kernel": _one(rank.get("kernel") for rank in ranks),
            "libm": _one(rank.get("libm") for rank in ranks),
        },
        "network": _network(model, ranks),
        "timings": _timings(ranks),
    }


def _network(model: Model, ranks: Sequence[Rank]) -> dict[str, Any]:
    parts = [rank["network"] for rank in ranks if isinstance(rank.get("network"), dict)]
    if not parts or len(parts) != len(ranks):
        return {}
    merged = _merge(ranks, "network")
    merged["digest"] = model.network_digest([part["digest"] for part in parts])
    merged["connections"] = sum(int(part["connections"]) for part in parts)
    return merged


def _timings(ranks: Sequence[Rank]) -> dict[str, float]:
    """The slowest rank's seconds: the others wait for it."""
    slowest: dict[str, float] = {}
    for rank in ranks:
        for name, seconds in (rank.get("timings") or {}).items():
            slowest[name] = max(slowest.get(name, 0.0), float(seconds))
    return slowest


def _merge(ranks: Sequence[Rank], section: str) -> dict[str, Any]:
    sections = [rank.get(section) or {} for rank in ranks]
    names = dict.fromkeys(name for part in sections for name in part)
    return {name: _one(part.get(name) for part in sections) for name in names}


def _one(values: Iterable[Any], text: Callable[[Any], str] = str) -> Any:
    distinct = {json.dumps(value, sort_keys=True): value for value in values}
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    return " | ".join(sorted(text(value) for value in distinct.values())) or None
