"""How Apptainer is called, and what must be true of the machine and the file before that."""

from __future__ import annotations

import os
import pwd
import shlex
import struct
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, ToolFailed
from imagefactory.image import Apptainer
from imagefactory.image.apptainer import require_build_rights, require_fuse, require_sif
from imagefactory.image.reach import reachable
from tests.conftest import Golden
from tests.unit.image.conftest import SIF_HEAD, FakeRunner


def test_the_command_line(golden: Golden, apptainer: Apptainer) -> None:
    lines = [
        shlex.join(apptainer.exec_argv(Path("/images/nest.sif"), ["python3", "-c", "print(1)"])),
        shlex.join(apptainer.exec_argv(Path("a b.sif"), ["true"], ["--bind", "/shared"])),
    ]
    golden.check("image/exec.txt", "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    "content", [b"", b"short", b"\x7fELF" * 30, SIF_HEAD.replace(b"SIF", b"sif")]
)
def test_what_is_no_sif_is_one_clear_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.sif"
    path.write_bytes(content)
    with pytest.raises(ConfigurationFault, match="no SIF") as caught:
        require_sif(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["missing.sif", "."])
def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationFault, match="cannot read the image"):
        require_sif(tmp_path / name)


@pytest.mark.parametrize("kept", [60, 120, 128, 1000, 1127])
def test_a_cut_sif_is_told_from_its_own_header(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "x.sif"
    whole = SIF_HEAD[:112] + struct.pack("<qq", 128, 1000) + bytes(1000)
    path.write_bytes(whole[:kept])
    with pytest.raises(ToolFailed, match="the image is cut"):
        require_sif(path)
    path.write_bytes(whole)
    assert require_sif(path) == path


def test_a_sif_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "x.sif"
    path.write_bytes(SIF_HEAD)
    assert require_sif(path) == path


def test_no_fuse_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagefactory.image.apptainer.FUSE", tmp_path / "fuse")
    with pytest.raises(ToolFailed) as caught:
        require_fuse()
    assert "modprobe fuse" in str(caught.value)


@pytest.mark.parametrize(("mode", "good"), [(0o600, False), (0o660, False), (0o666, True)])
def test_fuse_must_be_open_to_everybody_where_we_are_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, good: bool
) -> None:
    device = tmp_path / "fuse"
    device.touch()
    device.chmod(mode)
    monkeypatch.setattr("imagefactory.image.apptainer.FUSE", device)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    if good:
        require_fuse()
        return
    with pytest.raises(ToolFailed) as caught:
        require_fuse()
    assert "chmod 666" in str(caught.value)


@pytest.mark.parametrize(
    ("ranges", "good"),
    [
        ("", False),
        (None, False),
        ("somebody:100000:65536\n", False),
        ("builder2:100000:65536\n", False),
        ("somebody:1:1\nbuilder:100000:65536\n", True),
    ],
)
def test_a_build_needs_a_range_of_user_ids(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranges: str | None, good: bool
) -> None:
    subuid = tmp_path / "subuid"
    if ranges is not None:
        subuid.write_text(ranges, encoding="utf-8")
    builder = pwd.struct_passwd(("builder", "x", 1001, 1001, "", "/home/builder", "/bin/sh"))
    monkeypatch.setattr("imagefactory.image.apptainer.SUBUID", subuid)
    monkeypatch.setattr("imagefactory.image.apptainer.ordinary_user", lambda: builder)
    monkeypatch.setattr("imagefactory.image.apptainer.which", lambda _program: None)
    if good:
        require_build_rights()
        return
    with pytest.raises(ToolFailed) as caught:
        require_build_rights()
    assert "usermod --add-subuids" in str(caught.value)
    assert "builder" in str(caught.value)


@pytest.mark.usefixtures("machine")
def test_an_image_that_the_build_user_cannot_read_is_lent_to_it(
    tmp_path: Path, apptainer: Apptainer, runner: FakeRunner
) -> None:
    path = tmp_path / "x.sif"
    path.write_bytes(SIF_HEAD + b"content")
    with reachable(path, apptainer) as direct:
        assert direct == path
    runner.unreadable = True
    with reachable(path, apptainer) as lent:
        assert lent != path
        assert lent.read_bytes() == path.read_bytes()
    assert not lent.exists()
    assert path.exists()
