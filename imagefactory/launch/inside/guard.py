"""Proves in every rank, before the program starts, that the run is the one that was asked for.

Called by start.py, in the program's own process, right after MPI started: what it sees is what the
program will use. One world of the size that was asked for is start.py's own check; here: one PMIx
server, the image's own MPI and PMIx libraries, the namespaces that the launch line promised.
Needs only Python's standard library and the communicator. Exit status 91: a proof failed.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

GUARD_FAILED = 91
NAMESPACES = ("user", "mnt", "pid", "ipc", "net")
# What takes part in starting ranks and in carrying messages; drivers of GPUs are the host's.
_LIBRARIES = re.compile(
    r"/lib(?:mpi|mpi_cxx|pmix|open-pal|open-rte|prrte|ucp|uct|fabric|pscom)\.so"
)
_IMAGE = Path("/.singularity.d")
_TOGETHER = ("sharens", "instance", "container")


def namespaces(proc: Path = Path("/proc")) -> dict[str, str | None]:
    """The namespaces of this process, by kind; None where the kernel does not say."""
    found: dict[str, str | None] = {}
    for kind in NAMESPACES:
        try:
            found[kind] = str((proc / "self" / "ns" / kind).readlink())
        except OSError:
            found[kind] = None
    return found


def libraries(maps: str) -> list[str]:
    """The files of MPI and its helpers that are in this process, from /proc/self/maps."""
    paths = {line.split(maxsplit=5)[5] for line in maps.splitlines() if _LIBRARIES.search(line)}
    return sorted(path.strip() for path in paths)


def foreign(paths: Iterable[str], mountinfo: str) -> list[str]:
    """Those files that another mount brought in than the image's own.

    With a layer over it the image is the mount of /; else its folders are mounted one by one, from
    the device that /.singularity.d comes from.
    """
    mounts = [
        (fields[4].replace("\\040", " "), fields[2])
        for fields in (line.split() for line in mountinfo.splitlines())
        if len(fields) > 4
    ]
    own = {_device(mounts, "/"), _device(mounts, "/.singularity.d"), _device(mounts, "/usr")}
    return [path for path in paths if _device(mounts, path) not in own]


def _device(mounts: Sequence[tuple[str, str]], path: str) -> str | None:
    """The device of the mount that a path is in: the longest one, of equals the last."""
    found: tuple[int, str | None] = (0, None)
    for place, device in mounts:
        inside = place == "/" or path == place or path.startswith(f"{place}/")
        if inside and len(place) >= found[0]:
            found = (len(place), device)
    return found[1]


def look(announced: Mapping[str, str | None], mpi: str | None) -> dict[str, Any]:
    """What this rank is; to be compared with the others."""
    paths = libraries(_text("/proc/self/maps"))
    return {
        "host": socket.gethostname(),
        **announced,
        "namespaces": namespaces(),
        "mpi": mpi,
        "libraries": paths,
        "foreign": foreign(paths, _text("/proc/self/mountinfo")) if _IMAGE.is_dir() else [],
    }


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""


def faults(ranks: Sequence[Mapping[str, Any]], expect: Mapping[str, Any]) -> list[dict[str, str]]:
    """What is not as promised, each with the id of its symptom; empty where all is proved.

    `expect`: `sharing` of the launch line, `mpi` the version that was read in the image. What is
    not known is not judged.
    """
    found = [*_servers(ranks), *_foreign(ranks), *_version(ranks, expect.get("mpi"))]
    found += _shared(ranks, "pid", "own-process-numbers")
    if expect.get("sharing") in _TOGETHER:
        found += _shared(ranks, "user", "namespaces-differ")
    return found


def _servers(ranks: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    seen = sorted({f"{rank['namespace']} ({rank['server']})" for rank in ranks})
    if len(seen) < 2:
        return []
    return [_fault("two-servers", f"the ranks have different PMIx servers: {', '.join(seen[:4])}")]


def _foreign(ranks: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    paths = sorted({path for rank in ranks for path in rank["foreign"]})
    return [_fault("foreign-library", f"{path} is not the image's") for path in paths]


def _version(ranks: Sequence[Mapping[str, Any]], version: str | None) -> list[dict[str, str]]:
    texts = sorted({rank["mpi"] for rank in ranks if rank["mpi"]})
    if len(texts) > 1:
        return [_fault("foreign-library", f"{texts[1]} is not the image's MPI alone: {texts[0]}")]
    plain = bool(texts) and re.match(r"Open MPI v|MPICH Version", texts[0])
    if version and plain and not re.search(rf"(?<![\d.]){re.escape(version)}(?!\d)", texts[0]):
        return [_fault("foreign-library", f"{texts[0]} is not the image's MPI, {version}")]
    return []


def _shared(ranks: Sequence[Mapping[str, Any]], kind: str, id_: str) -> list[dict[str, str]]:
    for host in sorted({rank["host"] for rank in ranks}):
        seen = {rank["namespaces"][kind] for rank in ranks if rank["host"] == host} - {None}
        if len(seen) > 1:
            what = f"on {host} the ranks of this node do not share one {kind} namespace, but have "
            return [_fault(id_, f"{what}{len(seen)}")]
    return []


def _fault(id_: str, what: str) -> dict[str, str]:
    return {"symptom": id_, "what": what}


def guard(
    world: Any, expect: Mapping[str, Any], announced: Mapping[str, str | None], mpi: str | None
) -> dict[str, Any]:
    """All proofs, by all ranks together; every rank gets the same faults.

    `world` is mpi4py's communicator, or None where there is no MPI; `announced` the PMIx server's
    `namespace` and `server` version, read before MPI adds names of its own.
    """
    began = time.perf_counter()
    mine = look(announced, mpi)
    looked = time.perf_counter()
    ranks = [mine] if world is None else world.allgather(mine)
    found = faults(ranks, expect)
    return {
        "namespaces": mine["namespaces"],
        "libraries": mine["libraries"],
        "faults": found,
        # The exchange waits for the slowest rank; that is no work of the guard's.
        "timings": {
            "guard_s": round(looked - began, 6),
            "guard_exchange_s": round(time.perf_counter() - looked, 6),
        },
    }
