"""The double as a process of its own, beside the sandbox's containers: start, find, ask, stop."""

from __future__ import annotations

import os
import signal
import ssl
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, UsageFault
from imagefactory.base.files import write_json
from imagefactory.base.http import explain, open_client
from imagefactory.base.process import Runner
from imagefactory.base.report import Report
from imagefactory.base.settings import read_json
from imagefactory.base.values import Secret
from imagefactory.sandbox.settings import SandboxSettings, sandbox_settings
from imagefactory.sandbox.unicore.faults import PlannedFault
from imagefactory.sandbox.unicore.wire import CONTROL
from imagefactory.site import double_record

if TYPE_CHECKING:
    import httpx

MODULE = "imagefactory.sandbox.unicore"
DAEMON = "/sbin/start-stop-daemon"  # an ordinary user's PATH lacks it
START_SECONDS = 30.0
STOP_SECONDS = 10.0
CALL_SECONDS = 30.0
_TEXT = {"type": "string"}
_KEYS = ("base", "registry", "ca_file", "issuer", "client_id", "control")
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["schema", "pid", "sites", *_KEYS],
    "properties": {
        "schema": {"const": 1},
        "pid": {"type": "integer"},
        "sites": {"type": "object", "additionalProperties": _TEXT},
        **dict.fromkeys(_KEYS, _TEXT),
    },
}


@dataclass(frozen=True)
class UnicoreAddress:
    """Where the double of the sandbox is. `sites` maps a site's name to its core service;
    `control` opens the endpoint that sets faults and issues tokens."""

    pid: int
    base: str
    registry: str
    sites: Mapping[str, str]
    ca_file: Path
    issuer: str
    client_id: str
    control: Secret


def unicore_folder(settings: SandboxSettings) -> Path:
    """Certificates, log, process id and state of the double."""
    return settings.folder / "unicore"


def state_file(settings: SandboxSettings) -> Path:
    """Written when the double answers, mode 0600; when it is gone, the double ends itself."""
    return unicore_folder(settings) / "state.json"


def write_address(settings: SandboxSettings, address: UnicoreAddress) -> None:
    """Say where the double is."""
    document = {
        "schema": 1,
        "pid": address.pid,
        "base": address.base,
        "registry": address.registry,
        "sites": dict(address.sites),
        "ca_file": str(address.ca_file),
        "issuer": address.issuer,
        "client_id": address.client_id,
        "control": address.control.reveal(),
    }
    write_json(state_file(settings), document, mode=0o600)


def load_unicore() -> UnicoreAddress | None:
    """The double of the sandbox, if it runs; says nothing about whether it answers."""
    settings = sandbox_settings()
    path = state_file(settings)
    if not path.is_file():
        return None
    document = read_json(path, _SCHEMA)
    if own_process(settings) != document["pid"]:
        return None
    del document["schema"]
    given = {"ca_file": Path(document["ca_file"]), "control": Secret(document["control"])}
    return UnicoreAddress(**{**document, **given})


def own_process(settings: SandboxSettings) -> int | None:
    """The process id of the double that we started, if it still runs and is one."""
    try:
        pid = int((unicore_folder(settings) / "pid").read_text(encoding="ascii"))
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    is_ours = MODULE.encode() in words and os.fsencode(unicore_folder(settings)) in words
    return pid if is_ours else None


def daemon_argv(settings: SandboxSettings, ports: Mapping[str, int]) -> list[str]:
    """The command that starts the double in the background (dpkg's own tool does it)."""
    folder = unicore_folder(settings)
    return [
        DAEMON, "--start", "--background", "--make-pidfile",
        "--pidfile", str(folder / "pid"), "--output", str(folder / "log"), "--chdir", "/",
        "--exec", sys.executable, "--", "-m", MODULE, str(folder),
        *(f"{site}={port}" for site, port in ports.items()),
    ]  # fmt: skip


