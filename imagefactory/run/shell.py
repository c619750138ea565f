"""How commands and files get to a site: as programs here, or through ssh. One door for both."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused, UsageFault
from imagefactory.base.ordinary import ordinary_runner
from imagefactory.base.process import Done, Runner
from imagefactory.base.report import Report, size
from imagefactory.site import Access

SSH_FAILED = 255  # ssh's own failures; our scripts never end with it
CONNECT_SECONDS = 15
COPY_SECONDS = 1800.0
_UNPACK = 'mkdir -p "$1" && cd "$1" && tar -xf -'
# The bound is one byte more than allowed, so that too much is seen.
_PACK = 'cd "$1" && tar -cf - . | head -c "$2"'


class SiteShell(Protocol):
    """Runs POSIX sh on a site's login node and moves files. Raises ServiceAway or TrustRefused
    when the site cannot be reached; a script's own exit status is given back, not raised."""

    @property
    def where(self) -> str: ...

    def run(
        self,
        script: str,
        *arguments: str,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        log: Path | None = None,
    ) -> Done: ...

    def send(self, parcel: Path, folder: str) -> None:
        """Unpack the tar file `parcel` into `folder` on the site, which is made if missing."""

    def fetch(self, folder: str, parcel: Path, limit: int) -> None:
        """Pack `folder` of the site into the tar file `parcel`, of at most `limit` bytes."""


@dataclass(frozen=True)
class ProgramShell:
    """Both kinds: `prefix` makes the words that start `sh` on the site."""

    where: str
    runner: Runner
    wrap: Callable[[list[str]], list[str]]
    explain: Callable[[Done], FactoryError | None]

    def run(
        self,
        script: str,
        *arguments: str,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        log: Path | None = None,
    ) -> Done:
        argv = self.wrap(["sh", "-s", "--", *arguments])
        done = self.runner.run(
            *argv,
            timeout=timeout,
            stdin=script,
            on_line=on_line,
            log=log,
            cwd=Path("/"),
            check=False,
        )
        return self._reached(done)

    def send(self, parcel: Path, folder: str) -> None:
        argv = self.wrap(["sh", "-c", _UNPACK, "sh", folder])
        done = self.runner.run(
            *argv, timeout=COPY_SECONDS, stdin=parcel, cwd=Path("/"), check=False
        )
        if self._reached(done).status:
            raise ToolFailed(
                "the site did not take the files", where=f"{self.where}: {folder}", detail=done.tail
            )

    def fetch(self, folder: str, parcel: Path, limit: int) -> None:
        argv = self.wrap(["sh", "-c", _PACK, "sh", folder, str(limit + 1)])
        done = self.runner.run(
            *argv, timeout=COPY_SECONDS, output_file=parcel, cwd=Path("/"), check=False
        )
        if self._reached(done).status:
            raise ToolFailed(
                "the site did not give the files", where=f"{self.where}: {folder}", detail=done.tail
            )
        if parcel.stat().st_size > limit:
            raise ToolFailed(
                f"the results are larger than {size(limit)}", where=f"{self.where}: {folder}"
            )

    def _reached(self, done: Done) -> Done:
        error = self.explain(done)
        if error is not None:
            raise error
        return done


@contextmanager
def open_shell(access: Access, report: Report) -> Iterator[SiteShell]:
    """A way to a site's login node; with ssh, one connection that is closed at the end.

    Raises UsageFault for a site that is reached by UNICORE only.
    """
    if access.kind == "unicore":
        raise UsageFault(
            "this site has no shell for us",
            where="access.kind: unicore",
            fix="use access kind: ssh",
        )
    if access.kind == "local":
        yield ProgramShell(access.where, ordinary_runner(report), list, lambda _done: None)
        return
    # A short private folder: a socket's path may have 107 bytes at most (unix(7)).
    folder = Path(tempfile.mkdtemp(prefix="imgf-"))
    runner = Runner(report)
    words = ssh_argv(access, folder / "s")
    try:
        yield ProgramShell(
            access.where,
            runner,
            lambda argv: [*words, f"exec {shlex.join(argv)}"],
            lambda done: explain_ssh(done, access),
        )
    finally:
        if (folder / "s").exists():
            runner.run(*words[:-1], "-O", "exit", words[-1], timeout=30, check=False)
        shutil.rmtree(folder, ignore_errors=True)


def ssh_argv(access: Access, socket: Path) -> list[str]:
    """The words before a remote command: no question is ever asked, host keys are checked."""
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "ConnectTimeout": str(CONNECT_SECONDS),
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "ControlMaster": "auto",
        "ControlPath": f'"{socket}"',
        "ControlPersist": "60",
        "ClearAllForwardings": "yes",
        "LogLevel": "ERROR",
    }
    if access.known_hosts:
        options |= {"UserKnownHostsFile": f'"{access.known_hosts}"'}
        options |= {"GlobalKnownHostsFile": "/dev/null"}
    if access.identity:
        options |= {"IdentityFile": f'"{access.identity}"', "IdentitiesOnly": "yes"}
    if access.user:
        options["User"] = access.user
    if access.port:
        options["Port"] = str(access.port)
    words = ["ssh", "-T"]
    for name, value in options.items():
        words += ["-o", f"{name}={value}"]
    return [*words, access.host]


def explain_ssh(done: Done, access: Access) -> FactoryError | None:
    """The error of an ssh that did not get there, or None if the command itself was run."""
    if done.status != SSH_FAILED:
        return None
    text = done.errors
    again = shlex.join(["ssh", *(["-p", str(access.port)] if access.port else [])])
    target = f"{access.user}@{access.host}" if access.user else access.host
    if re.search(r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED", text):
        return TrustRefused(
            "the site's host key is unknown or has changed",
            where=access.where,
            fix="ask the site for its host keys and put them into known_hosts of the site record",
            detail=done.tail,
        )
    if re.search(r"Permission denied|Too many authentication failures", text):
        return TrustRefused(
            "the site does not accept our key",
            where=access.where,
            fix=f"try by hand: {again} {target}",
            detail=done.tail,
        )
    return ServiceAway(
        "the site cannot be reached",
        where=access.where,
        fix=f"try by hand: {again} {target}",
        detail=done.tail,
    )
