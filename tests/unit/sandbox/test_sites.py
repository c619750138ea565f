"""What the sites are: configuration, containers, records."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from imagefactory.base.errors import ConfigurationFault
from imagefactory.base.values import Secret
from imagefactory.sandbox.apptainer import needed_paths
from imagefactory.sandbox.lifecycle import name_unicore
from imagefactory.sandbox.roots import missing_roots, mmdebstrap_argv
from imagefactory.sandbox.settings import SandboxSettings, sandbox_settings
from imagefactory.sandbox.sites import (
    SITES,
    containers,
    networks,
    registry_config,
    site_record,
    slurm_conf,
    sshd_config,
    volumes,
)
from imagefactory.sandbox.unicore.background import UnicoreAddress

if TYPE_CHECKING:
    from tests.conftest import Golden

SETTINGS = SandboxSettings("imagefactory", 5000, Path("/data/sandbox"))


@pytest.mark.parametrize("name", [site.name for site in SITES])
def test_texts(name: str, golden: Golden) -> None:
    golden.check(f"sandbox/slurm-{name}.conf", slurm_conf(name))


def test_server_texts(golden: Golden) -> None:
    golden.check("sandbox/sshd_config", sshd_config())
    golden.check("sandbox/registry.yml", registry_config())


def test_containers(golden: Golden) -> None:
    found = containers(SETTINGS, (Path("/opt/apptainer"),))
    lines = []
    for item in found:
        line = repr(item)
        for site in SITES:
            line = line.replace(site.key, "KEY")
        lines.append(line)
    golden.check("sandbox/containers.txt", "\n".join(lines) + "\n")


def test_compute_nodes_are_on_no_network_that_reaches_the_world() -> None:
    internal = {item.name for item in networks(SETTINGS) if item.internal}
    compute = [item for item in containers(SETTINGS, ()) if item.hostname in {"c1", "c2"}]
    assert len(compute) == 4
    for item in compute:
        assert {name for name, _ in item.networks} <= internal
        assert not item.ports


def test_names_follow_from_the_prefix() -> None:
    other = replace(SETTINGS, prefix="second")
    names = {item.name for item in containers(other, ())} | set(volumes(other))
    names |= {item.name for item in networks(other)}
    assert all(name.startswith("second-") for name in names)


def test_record_fits_the_schema_of_sites() -> None:
    from imagefactory.base.files import write_text
    from imagefactory.site import load_site

    settings = sandbox_settings()
    document = site_record(SITES[0], settings, 2201, Path("/opt/apptainer/bin/apptainer"))
    for name in ("id_ed25519", "bookworm/known_hosts"):
        write_text(settings.folder / name, "key")
    write_text(settings.record("bookworm"), yaml.safe_dump(document))
    address = UnicoreAddress(
        1, "https://127.0.0.1:1", "https://127.0.0.1:1/registry/rest", {},
        settings.folder / "unicore" / "ca.pem", "https://127.0.0.1:1/issuer", "client", Secret("x"),
    )  # fmt: skip
    write_text(address.ca_file, "a certificate")
    name_unicore(settings.record("bookworm"), "bookworm", address)
    site = load_site("bookworm")
    assert site.unicore is not None
    assert (site.unicore.site, site.unicore.registry) == ("bookworm", address.registry)
    assert site.unicore.ca == address.ca_file
    assert site.access.port == 2201
    assert site.launcher.plugin == "pmix"
    assert site.launcher.sharens


def test_an_image_is_made_again_only_when_its_packages_change() -> None:
    held = [site.tag for site in SITES]
    assert missing_roots(held) == []
    changed = replace(SITES[0], packages=(*SITES[0].packages, "less"))
    assert changed.tag not in held
    assert missing_roots(held[1:]) == [SITES[0]]


def test_mmdebstrap_as_root_and_as_ordinary_user() -> None:
    as_root = mmdebstrap_argv(SITES[1], Path("/t.tar"), is_root=True)
    assert as_root[:2] == ["mmdebstrap", "--mode=root"]
    assert as_root[-2:] == ["trixie", "/t.tar"]
    assert "--mode=unshare" in mmdebstrap_argv(SITES[1], Path("/t.tar"), is_root=False)


def test_settings_faults_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEFACTORY_SANDBOX", "No Spaces")
    monkeypatch.setenv("IMAGEFACTORY_REGISTRY_PORT", "99999")
    with pytest.raises(ConfigurationFault) as caught:
        sandbox_settings()
    assert [fault.where for fault in caught.value.faults] == [
        "IMAGEFACTORY_SANDBOX",
        "IMAGEFACTORY_REGISTRY_PORT",
    ]


def test_apptainer_of_its_own_prefix_is_mounted_whole() -> None:
    program = Path("/opt/a/bin/apptainer")
    assert needed_paths({"PREFIX": "/opt/a"}, program) == (Path("/opt/a"),)


def test_apptainer_in_usr_does_not_cover_the_nodes_own_system() -> None:
    built = {
        "PREFIX": "/usr",
        "BINDIR": "/usr/bin",
        "LIBEXECDIR": "/usr/libexec",
        "APPTAINER_CONFDIR": "/etc/apptainer",
        "SESSIONDIR": "/var/lib/apptainer/mnt/session",
    }
    found = needed_paths(built, Path("/usr/bin/apptainer"))
    assert Path("/usr") not in found
    assert Path("/usr/libexec/apptainer") in found
