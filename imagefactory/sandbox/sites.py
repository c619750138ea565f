"""What the two sites are: pure data and texts, no effects."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

from imagefactory.base.files import digest_of_text
from imagefactory.sandbox.engine import Container, Mount, Network
from imagefactory.sandbox.settings import USER, USER_ID, SandboxSettings
from imagefactory.site import Access

COMPUTE_NODES = ("c1", "c2")
NODES = ("login", *COMPUTE_NODES)
PROCESSORS = 2  # a node; Slurm's config_overrides lets a small machine pretend
PARTITION = "batch"
SITE_REPOSITORY = "imagefactory-sandbox"
# Keys made while packages are installed are no secret, and every site gets its own.
_DROP_KEYS = 'rm -f "$1"/etc/ssh/ssh_host_* "$1"/etc/munge/munge.key'
# Debian 12's mpi/pmix plugin opens libpmix.so, which only libpmix-dev (with 20 more) has.
_LINK_PMIX = (
    'for library in "$1"/usr/lib/*/pmix2/lib/libpmix.so.2; do '
    '[ ! -e "$library" ] || ln -sf libpmix.so.2 "${library%.2}"; done'
)
_COMMON = (
    "ca-certificates", "fuse3", "iproute2", "munge", "openssh-server", "procps", "slurm-client",
    "slurmctld", "slurmd", "socat", "squashfuse", "util-linux",
)  # fmt: skip


@dataclass(frozen=True)
class SiteRoot:
    """The root file system of a site: a Debian suite and its packages."""

    name: str
    description: str
    packages: tuple[str, ...]

    @property
    def mmdebstrap_options(self) -> tuple[str, ...]:
        """Options for mmdebstrap."""
        return (
            "--variant=minbase",
            f"--include={','.join(self.packages)}",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            f"--customize-hook={_DROP_KEYS}",
            f"--customize-hook={_LINK_PMIX}",
        )

    @property
    def key(self) -> str:
        """Changes when, and only when, the image must be built again."""
        return digest_of_text(json.dumps([self.name, *self.mmdebstrap_options])).short

    @property
    def tag(self) -> str:
        return f"{SITE_REPOSITORY}:{self.name}-{self.key}"


SITES = (
    SiteRoot(
        "bookworm",
        "sandbox: Debian 12, Slurm 22.05, PMIx 4.2",
        tuple(sorted((*_COMMON, "docker-registry", "libpmix2"))),
    ),
    SiteRoot(
        "trixie",
        "sandbox: Debian 13, Slurm 24.11, PMIx 5.0",
        tuple(sorted((*_COMMON, "libpmix2t64"))),
    ),
)


def slurm_conf(site: str) -> str:
    """Slurm's configuration: works without systemd and cgroups (facts/building-blocks.md 4)."""
    nodes = ",".join(COMPUTE_NODES)
    return f"""\
ClusterName={site}
SlurmctldHost=login
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
# A container lacks CAP_SYS_RESOURCE: limits cannot be raised.
PropagateResourceLimits=NONE
# Jobs start at once: a demo has no queue.
SchedulerParameters=batch_sched_delay=0,bf_interval=5
KillWait=5
# Apptainer holds the first rank of a node until the others end (--sharens), for a minute and more;
# a step that outlives this many seconds after its kill would have its node drained.
UnkillableStepTimeout=300
SlurmdTimeout=60
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
NodeName={nodes} CPUs={PROCESSORS} State=UNKNOWN
PartitionName={PARTITION} Nodes={nodes} Default=YES MaxTime=60 DefaultTime=10 State=UP
"""


def sshd_config() -> str:
    """The ssh server of a login node: keys only, the ordinary user only."""
    return f"""\
HostKey /etc/ssh/ssh_host_ed25519_key
AllowUsers {USER}
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
LogLevel ERROR
MaxStartups 100
MaxSessions 100
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""


def registry_config() -> str:
    """The OCI registry (distribution 2.8): no login, deletion allowed; loopback only outside."""
    return """\
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: /var/lib/registry}
  delete: {enabled: true}
