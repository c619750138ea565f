"""The provider of the NMPI double: what a job is started with, and what of its source is taken."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Done, Runner
from imagefactory.base.report import Silent
from imagefactory.base.values import Secret
from imagefactory.sandbox.nmpi import (
    EMULATED,
    VIRTUAL,
    Provider,
    provider,
    start_in_image,
    starting,
)
from imagefactory.sandbox.nmpi.jobs import TEST_QUOTAS, Job
from imagefactory.sandbox.nmpi.provider import (
    OUTPUT_BYTES,
    SOURCE_BYTES,
    environment_of,
    system_of,
    unpack_source,
    words_of,
    write_settings,
)
from imagefactory.sandbox.nmpi.service import Service
from imagefactory.sandbox.unicore.faults import FaultPlan
from imagefactory.sandbox.unicore.issuer import Issuer


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


class Site:
    """A provider whose jobs leave what a test says, and the addresses that it can fetch."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        keys = {name: Secret(f"key of {name}") for name in TEST_QUOTAS}
        issuer = Issuer("https://nmpi.test")
        output, work = folder / "output", folder / "work"
        work.mkdir()
        self.service = Service("https://nmpi.test", issuer, FaultPlan(), keys, output)
        self.git: dict[str, Any] = {}
        self.leaves: dict[str, int] = {}
        self.archives: dict[str, bytes] = {}
        self.provider = Provider(self.service, work, self._runner(), self._start)
        monkeypatch.setattr(
            provider,
            "open_client",
            lambda: httpx.Client(transport=httpx.MockTransport(self._answer)),
        )

    def job(self, code: str, command: str = "") -> Job:
        body = {"hardware_platform": "SpiNNaker", "collab": "demo"}
        job = self.service.store.add("scientist", {**body, "code": code, "command": command})
        assert self.provider.turn()
        assert list(self.provider.folder.iterdir()) == []
        return job

    def _start(
        self, place: Path, words: Sequence[str], _variables: Mapping[str, str], _most: float
    ) -> Done:
        for name, length in self.leaves.items():
            with (place / name).open("wb") as file:
                file.truncate(length)  # a hole, which takes no space
        there = sorted(path.name for path in place.iterdir())
        return Done((), 0, f"started {words} {there}\n", "", 0.0)

    def _answer(self, asked: httpx.Request) -> httpx.Response:
        if asked.url.host == "away.test":
            raise httpx.ConnectError("no such host", request=asked)
        return httpx.Response(200, content=self.archives[asked.url.path])

    def _runner(self) -> Runner:
        site = self

        class Git(Runner):
            def run(self, *argv: str | Path, **given: Any) -> Done:
                site.git = {"argv": argv, **given}
                Path(argv[-1]).joinpath("main.py").write_bytes(bytes(1000))
                return Done((), 0, "", "", 0.0)

        return Git()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def packed(members: Mapping[str, bytes]) -> bytes:
    content = archive(members).fp
    assert isinstance(content, io.BytesIO)
    return content.getvalue()


def encrypted() -> bytes:
    content = bytearray(packed({"run.py": b"import a\n"}))
    for flags in (6, content.index(b"PK\x01\x02") + 8):
        content[flags] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://source.test/climbs.zip", "leaves its folder"),
        ("https://source.test/secret.zip", "cannot be unpacked"),
        ("https://source.test/none.zip", "BadZipFile"),
        ("https://source.test/large.zip", "more than 50000000 bytes"),
        ("https://away.test/good.zip", "cannot reach the server"),
        ("https://source.test:port/good.zip", "no address"),
    ],
)
def test_a_job_whose_source_is_bad_ends_with_an_error(url: str, said: str, site: Site) -> None:
    site.archives = {
        "/climbs.zip": packed({"../run.py": b""}),
        "/secret.zip": encrypted(),
        "/none.zip": b"<html>",
        "/large.zip": bytes(SOURCE_BYTES + 1),
    }
    job = site.job(url, "run.py {system}")
    assert job.status == "error"
    assert said in job.log
    assert "started" not in job.log


def test_a_zip_is_the_source_and_the_command_is_followed(site: Site) -> None:
    site.archives = {"/good.zip": packed({"main.py": b"import a\n"})}
    job = site.job("https://source.test/good.zip", "main.py {system} 7")
    assert job.status == "finished"
    assert "started ['main.py', 'spiNNaker', '7']" in job.log


def test_a_clone_goes_over_three_protocols_and_is_bounded(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert site.job("https://source.test/model", "main.py").status == "finished"
    assert site.git["extra"] == {"GIT_ALLOW_PROTOCOL": "http:https:git"}
    assert site.git["cwd"] == site.provider.folder
    monkeypatch.setattr(provider, "SOURCE_BYTES", 999)
    job = site.job("https://source.test/model", "main.py")
    assert job.status == "error"
    assert "the source is more than" in job.log


@pytest.mark.parametrize("command", ["{other}", "{}", "{system.none}", "{"])
def test_a_command_has_one_name_to_replace(command: str, site: Site) -> None:
    with pytest.raises(ValueError, match=r"system|'{'"):
        words_of(command, VIRTUAL)
    assert site.job("https://source.test/model", command).status == "error"


def test_output_is_bounded_and_its_address_is_one(site: Site) -> None:
    site.leaves = {"a #1.txt": 3}
    [item] = site.job("import a").output
    assert item["url"] == "https://nmpi.test/services/rest/output/demo/142973/a%20%231.txt"
    site.leaves = {os.fsdecode(b"\xff"): 3}
    assert site.job("import a").status == "finished"
    site.leaves = {"hole": OUTPUT_BYTES + 1}
    job = site.job("import a")
    assert (job.status, job.output) == ("error", [])
    assert "more output than 500000000 bytes" in job.log
