"""The provider of the NMPI double: what a job is started with, and what of its source is taken."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Done
from imagefactory.base.report import Silent
from imagefactory.sandbox.nmpi import EMULATED, VIRTUAL, start_in_image, starting
from imagefactory.sandbox.nmpi.provider import (
    SOURCE_BYTES,
    environment_of,
    system_of,
    unpack_source,
    write_settings,
)


def archive(members: Mapping[str, bytes]) -> zipfile.ZipFile:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as found:
        for name, content in members.items():
            found.writestr(name, content)
    return zipfile.ZipFile(packed)


def test_a_source_is_unpacked(tmp_path: Path) -> None:
    unpack_source(archive({"run.py": b"import a\n", "lib/b.py": b""}), tmp_path)
    assert (tmp_path / "run.py").read_bytes() == b"import a\n"
    assert (tmp_path / "lib" / "b.py").is_file()


@pytest.mark.parametrize("name", ["../run.py", "lib/../../run.py", "/tmp/run.py"])
def test_a_source_that_climbs_is_refused_whole(name: str, tmp_path: Path) -> None:
    place = tmp_path / "job"
    place.mkdir()
    with pytest.raises(ValueError, match="leaves its folder"):
        unpack_source(archive({"good.py": b"", name: b"import a\n"}), place)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_source_that_explodes_is_refused(tmp_path: Path) -> None:
    bomb = archive({f"{each}.py": bytes(SOURCE_BYTES // 4) for each in range(5)})
    with pytest.raises(ValueError, match="more than 50000000 bytes"):
        unpack_source(bomb, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_member_is_no_longer_than_it_says(tmp_path: Path) -> None:
    lying = archive({"run.py": bytes(1000)})
    lying.infolist()[0].file_size = 10
    with pytest.raises(zipfile.BadZipFile):
        unpack_source(lying, tmp_path)
    assert (tmp_path / "run.py").stat().st_size <= 10


def test_settings_are_not_written_through_a_link(tmp_path: Path) -> None:
    place, outside = tmp_path / "job", tmp_path / "outside"
    place.mkdir()
    outside.write_text("mine")
    (place / ".spynnaker.cfg").symlink_to(outside)
    write_settings(place)
    assert outside.read_text() == "mine"
    assert "virtual_board = True" in (place / "spynnaker.cfg").read_text()


def test_the_emulation_is_asked_for_by_name() -> None:
    assert system_of({}) == VIRTUAL
    assert system_of({"system": EMULATED}) == EMULATED
    assert system_of({"system": "NEST"}) == VIRTUAL
    assert environment_of({"spynnaker_version": "6.0.0", "timeout": 2, "no name": "x"}) == {
        "spynnaker_version": "6.0.0", "timeout": "2",
    }  # fmt: skip


class FakeApptainer:
    """Keeps what it was asked to run."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def execute(self, sif: Path, argv: list[str], **given: Any) -> Done:
        self.asked = {"sif": sif, "argv": argv, **given}
        return Done((), 0, "done\n", "", 0.0)


def test_a_program_sees_its_folder_and_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    class Build:
        sif = Path("/images/spynnaker.sif")

    apptainer = FakeApptainer()
    monkeypatch.setattr(starting, "find_apptainer", lambda _report: apptainer)
    monkeypatch.setattr(starting, "latest_build", lambda _name: Build)
    start = start_in_image(Silent())
    done = start(Path("/jobs/1"), ["run.py", VIRTUAL], {"timeout": "2"}, 60.0)
    assert done.output == "done\n"
    assert apptainer.asked["argv"] == ["python3", "run.py", VIRTUAL]
    assert " ".join(apptainer.asked["options"]) == (
        "--containall --net --network none --home /jobs/1:/home/job --pwd /home/job"
    )
    assert apptainer.asked["extra"] == {"APPTAINERENV_timeout": "2"}
    assert apptainer.asked["timeout"] == 60.0


def test_without_the_image_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "find_apptainer", lambda _report: FakeApptainer())
    monkeypatch.setattr(starting, "latest_build", lambda _name: None)
    with pytest.raises(ToolFailed, match="no image to run jobs in") as caught:
        start_in_image(Silent())(Path("/jobs/1"), ["run.py"], {}, 60.0)
    assert "imagefactory image build recipes/spynnaker" in str(caught.value)
