"""The Docker engine as the sandbox needs it: few words, and the only import of docker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed
from imagefactory.sandbox.settings import FOLDER_LABEL, LABEL

Labels = Mapping[str, str]
KEY_LABEL = f"{LABEL}.image"
TIMEOUT_SECONDS = 120
# What unprivileged Apptainer and Slurm need without --privileged, which is refused where root
# itself lacks a capability: facts/building-blocks.md 3.
SITE_NODE_OPTIONS: dict[str, Any] = {
    "cap_add": ["ALL"],
    "cap_drop": ["SYS_RESOURCE"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "devices": ["/dev/fuse"],
}


@dataclass(frozen=True)
class Mount:
    """A folder of the user's machine (absolute path) or a volume (name), and its place inside."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class Network:
    """A network; an internal one reaches nothing outside itself."""

    name: str
    internal: bool


@dataclass(frozen=True)
class Container:
    """A container to be started. `ports`: inside, and on the user's loopback (None: any free)."""

    name: str
    hostname: str
    image: str
    command: tuple[str, ...]
    networks: tuple[tuple[str, str], ...]  # name, our name there
    mounts: tuple[Mount, ...] = ()
    ports: tuple[tuple[int, int | None], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    runs_apptainer: bool = False
    isolated: bool = False  # knows no names but those of its own networks


@dataclass(frozen=True)
class Held:
    """Something that the engine holds for us."""

    kind: str  # container, network, volume
    name: str
    running: bool = False
    ports: dict[int, int] = field(default_factory=dict)  # inside: on the user's loopback
    folder: str = ""  # the sandbox folder that it belongs to


class Engine(Protocol):
    """What the sandbox asks of a container engine."""

    @property
    def address(self) -> str:
        """Where the engine answers."""

    def images(self) -> list[str]:
        """The tags of the site images that are held."""

    def import_image(self, tar: Path, tag: str) -> None:
        """Make an image of a root file system."""

    def held(self, prefix: str) -> list[Held]:
        """Every container, network and volume with our label for `prefix`."""

    def make_network(self, network: Network, labels: Labels) -> None: ...

    def make_volume(self, name: str, labels: Labels) -> None: ...

    def start(self, container: Container, labels: Labels) -> None: ...

    def execute(self, container: str, argv: Sequence[str], user: str = "root") -> tuple[int, str]:
        """Run a program in a container: its status and what it wrote."""

    def log_tail(self, container: str, lines: int = 15) -> str: ...

    def remove(self, held: Held) -> None:
        """Remove it by force; nothing to do if it is gone."""


class DockerEngine:
    """The Docker engine at `address` (unix:///..., tcp://...)."""

    def __init__(self, address: str) -> None:
        import docker

        self._address = address
        with _translated(address):
            self._client: Any = docker.DockerClient(base_url=address, timeout=TIMEOUT_SECONDS)
            self._client.ping()

    @property
    def address(self) -> str:
        return self._address

    def images(self) -> list[str]:
        with _translated(self._address):
            found = self._client.images.list(filters={"label": KEY_LABEL})
            return sorted(tag for image in found for tag in image.tags)

    def import_image(self, tar: Path, tag: str) -> None:
        repository, _, name = tag.partition(":")
        with _translated(tag):
            self._client.api.import_image_from_file(
                str(tar), repository, name, changes=[f"LABEL {KEY_LABEL}={name}"]
            )

    def held(self, prefix: str) -> list[Held]:
        chosen = {"label": f"{LABEL}={prefix}"}
        with _translated(self._address):
            # The low-level list is one request; the high-level one inspects each container,
            # which fails if one is removed meanwhile.
            found = self._client.api.containers(all=True, filters=chosen)
            networks = self._client.networks.list(filters=chosen)
            volumes = self._client.volumes.list(filters=chosen)
        return [
            *(_container(entry) for entry in found),
            *(_other("network", network.name, network.attrs) for network in networks),
            *(_other("volume", volume.name, volume.attrs) for volume in volumes),
        ]

    def make_network(self, network: Network, labels: Labels) -> None:
        with _translated(network.name):
            self._client.networks.create(
                network.name, driver="bridge", internal=network.internal, labels=dict(labels)
            )

    def make_volume(self, name: str, labels: Labels) -> None:
        with _translated(name):
            self._client.volumes.create(name, labels=dict(labels))

    def start(self, container: Container, labels: Labels) -> None:
        api = self._client.api
        first, *others = container.networks
        with _translated(container.name):
            networking = api.create_networking_config(
                {first[0]: api.create_endpoint_config(aliases=[first[1]])}
            )
            api.create_container(
                container.image,
                list(container.command),
                name=container.name,
                hostname=container.hostname,
                labels=dict(labels),
                environment=dict(container.environment),
                ports=[inside for inside, _ in container.ports],
                host_config=self._host_config(container),
                networking_config=networking,
            )
            for name, alias in others:
                api.connect_container_to_network(container.name, name, aliases=[alias])
            api.start(container.name)

    def _host_config(self, container: Container) -> Any:
        from docker.types import Mount as DockerMount

        mounts = [
            DockerMount(
                mount.target,
                mount.source,
                type="bind" if mount.source.startswith("/") else "volume",
                read_only=mount.read_only,
            )
            for mount in container.mounts
        ]
        config = self._client.api.create_host_config(
            mounts=mounts,
            network_mode=container.networks[0][0],
            port_bindings={inside: ("127.0.0.1", port) for inside, port in container.ports},
            # Docker's resolver lets a question that it cannot pass on wait: 20 s for each name.
            dns_opt=["timeout:1", "attempts:1"] if container.isolated else None,
            **(SITE_NODE_OPTIONS if container.runs_apptainer else {}),
        )
        if container.runs_apptainer:
            # What the command line calls systempaths=unconfined: docker/cli opts.
            config |= {"MaskedPaths": [], "ReadonlyPaths": []}
        return config

    def execute(self, container: str, argv: Sequence[str], user: str = "root") -> tuple[int, str]:
        with _translated(container):
            result = self._client.containers.get(container).exec_run(list(argv), user=user)
        return int(result.exit_code), result.output.decode(errors="replace")

    def log_tail(self, container: str, lines: int = 15) -> str:
        with _translated(container):
            log: bytes = self._client.containers.get(container).logs(tail=lines)
        return log.decode(errors="replace").strip()

    def remove(self, held: Held) -> None:
        from docker.errors import NotFound

        with _translated(held.name):
            try:
                if held.kind == "container":
                    self._client.containers.get(held.name).remove(force=True, v=True)
                elif held.kind == "network":
                    self._client.networks.get(held.name).remove()
                else:
                    self._client.volumes.get(held.name).remove(force=True)
            except NotFound:
                return


def _container(entry: dict[str, Any]) -> Held:
    ports = {
        port["PrivatePort"]: port["PublicPort"]
        for port in entry.get("Ports") or ()
        if "PublicPort" in port
    }
    name = entry["Names"][0].lstrip("/")
    folder = entry["Labels"].get(FOLDER_LABEL, "")
    return Held("container", name, entry["State"] == "running", ports, folder)


def _other(kind: str, name: str, attributes: dict[str, Any]) -> Held:
    return Held(kind, name, folder=(attributes.get("Labels") or {}).get(FOLDER_LABEL, ""))


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Docker's and requests' errors, said as ours."""
    import docker.errors
    import requests

    try:
        yield
    except docker.errors.APIError as err:
        raise _explained(err, where) from None
    except (docker.errors.DockerException, requests.RequestException) as err:
        raise ServiceAway(
            f"the Docker engine does not answer ({err})",
            where=where,
            fix="imagefactory setup, then again",
        ) from None


def _explained(err: Any, where: str) -> FactoryError:
    reason = str(err.explanation or err)
    if "port is already allocated" in reason or "address already in use" in reason:
        return ToolFailed(
            f"a port is in use: {reason}",
            where=where,
            fix="choose another one: IMAGEFACTORY_REGISTRY_PORT=5001",
        )
    return ToolFailed(f"the Docker engine refused: {reason}", where=where)
