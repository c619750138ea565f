"""python -m imagefactory.sandbox.unicore FOLDER SITE=PORT...: the double, until it is told to end.

Started by `imagefactory sandbox up`; the ports are those of the login nodes' ssh.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from imagefactory.base.errors import FactoryError
from imagefactory.base.files import write_json
from imagefactory.base.ordinary import ordinary_cache, ordinary_folder, ordinary_runner
from imagefactory.base.report import Console, Report
from imagefactory.run import open_shell
from imagefactory.sandbox.nmpi import Nmpi, start_in_image, start_nmpi
from imagefactory.sandbox.settings import sandbox_settings
from imagefactory.sandbox.sites import login_access
from imagefactory.sandbox.unicore.background import UnicoreAddress, state_file, write_address
from imagefactory.sandbox.unicore.login import Login
from imagefactory.sandbox.unicore.shell_login import open_login
from imagefactory.sandbox.unicore.start import Unicore, start_unicore
from imagefactory.site import double_record

LOOK_SECONDS = 0.5
WATCH_SECONDS = 1.0
JOB_FOLDER = "/shared/imagefactory/unicore/"  # the file system that login and compute nodes share


def main(words: Sequence[str]) -> int:
    """Serve until SIGTERM, or until the state file is gone with the sandbox."""
    folder, *sites = words
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    report = Console()
    settings = sandbox_settings()
    try:
        with ExitStack() as stack:
            logins = _open_logins(sites, stack, report)
            unicore = stack.enter_context(
                start_unicore(Path(folder), logins, looks=LOOK_SECONDS, report=report)
            )
            nmpi = stack.enter_context(_start_nmpi(Path(folder), unicore, report))
            _write_queue(nmpi)
            stack.callback(double_record().unlink, missing_ok=True)
            write_address(settings, _address(unicore))
            while not ended.wait(WATCH_SECONDS) and state_file(settings).exists():
                pass
    except FactoryError as err:
        report.warn(str(err))
        return err.exit_code
    return 0


def _start_nmpi(folder: Path, unicore: Unicore, report: Report) -> AbstractContextManager[Nmpi]:
    """The NMPI double beside this one: the same issuer and the same plan of faults."""
    return start_nmpi(
        folder / "nmpi", issuer=unicore.issuer, faults=unicore.faults, pause=LOOK_SECONDS,
        runner=ordinary_runner(report), start=start_in_image(report),
        work=ordinary_folder(ordinary_cache() / "nmpi-jobs"), report=report,
    )  # fmt: skip


def _write_queue(nmpi: Nmpi) -> None:
    """Say where it is, as a record of a job queue."""
    document = {"url": nmpi.url, "ca": str(nmpi.ca_file), "double": True}
    # JSON is YAML, too.
    write_json(double_record(), document, mode=0o600)


def _open_logins(sites: Sequence[str], stack: ExitStack, report: Report) -> dict[str, Login]:
    found: dict[str, Login] = {}
    for word in sites:
        name, _, port = word.partition("=")
        access = login_access(sandbox_settings(), name, int(port))
        shell = stack.enter_context(open_shell(access, report))
        found[name] = open_login(shell, JOB_FOLDER)
    return found


def _address(unicore: Unicore) -> UnicoreAddress:
    service = unicore.service
    return UnicoreAddress(
        pid=os.getpid(),
        base=service.base,
        registry=unicore.registry_url,
        sites={name: unicore.site_url(name) for name in service.engines},
        ca_file=unicore.ca_file,
        issuer=unicore.issuer_url,
        client_id=unicore.client_id,
        control=service.control,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
