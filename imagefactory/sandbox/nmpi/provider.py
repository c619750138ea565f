"""The provider's side: takes jobs off the queue and runs them as SpiNNaker's provider does.

It asks the double over its own protocol, with a provider's key. No SpiNNaker takes part: the
system `spiNNaker` is sPyNNaker with its virtual board, which simulates nothing; a job whose
hardware_config asks for the system `spinnaker-emulated` is started with that name. Log and
provenance say which.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import os
import pwd
import shutil
import tempfile
import threading
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from imagefactory.base.errors import FactoryError, ToolFailed
from imagefactory.base.http import explain, open_client
from imagefactory.base.process import Runner
from imagefactory.base.report import Report, Silent
from imagefactory.model import VIRTUAL_BOARD
from imagefactory.sandbox.nmpi.service import DATA, Service
from imagefactory.sandbox.nmpi.starting import Start, start_here
from imagefactory.sandbox.unicore.faults import FaultKind
from imagefactory.sandbox.unicore.wire import OCTETS, Request

PLATFORM = "SpiNNaker"
VIRTUAL, EMULATED = "spiNNaker", "spinnaker-emulated"
SAID = {
    VIRTUAL: "imagefactory sandbox: no SpiNNaker took part; spiNNaker is sPyNNaker's virtual board "
    "here: networks are mapped, nothing is simulated, and all data are empty",
    EMULATED: "imagefactory sandbox: no SpiNNaker took part; this job ran as spinnaker-emulated on "
    "the loopback",
}
SETTINGS = (".spynnaker.cfg", "spynnaker.cfg")  # sPyNNaker 7.4.1 looks for either
HOURS = 168  # facts/unicore-nmpi.md 3.5: the real default
FETCH_SECONDS = 60.0
SOURCE_BYTES, SOURCE_FILES = 50_000_000, 10_000
OUTPUT_BYTES, OUTPUT_FILES = 500_000_000, 10_000
# A clone's submodules are addresses of the source's own choice.
CLONE_PROTOCOLS = "http:https:git"
TOO_LARGE = f"the source is more than {SOURCE_BYTES} bytes or {SOURCE_FILES} files"
LEFT_OUT = ("reports", "application_generated_data_files", "__pycache__")
_BAD_OUTPUT = {
    FaultKind.OUTPUT_GONE, FaultKind.OUTPUT_ELSEWHERE, FaultKind.OUTPUT_FILE,
    FaultKind.OUTPUT_CLIMBS,
}  # fmt: skip


@dataclass
class Provider:
    """Runs the jobs of one platform, one after the other.

    `runner` fetches the source, by git over `clone_protocols` alone; `start` starts the program.
    `longest` bounds a job in seconds, whatever its config says.
    """

    service: Service
    folder: Path
    runner: Runner = field(default_factory=Runner)
    start: Start = field(default_factory=lambda: start_here(Runner()))
    platform: str = PLATFORM
    clone_protocols: str = CLONE_PROTOCOLS
    longest: float = 600.0
    report: Report = field(default_factory=Silent)

    def run(self, ended: threading.Event, pause: float) -> None:
        """Take jobs until `ended`, with a pause where there is none."""
        while not ended.is_set():
            try:
                busy = self.turn()
            except Exception as err:  # a defect of ours is told, and is one job's
                self.report.warn(f"NMPI provider: {err!r}")
                busy = False
            if not busy:
                ended.wait(pause)

    def turn(self) -> bool:
        """Run the oldest queued job to its end; False if there is none."""
        status, job = self._ask("GET", f"/jobs/next/{self.platform}")
        if status != 200:
            return False
        number = int(job["id"])
        self._put(number, status="validated")
        place = Path(tempfile.mkdtemp(prefix=f"job-{number}-", dir=self.folder))
        self._give(place)
        began = time.monotonic()
        system = system_of(job.get("hardware_config") or {})
        try:
            self._put(number, status="running")
            log, good, new = self._run(job, system, place)
            if too_much(new, OUTPUT_BYTES, OUTPUT_FILES):
                log += (
                    f"\nmore output than {OUTPUT_BYTES} bytes or {OUTPUT_FILES} files: none kept\n"
                )
                good, new = False, []
            items = self._publish(job, place, new)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        self._ask("PUT", f"/jobs/{number}/log", log.encode(errors="replace"), "text/plain")
        hours = (time.monotonic() - began) / 3600
        self._put(
            number,
            status="finished" if good else "error",
            output_data={"repository": "imagefactory sandbox", "files": items},
            resource_usage={"value": hours, "units": "core-hours"},
            provenance={
                "system": system,
                "said": SAID[system],
                "board": "virtual" if system == VIRTUAL else "none",
            },
        )
        return True

    def _run(
        self, job: Mapping[str, Any], system: str, place: Path
    ) -> tuple[str, bool, list[Path]]:
        """The job's log, whether it went well, and the files that it left."""
        lines = [SAID[system]]
        config = job.get("hardware_config") or {}
        if self.service.faults.draw(f"job {job['tags']}", FaultKind.PROVIDER_FAILS):
            return "\n".join([*lines, "RuntimeError: the board did not boot\n"]), False, []
        try:
            words = self._fetch(job, system, place)
            if system == VIRTUAL:
                write_settings(place)
            here = set(place.rglob("*"))
            for path in here:
                self._give(path)
            timeout = min(_timeout(config), self.longest)
            done = self.start(place, words, environment_of(config), timeout)
        except (FactoryError, ValueError, TypeError, OSError, zipfile.BadZipFile) as err:
            return "\n".join([*lines, f"{type(err).__name__}: {err}\n"]), False, []
        new = [path for path in sorted(place.rglob("*")) if path not in here and _kept(path, place)]
        return "\n".join([*lines, done.output + done.errors]), done.status == 0, new

    def _give(self, path: Path) -> None:
        """Hand a file to the user who runs jobs, where we are root; never what a link points to."""
        if self.runner.user is not None:
            user = pwd.getpwnam(self.runner.user)
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

    def _fetch(self, job: Mapping[str, Any], system: str, place: Path) -> list[str]:
        """Put the job's program into `place`; returns the program's words.

        Inline text is run.py whatever the command says, as at the real provider.
        """
        code = str(job["code"])
        if code.startswith(("http://", "https://", "git://")):
            self._fetch_source(code, place)
            return words_of(str(job["command"] or "run.py {system}"), system)
        if "import" not in code:
            raise ValueError("the code is neither an address nor a program with an import")
        (place / "run.py").write_text(code, encoding="utf-8")
        return ["run.py", system]

    def _fetch_source(self, url: str, place: Path) -> None:
        if url.endswith(".zip"):
            with zipfile.ZipFile(fetch_archive(url)) as found:
                unpack_source(found, place)
            return
        self.runner.run(
            "git", "clone", "--quiet", "--depth", "1", "--recurse-submodules", url, place,
            timeout=FETCH_SECONDS, cwd=self.folder,
            extra={"GIT_ALLOW_PROTOCOL": self.clone_protocols},
        )  # fmt: skip
        if too_much(list(place.rglob("*")), SOURCE_BYTES, SOURCE_FILES):
            raise ValueError(TOO_LARGE)

    def _publish(
        self, job: Mapping[str, Any], place: Path, files: Sequence[Path]
    ) -> list[dict[str, Any]]:
        """Serve the files; returns their data items, spoiled by a fault where one is planned."""
        home = f"{job['collab']}/{job['id']}"
        items = []
        for path in files:
            name = path.relative_to(place).as_posix()
            to = self.service.output / home / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, to)
            quoted = quote(f"{home}/{name}", errors="surrogateescape")
            items.append(
                {
                    "url": f"{self.service.base}{DATA}/{quoted}",
                    "path": f"{home}/{name}",
                    "content_type": OCTETS,
                    "size": path.stat().st_size,
                    "hash": hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest(),
                }
            )
        fault = self.service.faults.draw(f"job {job['tags']}", *_BAD_OUTPUT)
        return [spoiled_item(item, fault.kind) for item in items] if fault else items

    def _put(self, number: int, **body: Any) -> None:
        status, said = self._ask("PUT", f"/jobs/{number}", json.dumps(body).encode())
        if status != 200:
            raise ToolFailed(f"the queue did not take {body.get('status')}: {said}")

    def _ask(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/json"
    ) -> tuple[int, Any]:
        key = self.service.keys[self.platform].reveal()
        headers = {"x-api-key": key, "content-type": kind}
        reply = self.service.answer(Request(method, path, {}, headers, body))
        return reply.status, json.loads(b"".join(reply.body))


