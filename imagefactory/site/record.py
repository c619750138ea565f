"""What a site is: how to get there, what starts jobs and ranks, where its files go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Access:
    """How commands get to the site's login node: `local`, `ssh` with keys, or only by `unicore`."""

    kind: str
    host: str = ""
    port: int | None = None
    user: str | None = None
    identity: Path | None = None
    known_hosts: Path | None = None

    @property
    def where(self) -> str:
        """The login node, for people."""
        if self.kind == "local":
            return "this machine"
        if self.kind == "unicore":
            return "UNICORE"
        port = f":{self.port}" if self.port else ""
        return f"{self.user}@{self.host}{port}" if self.user else f"{self.host}{port}"


@dataclass(frozen=True)
class Scheduler:
    """What queues jobs: `slurm`, or `none`. The time limit is in minutes."""

    kind: str
    partition: str | None = None
    account: str | None = None
    time_limit_minutes: int = 30


@dataclass(frozen=True)
class Launcher:
    """What starts the ranks: the site's `srun` with a plugin, or the image's own `mpirun`."""

    kind: str
    plugin: str = ""
    sharens: bool = False


@dataclass(frozen=True)
class UnicoreAccess:
    """How UNICORE gets to the site: its name in a registry, or the URL of its core service.

    `ca` is the PEM file of an authority that the system does not know. `issuer` and `client_id`
    are for the device flow.
    """

    site: str = ""
    registry: str = ""
    url: str = ""
    ca: Path | None = None
    issuer: str = ""
    client_id: str = ""


@dataclass(frozen=True)
class Site:
    """One site. Both folders must be seen by the login node and by the compute nodes."""

    name: str
    description: str
    access: Access
    apptainer: str
    scheduler: Scheduler
    launcher: Launcher
    store: str
    work: str
    nodes: int = 1
    # What this site's users must set for MPI to work there; goes to every rank.
    environment: tuple[tuple[str, str], ...] = ()
    unicore: UnicoreAccess | None = None
