"""Site records: found, read, and every fault told at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, UsageFault
from imagefactory.base.files import data_folder, settings_folder
from imagefactory.site import Access, Launcher, Scheduler, list_sites, load_site

GOOD = """\
schema: 1
name: {name}
description: a cluster
access: {{kind: ssh, host: login.example.org, port: 2201, user: me, identity: ~/.ssh/id}}
apptainer: /opt/apptainer/bin/apptainer
scheduler: {{kind: slurm, partition: batch, account: proj, time_limit_minutes: 5}}
launcher: {{kind: srun, plugin: pmix, sharens: true}}
folders: {{store: /shared/store, work: /shared/runs}}
nodes: 2
environment: {{UCX_TLS: "sysv,self,rc"}}
"""


@pytest.fixture(autouse=True)
def _ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def write(name: str, text: str, folder: Path | None = None) -> Path:
    path = (folder or settings_folder()) / "sites" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(name: str) -> list[str]:
    with pytest.raises(ConfigurationFault) as caught:
        load_site(name)
    return [str(fault) for fault in caught.value.faults]


def test_reads_a_whole_record() -> None:
    write("jusuf", GOOD.format(name="jusuf"))
    site = load_site("jusuf")
    assert site.access == Access(
        "ssh", "login.example.org", 2201, "me", Path.home() / ".ssh" / "id", None
    )
    assert site.scheduler == Scheduler("slurm", "batch", "proj", 5)
    assert site.launcher == Launcher("srun", "pmix", True)
    assert (site.store, site.work, site.nodes) == ("/shared/store", "/shared/runs", 2)
    assert site.environment == (("UCX_TLS", "sysv,self,rc"),)


def test_here_needs_no_record() -> None:
    site = load_site("here")
    assert site.launcher == Launcher("mpirun")
    assert site.store == str(Path(os.environ["IMAGEFACTORY_CACHE"]) / "store")


def test_unknown_site_names_the_nearest() -> None:
    write("jusuf", GOOD.format(name="jusuf"))
    with pytest.raises(UsageFault, match="did you mean 'jusuf'"):
        load_site("jusff")


def test_all_faults_come_at_once() -> None:
    text = GOOD.format(name="mycluster")
    text = text.replace("nodes: 2", "nodes: two").replace("store: /shared/store", "stor: shared")
    text = text.replace("plugin: pmix, ", "").replace("kind: slurm", "kind: slrum")
    write("mycluster", text)
    found = "\n".join(faults_of("mycluster"))
    assert "unknown key 'stor'" in found
    assert "did you mean 'store'?" in found
    assert "the key 'plugin' is missing" in found
    assert "did you mean 'slurm'?" in found
    assert "'two' is a text, not a whole number" in found


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: jusuf", "name: other", "the site is named 'other'"),
        ("kind: srun, plugin: pmix, sharens: true", "kind: mpirun", "does not go with"),
        ("kind: srun, plugin: pmix", "kind: mpirun", "mpirun takes no plugin"),
        (
            "kind: slurm, partition: batch, account: proj, time_limit_minutes: 5",
            "kind: none",
            "must be this machine",
        ),
        ("store: /shared/store", 'store: "/a b"', "does not match"),
        ("host: login.example.org", "host: -oProxyCommand=x", "does not match"),
    ],
)
def test_what_does_not_go_together(old: str, new: str, expected: str) -> None:
    text = GOOD.format(name="jusuf")
    assert old in text
    write("jusuf", text.replace(old, new))
    assert any(expected in fault for fault in faults_of("jusuf"))


def test_an_ssh_site_needs_a_host() -> None:
    write("jusuf", GOOD.format(name="jusuf").replace("host: login.example.org, ", ""))
    assert any("the key 'host' is missing" in fault for fault in faults_of("jusuf"))


def test_the_users_record_wins_over_the_sandbox() -> None:
    write("bookworm", GOOD.format(name="bookworm"), data_folder() / "sandbox")
    assert load_site("bookworm").description == "a cluster"
    write("bookworm", GOOD.format(name="bookworm").replace("a cluster", "mine"))
    assert load_site("bookworm").description == "mine"
    assert [site.name for site in list_sites()] == ["bookworm", "here"]


def test_list_tells_the_faults_of_all_records() -> None:
    for name in ("alpha", "beta"):
        write(name, GOOD.format(name=name).replace("nodes: 2", "nodes: 0"))
    with pytest.raises(ConfigurationFault) as caught:
        list_sites()
    assert len(caught.value.faults) == 2


def test_the_example_of_the_docs_is_valid() -> None:
    import re

    from imagefactory.site.load import read_site

    page = (Path(__file__).parents[3] / "docs" / "sites.md").read_text(encoding="utf-8")
    for name, text in re.findall(
        r"sites/(\w+)\.yaml`[^\n]*:\n\n```yaml\n(.*?)```", page, re.DOTALL
    ):
        site = read_site(write(name, text))
        assert site.launcher.kind == "srun"
        return
    pytest.fail("docs/sites.md has no example")
