"""The sites' images: Debian roots made by mmdebstrap, held by the engine under a content key."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

from imagefactory.base.errors import ToolFailed
from imagefactory.base.files import require_space
from imagefactory.base.process import Runner
from imagefactory.base.report import Report, clock
from imagefactory.sandbox.engine import Engine
from imagefactory.sandbox.sites import SITES, SiteRoot

BUILD_SECONDS = 1800
SPACE_BYTES = 2_000_000_000


def missing_roots(held: Sequence[str]) -> list[SiteRoot]:
    """The sites whose image, at its present key, is not among the tags `held`."""
    return [site for site in SITES if site.tag not in held]


def mmdebstrap_argv(site: SiteRoot, tar: Path, is_root: bool) -> list[str]:
    """The command that makes a site's root; an ordinary user needs a subuid range for it."""
    mode = "root" if is_root else "unshare"
    return ["mmdebstrap", f"--mode={mode}", *site.mmdebstrap_options, site.name, str(tar)]


def make_roots(sites: Sequence[SiteRoot], engine: Engine, folder: Path, report: Report) -> None:
    """Make and import the images of `sites`, side by side; half-made files are removed."""
    if not sites:
        return
    folder.mkdir(parents=True, exist_ok=True)
    require_space(folder, SPACE_BYTES)
    names = " and ".join(site.name for site in sites)
    with (
        report.step(f"make the images of {names} (once, about 1 min each)"),
        TemporaryDirectory(prefix="sandbox-", dir=folder) as scratch,
        ThreadPoolExecutor(len(sites)) as pool,
    ):
        # mmdebstrap's inner user must be able to enter it.
        Path(scratch).chmod(0o711)
        for work in [pool.submit(_make, site, engine, Path(scratch), report) for site in sites]:
            work.result()


def _make(site: SiteRoot, engine: Engine, scratch: Path, report: Report) -> None:
    tar = scratch / f"{site.name}.tar"
    runner = Runner(report)
    started = time.monotonic()

    def on_line(text: str) -> None:
        told = text.removeprefix("I: ")
        report.progress(f"{site.name}: {told}", round(time.monotonic() - started), unit="s")

    try:
        done = runner.run(
            *mmdebstrap_argv(site, tar, os.geteuid() == 0), timeout=BUILD_SECONDS, on_line=on_line
        )
    except ToolFailed as err:
        raise ToolFailed(
            f"the image of the site {site.name} could not be made: {err.faults[0].what}",
            where=err.faults[0].where,
            fix="see that Debian's packages can be reached (apt-get update), then again",
            detail=err.detail,
        ) from None
    engine.import_image(tar, site.tag)
    tar.unlink()
    report.note(f"{site.name}: {clock(done.seconds)}, held as {site.tag}")
