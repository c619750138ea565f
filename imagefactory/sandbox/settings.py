"""What a user can set about the sandbox, and the names that follow from it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import ConfigurationFault, Fault
from imagefactory.base.files import data_folder

LABEL = "org.ebrains.imagefactory.sandbox"
FOLDER_LABEL = f"{LABEL}.folder"
PREFIX_VARIABLE = "IMAGEFACTORY_SANDBOX"
PORT_VARIABLE = "IMAGEFACTORY_REGISTRY_PORT"
USER = "scientist"
USER_ID = 1000
# Docker's own rule for names: moby/moby daemon/names.
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")


@dataclass(frozen=True)
class SandboxSettings:
    """The prefix of all names (two sandboxes can stand side by side), the port, the folder."""

    prefix: str
    registry_port: int
    folder: Path

    @property
    def registry(self) -> str:
        """The registry's one address, the same on the user's machine and on every login node."""
        return f"127.0.0.1:{self.registry_port}"

    @property
    def labels(self) -> dict[str, str]:
        """What marks everything of ours in the engine."""
        return {LABEL: self.prefix, FOLDER_LABEL: str(self.folder)}

    @property
    def registry_name(self) -> str:
        return f"{self.prefix}-registry"

    @property
    def outside(self) -> str:
        """The network of the login nodes and the registry; it reaches the world."""
        return f"{self.prefix}-outside"

    def inside(self, site: str) -> str:
        """The network of one site; it reaches nothing else."""
        return f"{self.prefix}-{site}-inside"

    def node(self, site: str, node: str) -> str:
        """The container's name of a node."""
        return f"{self.prefix}-{site}-{node}"

    def shared(self, site: str) -> str:
        """The volume that a site's nodes share."""
        return f"{self.prefix}-{site}-shared"

    def site_folder(self, site: str) -> Path:
        """Keys and configuration of one site, on the user's machine."""
        return self.folder / site

    def record(self, site: str) -> Path:
        """The site record that makes the site known to the other verbs."""
        return self.folder / "sites" / f"{site}.yaml"


def sandbox_settings() -> SandboxSettings:
    """The settings from the environment; raises ConfigurationFault with all faults."""
    prefix = os.environ.get(PREFIX_VARIABLE) or "imagefactory"
    port = os.environ.get(PORT_VARIABLE) or "5000"
    faults = []
    if not _NAME.fullmatch(prefix):
        faults.append(
            Fault(f"{prefix!r} cannot begin a name", PREFIX_VARIABLE, "lower case, digits, . _ -")
        )
    if not (port.isdigit() and 0 < int(port) < 65536):
        faults.append(Fault(f"{port!r} is no port", PORT_VARIABLE, "a number from 1 to 65535"))
    if faults:
        raise ConfigurationFault.from_faults(faults)
    return SandboxSettings(prefix, int(port), data_folder() / "sandbox")
