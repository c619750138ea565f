"""An image that the ordinary user can read, wherever the user put it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imagefactory.base.ordinary import give, ordinary_cache, ordinary_folder
from imagefactory.image.apptainer import Apptainer, require_fuse, require_sif


@contextmanager
def reachable(sif: Path, apptainer: Apptainer) -> Iterator[Path]:
    """The path of a SIF that the ordinary user may open; a link or copy of it where it may not.

    Raises ConfigurationFault if it is no SIF, ToolFailed if images cannot be mounted.
    """
    path = require_sif(sif)
    require_fuse()
    if apptainer.runner.run("test", "-r", path, timeout=30, cwd=Path("/"), check=False).status == 0:
        yield path
        return
    holder = ordinary_folder(ordinary_cache() / "reached")
    folder = Path(tempfile.mkdtemp(dir=holder))
    try:
        give(folder)
        link = folder / path.name
        try:
            os.link(path, link)
        except OSError:  # another file system
            shutil.copyfile(path, link)
            give(link)
        yield link
    finally:
        shutil.rmtree(folder, ignore_errors=True)
