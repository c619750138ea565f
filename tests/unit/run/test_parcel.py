"""Archives: what was packed comes out, and what a site must not send is refused."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from imagefactory.base.errors import ToolFailed, TrustRefused
from imagefactory.run.parcel import pack, unpack


def odd_parcel(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo(name)
        member.type = kind
        member.linkname = "/etc/passwd"
        member.size = 3 if kind == tarfile.REGTYPE else 0
        tar.addfile(member, io.BytesIO(b"abc"))
    return path


def test_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_bytes(b"\x00\xff")
    pack({"inside/model.py": file, "job.sh": "text\n"}, tmp_path / "p.tar")
    found = unpack(tmp_path / "p.tar", tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in found] == [
        "inside/model.py",
        "job.sh",
    ]
    assert found[0].read_bytes() == b"\x00\xff"


@pytest.mark.parametrize("name", ["/etc/cron.d/x", "../x", "a/../../x"])
def test_names_that_climb(name: str, tmp_path: Path) -> None:
    with pytest.raises(TrustRefused, match="do not take"):
        unpack(odd_parcel(tmp_path / "p.tar", name), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_pipes(kind: bytes, tmp_path: Path) -> None:
    with pytest.raises(TrustRefused):
        unpack(odd_parcel(tmp_path / "p.tar", "x", kind), tmp_path / "out")


def test_too_much(tmp_path: Path) -> None:
    pack({"x": "a" * 100}, tmp_path / "p.tar")
    with pytest.raises(ToolFailed, match="more files than a run can have"):
        unpack(tmp_path / "p.tar", tmp_path / "out", limit=99)


def test_cut(tmp_path: Path) -> None:
    pack({"x": "a" * 5000, "y": "b"}, tmp_path / "p.tar")
    data = (tmp_path / "p.tar").read_bytes()
    (tmp_path / "p.tar").write_bytes(data[:3000])
    with pytest.raises(ToolFailed, match="came cut"):
        unpack(tmp_path / "p.tar", tmp_path / "out")
