"""Files are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.files import digest_of, digest_of_text, require_space, whole_file, write_json


def test_a_file_gets_its_name_only_when_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with whole_file(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def write_half() -> None:
        with whole_file(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_private_file_is_private(tmp_path: Path) -> None:
    write_json(tmp_path / "key", {"a": 1}, mode=0o600)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_the_digest_of_a_file_is_that_of_its_text(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hello")
    assert digest_of(tmp_path / "file") == digest_of_text("hello")
    assert digest_of_text("hello").short == "2cf24dba5fb0"


def test_no_space(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="the disk is too full"):
        require_space(tmp_path / "not" / "yet", 10**18)
    require_space(tmp_path / "not" / "yet", 1)
