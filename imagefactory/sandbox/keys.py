"""The keys and configuration files of a sandbox, written anew at each start."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from imagefactory.base.files import whole_file, write_text
from imagefactory.base.process import Runner
from imagefactory.base.report import Report
from imagefactory.sandbox.settings import SandboxSettings
from imagefactory.sandbox.sites import (
    SITES,
    SiteRoot,
    node_script,
    registry_config,
    slurm_conf,
    sshd_config,
)

MUNGE_KEY_BYTES = 128
KEYGEN_SECONDS = 30


def write_files(settings: SandboxSettings, report: Report) -> None:
    """Everything that the containers are given; only the user can read the folder."""
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.folder.chmod(0o700)
    identity = make_key(settings.folder / "id_ed25519", "imagefactory sandbox", report)
    registry = settings.folder / "registry"
    write_text(registry / "registry.yml", registry_config())
    write_text(registry / "node.sh", node_script())
    for site in SITES:
        _write_site(site, settings, identity, report)


def known_hosts_line(port: int, public_key: str) -> str:
    """What ssh must find for a login node on the user's loopback."""
    kind, key = public_key.split()[:2]
    return f"[127.0.0.1]:{port} {kind} {key}\n"


def write_known_hosts(site: str, port: int, settings: SandboxSettings) -> None:
    """Pin the host key of a login node; `port` is known once it runs."""
    public = settings.site_folder(site) / "node" / "host_key.pub"
    line = known_hosts_line(port, public.read_text(encoding="utf-8"))
    write_text(settings.site_folder(site) / "known_hosts", line, mode=0o600)


def make_key(path: Path, comment: str, report: Report) -> str:
    """Make an ssh key pair (private part 0600); returns the public part."""
    for old in (path, path.with_name(f"{path.name}.pub")):
        old.unlink(missing_ok=True)
    argv = ("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path)
    Runner(report).run(*argv, timeout=KEYGEN_SECONDS)
    return path.with_name(f"{path.name}.pub").read_text(encoding="utf-8")


def _write_site(site: SiteRoot, settings: SandboxSettings, identity: str, report: Report) -> None:
    node = settings.site_folder(site.name) / "node"
    shutil.rmtree(node, ignore_errors=True)
    node.mkdir(parents=True)
    make_key(node / "host_key", f"{settings.prefix} {site.name}", report)
    write_text(node / "authorized_keys", identity)
    write_text(node / "slurm.conf", slurm_conf(site.name))
    write_text(node / "sshd_config", sshd_config())
    write_text(node / "node.sh", node_script())
    with whole_file(node / "munge.key", mode=0o600) as path:
        path.write_bytes(secrets.token_bytes(MUNGE_KEY_BYTES))
