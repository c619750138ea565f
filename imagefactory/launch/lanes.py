"""Which transport ranks took, from what UCX, Open MPI, MPICH and ParaStation say of it. Pure.

Shapes of the lines: UCX 1.10 to 1.22 (facts/pmix-containers.md 4), Open MPI's bml with
btl_base_verbose, MPICH's summary (ofi_init.c), pscom's connection types (pscom_con.c).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

NEAR = ("cfg#", "ep_cfg[", "btl for send to", "libfabric provider:", " via ")
_UCX = re.compile(
    r"(?:(?P<where>intra-node|inter-node|self)\s+)?(?:cfg#\d+|ep_cfg\[\d+\]:?)\s+(?P<lanes>\S.*)"
)
_UCX_LANE = re.compile(r"\b(?P<transport>[a-z][a-z0-9_]*)/(?P<device>[\w:.-]+)")
_BML = re.compile(
    r"\[(?P<own>[^\s:\]]+):\d+\].*\bUsing (?P<transport>\w+) btl for send to \S+ "
    r"on node (?P<node>\S+)"
)
_MPICH = re.compile(r"libfabric provider: (?P<provider>[\w;.-]+)")
_PSCOM = re.compile(r"<PSP.*\b(?:CONNECT|ACCEPT)\s+.*\bvia (?P<transport>\w+)")
_NODE_LOCAL = {"sysv", "posix", "cma", "xpmem", "knem", "shm", "vader", "sm", "smcuda"}
_TCP = {"tcp", "sockets", "udp"}
_NO_LANE = {"self", "loop", "demand", "none", "memory"}


@dataclass(frozen=True)
class Lane:
    """What carries messages: `where` is intra-node, inter-node or unknown."""

    library: str
    where: str
    transports: tuple[str, ...]

    @property
    def tcp(self) -> bool:
        """Whether any of it is TCP, or UDP."""
        return any(one.partition("/")[0] in _TCP for one in self.transports)

    def __str__(self) -> str:
        return f"{self.library}, {self.where}: {' '.join(self.transports)}"


def lane_of(line: str) -> Lane | None:
    """The lane that a line tells of, or None; a rank's way to itself is no lane."""
    if found := _UCX.search(line):
        return _ucx(found["where"], found["lanes"])
    if found := _BML.search(line):
        if found["transport"] in _NO_LANE:
            return None
        where = "intra-node" if found["own"] == found["node"] else "inter-node"
        return Lane("Open MPI", where, (found["transport"],))
    if found := _MPICH.search(line):
        return Lane("MPICH", "inter-node", tuple(found["provider"].split(";")))
    if found := _PSCOM.search(line):
        if found["transport"] in _NO_LANE:
            return None
        where = "intra-node" if found["transport"] in _NODE_LOCAL else "inter-node"
        return Lane("ParaStation", where, (found["transport"],))
    return None


def _ucx(where: str | None, lanes: str) -> Lane | None:
    pairs = dict.fromkeys(_UCX_LANE.findall(lanes))
    names = {transport for transport, _ in pairs} - _NO_LANE
    if where == "self" or not names or ("self", "memory") in pairs:
        return None
    if where is None:  # before 1.18 or so UCX does not say it
        where = "intra-node" if names & _NODE_LOCAL else "inter-node"
    shown = tuple(
        transport if device == "memory" else f"{transport}/{device}"
        for transport, device in pairs
        if transport not in _NO_LANE
    )
    return Lane("UCX", where, shown)