def write_settings(place: Path) -> None:
    """sPyNNaker's settings for the virtual board, but for names that the source has taken: it may
    have made links of them."""
    for name in SETTINGS:
        if not os.path.lexists(place / name):
            shutil.copyfile(VIRTUAL_BOARD, place / name)


def fetch_archive(url: str) -> io.BytesIO:
    """What is at the address; raises FactoryError where it is too large or slow, or not there."""
    import httpx

    content, ends = io.BytesIO(), time.monotonic() + FETCH_SECONDS
    try:
        with open_client() as client, client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise ToolFailed(f"no source archive there ({answer.status_code})", where=url)
            for part in answer.iter_bytes():
                if content.tell() + len(part) > SOURCE_BYTES:
                    raise ToolFailed(TOO_LARGE, where=url)
                if time.monotonic() > ends:
                    raise ToolFailed(f"no source after {FETCH_SECONDS:.0f} s", where=url)
                content.write(part)
    except httpx.HTTPError as err:
        raise explain(err, url) from None
    except httpx.InvalidURL as err:
        raise ToolFailed(f"this is no address: {err}", where=url) from None
    return content


def unpack_source(archive: zipfile.ZipFile, place: Path) -> None:
    """Unpack a job's source into its folder; ValueError where it would be too much, or elsewhere,
    or cannot be unpacked.

    What a member says of its size is the most that zipfile unpacks of it.
    """
    members = archive.infolist()
    if sum(member.file_size for member in members) > SOURCE_BYTES or len(members) > SOURCE_FILES:
        raise ValueError(TOO_LARGE)
    for member in members:
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"a member of the source leaves its folder: {member.filename!r}")
    try:
        archive.extractall(place)
    except (RuntimeError, EOFError, zlib.error, lzma.LZMAError) as err:  # encrypted, broken
        raise ValueError(f"the source cannot be unpacked: {err}") from None


