"""Stage one: the image into the site's store, by the script that is shipped beside this file."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path, PurePosixPath

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused
from imagefactory.base.files import digest_of, require_space, whole_file
from imagefactory.base.http import PAUSES, retrying
from imagefactory.base.ordinary import ordinary_folder
from imagefactory.base.process import Done
from imagefactory.base.report import Report, size
from imagefactory.base.values import Digest, ImageRef
from imagefactory.run.shell import SiteShell
from imagefactory.site import Site

PULL_SECONDS = 6 * 3600.0
MARK = "imagefactory "
TOLD = {
    "waiting": "another run stages this image (process {last} on {first}): waiting",
    "takeover": "the run that staged this image died (on {first}): going on in its place",
    "resumed": "the pull goes on where it was cut: {last} bytes were there",
    "altered": "the image in the store was altered; it is pulled again: {rest}",
    "unmarked": "no mark could be left that this run needs the image: cannot write {rest}",
}


@dataclass
class Staged:
    """What stage one said: where the image is, its sha256 as found there, and site versions."""

    image: str = ""
    sif: str = ""
    apptainer: str = ""
    slurm: str = ""
    downloaded: bool = False
    said: list[str] = field(default_factory=list)


def stage_one_script() -> str:
    """The text of stage_one.sh."""
    return files("imagefactory.run").joinpath("stage_one.sh").read_text(encoding="utf-8")


def submit_script() -> str:
    """The text of submit.sh: a login-node job that lives as long as its Slurm job."""
    return files("imagefactory.run").joinpath("submit.sh").read_text(encoding="utf-8")


def stage_one_arguments(
    site: Site, reference: ImageRef, sif: Digest, bytes_: int, run_id: str
) -> list[str]:
    """The words after `stage_one.sh`."""
    return [site.store, str(reference), sif.hex, str(bytes_), site.apptainer, run_id]


def stored_image(store: str, sif: Digest) -> str:
    """The image's final name in a site's store."""
    return str(PurePosixPath(store) / f"sha256-{sif.hex}.sif")


def store_file(source: Path, target: Path, sif: Digest) -> None:
    """Copy a SIF of this machine into the store, where the ordinary user can read it.

    Raises TrustRefused if the file is not the one that was planned with.
    """
    if target.is_file() and digest_of(target) == sif:
        return
    ordinary_folder(target.parent)
    require_space(target.parent, source.stat().st_size)
    with whole_file(target, 0o444) as temporary:
        shutil.copyfile(source, temporary)
        if digest_of(temporary) != sif:
            raise TrustRefused("the image changed while it was copied", where=str(source))


def stage(
    shell: SiteShell,
    arguments: list[str],
    report: Report,
    sleep: Callable[[float], None] = time.sleep,
) -> Staged:
    """Run stage one; a registry that is away is tried again a few times."""

    def once() -> Staged:
        staged = Staged()
        done = shell.run(
            stage_one_script(),
            *arguments,
            timeout=PULL_SECONDS,
            on_line=lambda line: read_line(line, staged, report),
        )
        if done.status:
            raise explain_stage_one(done, arguments, shell.where)
        if not staged.image:
            raise ToolFailed("stage one did not say where the image is", where=shell.where)
        return staged

    return retrying(once, PAUSES, sleep)


def read_line(line: str, staged: Staged, report: Report) -> None:
    """Take in one line of stage one's output."""
    if not line.startswith(MARK):
        return
    word, _, rest = line.removeprefix(MARK).partition(" ")
    parts = rest.split()
    if word == "bytes" and len(parts) == 2:
        report.progress("pulling the image", min(map(int, parts)), int(parts[1]))
        return
    staged.said.append(f"{word} {rest}")
    if word == "image" and len(parts) == 2:
        staged.image, staged.sif = parts
    elif word == "apptainer":
        staged.apptainer = rest.removeprefix("apptainer version ")
    elif word == "slurm":
        staged.slurm = rest.removeprefix("slurm ")
    elif word == "pulled":
        staged.downloaded = True
    elif word in TOLD and parts:
        _tell(word, rest, report)


def _tell(word: str, rest: str, report: Report) -> None:
    parts = rest.split()
    text = TOLD[word].format(first=parts[0], last=parts[-1], rest=rest)
    if word in {"waiting", "resumed"}:
        report.note(text)
    else:
        report.warn(text)


def explain_stage_one(done: Done, arguments: list[str], where: str) -> FactoryError:
    """What stage_one.sh's exit status means for a user."""
    store, reference, _, wanted, apptainer, _ = arguments
    lines = [line for line in done.errors.strip().splitlines() if line.strip()]
    what = lines[-1] if lines else f"stage one ended with exit status {done.status}"
    detail = "\n".join(lines[:-1][-5:])
    fixes: dict[int, tuple[type[FactoryError], str]] = {
        11: (ToolFailed, f"set apptainer in the site record to its path there (not {apptainer!r})"),
        12: (
            ToolFailed,
            f"free {size(int(wanted))} in {store}, or set folders.store of the site record",
        ),
        13: (ServiceAway, "check that the registry is up and seen from the login node; try again"),
        14: (ToolFailed, f"push the image again, or give another tag than {reference}"),
        15: (TrustRefused, "log in on the site: apptainer registry login -u USER docker://HOST"),
        16: (TrustRefused, "push the image again: what the registry holds is damaged"),
        17: (ToolFailed, "set folders.store of the site record to a folder that you can write"),
    }
    kind, fix = fixes.get(done.status, (ToolFailed, ""))
    return kind(f"stage one: {what}", where=where, fix=fix, detail=detail)