http: {addr: ":5000"}
"""


def node_script() -> str:
    """The first process of every container."""
    return files("imagefactory.sandbox").joinpath("node.sh").read_text(encoding="utf-8")


def login_access(settings: SandboxSettings, site: str, port: int) -> Access:
    """How a site's login node is reached: by ssh on the loopback, its host key pinned."""
    return Access(
        kind="ssh",
        host="127.0.0.1",
        port=port,
        user=USER,
        identity=settings.folder / "id_ed25519",
        known_hosts=settings.site_folder(site) / "known_hosts",
    )


def site_record(
    site: SiteRoot, settings: SandboxSettings, port: int, apptainer: Path
) -> dict[str, object]:
    """The site record (schema 1) as a document."""
    access = asdict(login_access(settings, site.name, port))
    return {
        "schema": 1,
        "name": site.name,
        "description": site.description,
        "access": {
            key: str(value) if isinstance(value, Path) else value for key, value in access.items()
        },
        "apptainer": str(apptainer),
        "scheduler": {"kind": "slurm", "partition": PARTITION, "time_limit_minutes": 30},
        "launcher": {"kind": "srun", "plugin": "pmix", "sharens": True},
        "folders": {"store": "/shared/imagefactory/store", "work": "/shared/imagefactory/runs"},
        "nodes": len(COMPUTE_NODES),
    }


def networks(settings: SandboxSettings) -> list[Network]:
    """All networks: one that reaches the world, and one for each site that does not."""
    return [
        Network(settings.outside, internal=False),
        *(Network(settings.inside(site.name), internal=True) for site in SITES),
    ]


def volumes(settings: SandboxSettings) -> list[str]:
    """All volumes: the registry's store and each site's shared folder."""
    return [settings.registry_name, *(settings.shared(site.name) for site in SITES)]


def registry_container(settings: SandboxSettings) -> Container:
    """The one registry, published on the loopback of the user's machine."""
    return Container(
        name=settings.registry_name,
        hostname="registry",
        image=SITES[0].tag,
        command=("/bin/bash", "/sandbox/node.sh", "registry", str(settings.registry_port)),
        networks=((settings.outside, "registry"),),
        mounts=(
            Mount(str(settings.folder / "registry"), "/sandbox", read_only=True),
            Mount(settings.registry_name, "/var/lib/registry"),
        ),
        ports=((5000, settings.registry_port),),
    )


def node_container(
    site: SiteRoot, node: str, settings: SandboxSettings, apptainer: tuple[Path, ...]
) -> Container:
    """One node of a site; only the login node is on the network that reaches the world."""
    login = node == "login"
    role = "login" if login else "compute"
    inside = (settings.inside(site.name), node)
    return Container(
        name=settings.node(site.name, node),
        hostname=node,
        image=site.tag,
        command=("/bin/bash", "/sandbox/node.sh", role, str(settings.registry_port)),
        networks=((settings.outside, f"{site.name}-login"), inside) if login else (inside,),
        mounts=(
            Mount(str(settings.site_folder(site.name) / "node"), "/sandbox", read_only=True),
            Mount(settings.shared(site.name), "/shared"),
            *(Mount(str(path), str(path), read_only=True) for path in apptainer),
        ),
        ports=((22, None),) if login else (),
        environment=(("SITE_USER", USER), ("SITE_USER_ID", str(USER_ID))),
        runs_apptainer=True,
        isolated=not login,
    )


def containers(settings: SandboxSettings, apptainer: tuple[Path, ...]) -> list[Container]:
    """Every container of the sandbox, in the order in which they are started."""
    nodes = [node_container(site, node, settings, apptainer) for site in SITES for node in NODES]
    return [registry_container(settings), *nodes]