def too_much(files: Sequence[Path], most: int, count: int) -> bool:
    """Whether files are more than `most` bytes or more than `count`; holes in them count."""
    return len(files) > count or sum(path.lstat().st_size for path in files) > most


def words_of(command: str, system: str) -> list[str]:
    """A job's command as words; ValueError where it has braces of another name than {system}."""
    try:
        return command.format(system=system).split()
    except (LookupError, AttributeError):
        raise ValueError(f"command {command!r}: only {{system}} is replaced") from None


def system_of(config: Mapping[str, Any]) -> str:
    """What takes the place of {system}: the real provider's, unless the emulation is asked for."""
    return EMULATED if config.get("system") == EMULATED else VIRTUAL


def environment_of(config: Mapping[str, Any]) -> dict[str, str]:
    """hardware_config as the variables that the real provider makes of it."""
    return {
        str(key): value if isinstance(value, str) else json.dumps(value)
        for key, value in config.items()
        if str(key).isidentifier()
    }


def spoiled_item(item: dict[str, Any], kind: FaultKind) -> dict[str, Any]:
    """A data item as a provider may give it that is broken or means harm."""
    changes = {
        FaultKind.OUTPUT_GONE: {"url": f"{item['url']}.gone"},
        FaultKind.OUTPUT_ELSEWHERE: {"url": "https://elsewhere.test/" + item["path"]},
        FaultKind.OUTPUT_FILE: {"url": "file:///etc/hostname"},
        FaultKind.OUTPUT_CLIMBS: {"path": "../../" + item["path"]},
    }
    return item | changes[kind]


def _timeout(config: Mapping[str, Any]) -> float:
    hours = config.get("timeout", HOURS)
    if not isinstance(hours, int):
        raise TypeError("timeout of hardware_config: a whole number of hours is needed")
    return 3600.0 * hours


def _kept(path: Path, place: Path) -> bool:
    parts = path.relative_to(place).parts
    hidden = any(part in LEFT_OUT or part.startswith(".") for part in parts)
    return path.is_file() and not path.is_symlink() and not hidden and path.suffix != ".pyc"
