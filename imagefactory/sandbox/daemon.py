"""The Docker engine: the running one, or one started by hand and stopped again (root or sudo)."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import ServiceAway, ToolFailed
from imagefactory.base.files import cache_folder
from imagefactory.base.process import which
from imagefactory.base.report import Report
from imagefactory.sandbox.engine import DockerEngine, Engine
from imagefactory.sandbox.root import as_root, may_be_root
from imagefactory.sandbox.settings import SandboxSettings

STANDARD_SOCKET = Path("/var/run/docker.sock")
START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class OwnEngine:
    """Where an engine of ours keeps its things; some of them are root's."""

    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "docker.sock"

    @property
    def pid_file(self) -> Path:
        return self.folder / "docker.pid"

    @property
    def log(self) -> Path:
        return self.folder / "dockerd.log"

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"


def engine_addresses(settings: SandboxSettings) -> list[str]:
    """Where an engine may answer, the user's own choice first."""
    if os.environ.get("DOCKER_HOST"):
        return [os.environ["DOCKER_HOST"]]
    own = OwnEngine(settings.folder / "engine")
    sockets = [path for path in (own.socket, STANDARD_SOCKET) if path.exists()]
    return [f"unix://{path}" for path in sockets]


def find_engine(settings: SandboxSettings, report: Report) -> Engine | None:
    """The first engine that answers, or None."""
    for address in engine_addresses(settings):
        try:
            return DockerEngine(address)
        except ServiceAway:
            continue
    return None


def connect(settings: SandboxSettings, report: Report) -> Engine:
    """An engine that answers: a running one, or one started for us. Raises ServiceAway."""
    engine = find_engine(settings, report)
    if engine is not None:
        return engine
    if os.environ.get("DOCKER_HOST"):
        raise ServiceAway(
            "no Docker engine answers",
            where=f"DOCKER_HOST={os.environ['DOCKER_HOST']}",
            fix="start it, or unset DOCKER_HOST",
        )
    program = find_dockerd()
    if program is None:
        raise ToolFailed("the Docker engine is not installed", fix="imagefactory setup")
    if STANDARD_SOCKET.exists() or not may_be_root(report):
        raise _not_running()
    return start_engine(program, settings, report)


def find_dockerd() -> Path | None:
    """dockerd on PATH, or where Debian has it (an ordinary user's PATH lacks /usr/sbin)."""
    debian = Path("/usr/sbin/dockerd")
    return which("dockerd") or (debian if debian.exists() else None)


def _not_running() -> ServiceAway:
    if STANDARD_SOCKET.exists() and not os.access(STANDARD_SOCKET, os.W_OK):
        return ServiceAway(
            "the Docker engine runs, but this user may not use it",
            where=str(STANDARD_SOCKET),
            fix="sudo usermod -aG docker $USER, then log in again",
        )
    return ServiceAway(
        "the Docker engine is not running", fix="sudo systemctl start docker, then again"
    )


def dockerd_argv(program: Path, own: OwnEngine, data: Path) -> list[str]:
    """The command that starts an engine of our own in the background (dpkg's own tool does it)."""
    return [
        "start-stop-daemon", "--start", "--background", "--output", str(own.log),
        "--pidfile", str(own.pid_file), "--exec", str(program), "--",
        "--data-root", str(data), "--exec-root", str(own.folder / "exec"),
        "--host", own.address, "--pidfile", str(own.pid_file), "--group", str(os.getegid()),
    ]  # fmt: skip


def start_engine(program: Path, settings: SandboxSettings, report: Report) -> Engine:
    """Start dockerd and wait until it answers."""
    own = OwnEngine(settings.folder / "engine")
    own.folder.mkdir(parents=True, exist_ok=True)
    cache_folder().mkdir(parents=True, exist_ok=True)  # dockerd would close it to others
    if own_engine(settings) is None:
        own.pid_file.unlink(missing_ok=True)  # a stale one keeps dockerd from starting
    with report.step("start the Docker engine"):
        as_root(report, *dockerd_argv(program, own, cache_folder() / "docker"))
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            if own.socket.exists():
                with suppress(ServiceAway):
                    return DockerEngine(own.address)
            time.sleep(0.2)
    tail = "\n".join(own.log.read_text(errors="replace").splitlines()[-15:])
    raise ServiceAway("the Docker engine did not start", where=str(own.log), detail=tail)


def revive_engine(settings: SandboxSettings, report: Report) -> Engine | None:
    """Start again the engine of ours that died, so that what it holds can be removed."""
    program = find_dockerd()
    died = OwnEngine(settings.folder / "engine").log.exists()
    if not died or program is None or os.environ.get("DOCKER_HOST") or not may_be_root(report):
        return None
    return start_engine(program, settings, report)


def own_engine(settings: SandboxSettings) -> int | None:
    """The process id of the engine that we started, if it still runs and is a dockerd."""
    own = OwnEngine(settings.folder / "engine")
    try:
        pid = int(own.pid_file.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    is_ours = Path(os.fsdecode(words[0])).name == "dockerd" and own.address.encode() in words
    return pid if is_ours else None


def stop_engine(settings: SandboxSettings, report: Report) -> None:
    """Stop the engine that we started, and wait until it is gone; others are left alone."""
    pid = own_engine(settings)
    if pid is None:
        return
    with report.step("stop the Docker engine"):
        as_root(report, "sh", "-c", 'kill "$1" || ! [ -d "/proc/$1" ]', "sh", str(pid))
        end = time.monotonic() + STOP_SECONDS
        while own_engine(settings) == pid and time.monotonic() < end:
            time.sleep(0.2)
        if own_engine(settings) == pid:
            raise ToolFailed("the Docker engine does not stop", where=f"process {pid}")