def start_background(
    settings: SandboxSettings, ports: Mapping[str, int], report: Report
) -> UnicoreAddress:
    """Start the double for the sites whose ssh ports are given; waits until it answers.

    One that runs is stopped first. Raises ToolFailed with the end of its log.
    """
    stop_background(settings, report)
    folder = unicore_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    Runner(report).run(*daemon_argv(settings, ports), timeout=START_SECONDS)
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        found = load_unicore()
        if found is not None and unicore_answers(found):
            return found
        if own_process(settings) is None and (folder / "pid").exists():
            break
        time.sleep(0.1)
    log = folder / "log"
    tail = log.read_text(errors="replace").splitlines()[-15:] if log.exists() else []
    raise ToolFailed("the UNICORE double did not start", where=str(log), detail="\n".join(tail))


def stop_background(settings: SandboxSettings, report: Report) -> bool:
    """Stop the double that we started, and wait until it is gone; False if there was none."""
    pid = own_process(settings)
    if pid is not None:
        report.note(f"the UNICORE double (process {pid}) is stopped")
        for word in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.kill(pid, word)
            end = time.monotonic() + STOP_SECONDS
            while own_process(settings) == pid and time.monotonic() < end:
                time.sleep(0.05)
    for name in ("state.json", "pid", "log"):
        (unicore_folder(settings) / name).unlink(missing_ok=True)
    double_record().unlink(missing_ok=True)  # the NMPI double is of the same process
    return pid is not None


def unicore_answers(address: UnicoreAddress) -> bool:
    """Whether its registry answers over TLS."""
    try:
        _ask(address, "GET", address.registry)
    except FactoryError:
        return False
    return True


def plan_faults(
    address: UnicoreAddress, faults: Sequence[PlannedFault], seed: int = 0
) -> dict[str, Any]:
    """Replace the faults of the running double; an empty list ends them. Returns what it says."""
    body = {"seed": seed, "faults": [vars(fault) for fault in faults]}
    return dict(_ask(address, "PUT", f"{address.base}{CONTROL}/faults", body).json())


def show_faults(address: UnicoreAddress) -> dict[str, Any]:
    """What is planned in the running double, and what has been fired."""
    return dict(_ask(address, "GET", f"{address.base}{CONTROL}/faults").json())


def count_requests(address: UnicoreAddress) -> dict[str, int]:
    """How often what was asked of the running double, as in "GET job"."""
    return dict(_ask(address, "GET", f"{address.base}{CONTROL}/requests").json())


def issue_token(
    address: UnicoreAddress, user: str | None = None, lifetime: int | None = None
) -> Secret:
    """A bearer token of the loopback issuer; `lifetime` in seconds."""
    wish = {"user": user, "lifetime": lifetime}
    body = {key: value for key, value in wish.items() if value is not None}
    return Secret(_ask(address, "POST", f"{address.base}{CONTROL}/token", body).text)


def decide_device(address: UnicoreAddress, code: str, deny: bool = False) -> None:
    """Approve or deny a device code; raises UsageFault if there is none of that name."""
    body = {"user_code": code, "deny": deny}
    _ask(address, "POST", f"{address.base}{CONTROL}/device", body)


def require_unicore() -> UnicoreAddress:
    """The double of the sandbox; raises UsageFault if it does not run."""
    found = load_unicore()
    if found is None:
        raise UsageFault("the UNICORE double does not run", fix="imagefactory sandbox up")
    return found


def _ask(address: UnicoreAddress, method: str, url: str, body: object = None) -> httpx.Response:
    import httpx

    context = ssl.create_default_context(cafile=str(address.ca_file))
    headers = {"Authorization": f"Bearer {address.control.reveal()}"}
    if not url.startswith(f"{address.base}{CONTROL}"):
        headers = {}
    try:
        with open_client(httpx.HTTPTransport(verify=context)) as client:
            reply = client.request(method, url, json=body, headers=headers, timeout=CALL_SECONDS)
            reply.raise_for_status()
    except httpx.HTTPStatusError as err:
        if err.response.status_code == 400:
            raise UsageFault(err.response.json()["errorMessage"]) from None
        raise explain(err, url) from None
    except httpx.HTTPError as err:
        raise explain(err, url) from None
    except ssl.SSLError as err:
        raise ServiceAway(f"no TLS with the double: {err}", where=url) from None
    return reply
