"""A pytest plugin: testinfra's connection for Apptainer, so that `host` is the inside of a SIF.

testinfra (10.2) knows docker, podman and ssh, not Apptainer. Loaded by `-p` in the child process
that image/testing.py starts, which names the connection; without it testinfra would take the
machine that we are on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from testinfra import backend
from testinfra.backend.base import BaseBackend, CommandResult

from imagefactory.base.report import Silent
from imagefactory.image.apptainer import Apptainer
from imagefactory.image.testing import CONNECTION, VARIABLE


class ApptainerBackend(BaseBackend):  # type: ignore[misc]  # testinfra ships no types
    """Runs testinfra's commands with `apptainer exec` as the ordinary user."""

    NAME = CONNECTION

    def __init__(self, name: str, *args: Any, **options: Any) -> None:
        super().__init__(name, *args, **options)
        self._sif = Path(os.environ[VARIABLE])
        self._apptainer = Apptainer.find(Silent())

    def run(self, command: str, *args: str, **_: Any) -> CommandResult:
        line = self.get_command(command, *args)
        done = self._apptainer.execute(self._sif, ["/bin/sh", "-c", line], check=False)
        return self.result(done.status, self.encode(line), done.output, done.errors)


backend.BACKENDS[CONNECTION] = f"{__name__}.{ApptainerBackend.__name__}"
