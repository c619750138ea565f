"""Set-up: what is missing, what is done about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory.base.apptainer import is_new_enough
from imagefactory.base.errors import ServiceAway, ToolFailed, TrustRefused
from imagefactory.sandbox.compile import (
    MODULE_SUM,
    go_environment,
    go_sum,
    is_fitting_go,
    read_download,
)
from imagefactory.sandbox.needs import (
    PACKAGES,
    SetupPlan,
    free_range,
    fuse_mode_to_change,
    has_range,
    missing,
)
from imagefactory.sandbox.root import root_argv
from imagefactory.sandbox.setup import install_argv


def test_nothing_to_do_is_said() -> None:
    assert SetupPlan().lines() == ["nothing to do: all that is needed is there"]


def test_plan_lines() -> None:
    plan = SetupPlan(
        packages=("squashfuse",),
        make_user="imagefactory",
        subids_for="imagefactory",
        fuse=0o600,
        docker_user="ada",
        build_apptainer=True,
        compile_packages=("gcc",),
    )
    assert plan.lines() == [
        "install from Debian: gcc squashfuse",
        "make the user imagefactory, who builds and runs images for root",
        "give imagefactory a range of subordinate ids (/etc/subuid, subgid)",
        "let ordinary users mount images: /dev/fuse from mode 600 to 666",
        "let ada use the Docker engine (which is root's power)",
        "build Apptainer 1.5.3 from its Go module (once, about 6 min on 2 cores)",
    ]


def test_only_what_is_missing_is_installed() -> None:
    there = set(PACKAGES.values()) - {"newuidmap", "squashfuse"}
    assert missing(PACKAGES, there.__contains__) == ("squashfuse", "uidmap")


def test_root_needs_no_sudo() -> None:
    assert root_argv(["apt-get"], is_root=True) == ["apt-get"]
    assert root_argv(["apt-get"], is_root=False) == ["sudo", "-n", "apt-get"]
    assert install_argv(["gcc"])[-2:] == ["--no-install-recommends", "gcc"]


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        ("imagefactory:100000:65536", True),
        ("1001:100000:65536", True),
        ("imagefactory:100000:1000", False),
        ("imagefactory2:100000:65536", False),
        ("imagefactory", False),
    ],
)
def test_subuid_range(line: str, holds: bool) -> None:
    assert has_range(["# comment", line], "imagefactory", 1001) is holds


def test_a_new_range_overlaps_none() -> None:
    given = ["a:100000:65536", "b:300000:65536", "broken"]
    assert free_range(given, ["a:100000:65536"]) == (365536, 431071)
    assert free_range([]) == (100000, 165535)


def test_fuse_mode(tmp_path: Path) -> None:
    device = tmp_path / "fuse"
    device.touch(0o600)
    assert fuse_mode_to_change(device) == 0o600
    device.chmod(0o666)
    assert fuse_mode_to_change(device) is None
    with pytest.raises(ToolFailed, match="no FUSE device"):
        fuse_mode_to_change(tmp_path / "none")


@pytest.mark.parametrize(
    ("text", "enough"),
    [
        ("go version go1.25.7 linux/amd64", True),
        ("go version go1.26 linux/amd64", True),
        ("go version go1.27 linux/amd64", False),
        ("go version go1.25.6 linux/amd64", False),
        ("go version go1.19.8 linux/amd64", False),
        ("", False),
    ],
)
def test_go_version(text: str, enough: bool) -> None:
    assert is_fitting_go(text) is enough


@pytest.mark.parametrize(
    ("text", "enough"),
    [
        ("apptainer version 1.5.0", True),
        ("apptainer version 1.10.0-1.el9", True),
        ("apptainer version 1.4.5", False),
        ("singularity-ce version 4.1.0", False),
    ],
)
def test_apptainer_version(text: str, enough: bool) -> None:
    assert is_new_enough(text) is enough


def test_the_users_go_settings_pass_but_not_their_caches() -> None:
    given = {
        "GOPROXY": "https://mirror",
        "GOCACHE": "/home/ada/.cache/go-build",
        "GOFLAGS": "-mod=vendor",
        "HTTPS_PROXY": "http://proxy",
        "SECRET": "x",
    }
    found = go_environment(given, {"PATH": "/bin"}, Path("/s"), Path("/go/bin/go"))
    assert found["GOPROXY"] == "https://mirror"
    assert found["HTTPS_PROXY"] == "http://proxy"
    assert found["GOCACHE"] == "/s/gocache"
    assert found["GOPATH"] == "/s/gopath"
    assert found["GOFLAGS"] == "-modcacherw -buildmode=pie"
    assert found["PATH"] == "/go/bin:/bin"
    assert "SECRET" not in found


def test_module_is_pinned() -> None:
    assert go_sum().splitlines()[0] == f"github.com/apptainer/apptainer v1.5.3 {MODULE_SUM}"
    good = {"Dir": "/gopath/x", "Sum": MODULE_SUM}
    assert read_download(json.dumps(good), "") == "/gopath/x"
    with pytest.raises(TrustRefused, match="pinned"):
        read_download(json.dumps({**good, "Sum": "h1:other"}), "")
    with pytest.raises(TrustRefused, match="pinned"):
        read_download(json.dumps({"Error": "verifying module: SECURITY ERROR"}), "")


def test_no_internet_names_three_ways() -> None:
    with pytest.raises(ServiceAway) as caught:
        read_download(json.dumps({"Error": "dial tcp: no such host"}), "")
    fix = caught.value.faults[0].fix
    assert all(word in fix for word in ("on PATH", "IMAGEFACTORY_APPTAINER", "GOPROXY"))
    with pytest.raises(ServiceAway):
        read_download("", "go: cannot")
