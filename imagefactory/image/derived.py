"""An image made from another one, for what its build stage had and it has not; the other stays as
it is. Kept by a key that names the image underneath, the definition and every fetched file."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import ToolFailed
from imagefactory.base.files import digest_of, digest_of_text, locked, require_space, write_text
from imagefactory.base.ordinary import give, ordinary_cache, ordinary_folder, ordinary_user
from imagefactory.base.report import Report
from imagefactory.base.values import Digest
from imagefactory.image.apptainer import Apptainer, require_build_rights, require_fuse
from imagefactory.image.building import apart_from_host, find_current, stamp_of
from imagefactory.image.inputs import fetch
from imagefactory.image.reach import reachable
from imagefactory.image.record import BuildRecord, write_build_record
from imagefactory.image.watch import WIDTH, BuildWatch, failing_line
from imagefactory.recipe import Requirement

BUILD_SECONDS = 1800
ROOM_NEEDED = 3_000_000_000
UNDERNEATH, FETCHED = "underneath.sif", "fetched"
SOURCES = "/opt/src"  # where the definition finds what was fetched
_HEAD = f"""Bootstrap: localimage
From: {UNDERNEATH}

%files
    {FETCHED} {SOURCES}/{FETCHED}

"""


@dataclass(frozen=True)
class DerivedPlan:
    """What would be built on top of the image `base`; `current` is the record of one that is there.

    The files of `requirements` are at SOURCES/fetched/<sha256>/ when `sections` are run.
    """

    name: str
    version: str
    base: Digest
    sections: str
    requirements: tuple[Requirement, ...]
    python: str
    key: dict[str, str]
    sif: Path
    apptainer: Apptainer
    current: BuildRecord | None
    reason: str

    @property
    def definition(self) -> str:
        """The Apptainer definition."""
        return _HEAD + self.sections


def plan_derived(
    name: str,
    version: str,
    base: Digest,
    sections: str,
    requirements: Sequence[Requirement],
    python: str,
    report: Report,
) -> DerivedPlan:
    """Decide whether the image must be built, and why; `python` is like 3.11."""
    apptainer = Apptainer.find(report)
    key = {
        "underneath": str(base),
        "definition": str(digest_of_text(_HEAD + sections)),
        "apptainer": apptainer.version,
    } | {item.requirement: str(item.digest) for item in requirements}
    images = ordinary_cache() / "images" / name
    sif = images / digest_of_text(repr(sorted(key.items()))).short / f"{name}.sif"
    current, reason = find_current(sif, key, images)
    return DerivedPlan(
        name, version, base, sections, tuple(requirements), python, key, sif, apptainer, current,
        reason,
    )  # fmt: skip


def derive(plan: DerivedPlan, base: Path, report: Report) -> BuildRecord:
    """Build it on top of the SIF `base` unless it is there.

    Raises ToolFailed where `base` is not the image that was planned with, or the build fails.
    """
    if plan.current:
        return plan.current
    with locked(ordinary_folder(plan.sif.parent) / "lock"):
        # Another process may have built it while this one waited.
        made, _ = find_current(plan.sif, plan.key, plan.sif.parent.parent)
        return made or _build(plan, base, report)


def _build(plan: DerivedPlan, base: Path, report: Report) -> BuildRecord:
    require_fuse()
    require_build_rights()
    require_space(ordinary_cache(), ROOM_NEEDED)
    if digest_of(base) != plan.base:
        raise ToolFailed(f"this is not the image {plan.base}", where=str(base))
    began = time.monotonic()
    log = ordinary_folder(ordinary_cache() / "logs") / f"{plan.name}-{plan.sif.parent.name}.log"
    log.unlink(missing_ok=True)
    log.touch()
    give(log)
    building = ordinary_folder(ordinary_cache() / "building")
    folder = Path(tempfile.mkdtemp(prefix=f"{plan.name}-", suffix=f"-{os.getpid()}", dir=building))
    give(folder)
    try:
        with report.step(f"build {plan.name}, on {plan.base.short}"):
            _lay_out(plan, base, folder, report)
            _run_apptainer(plan, folder, log, report)
            digest = str(digest_of(folder / "image.sif"))
            (folder / "image.sif").replace(plan.sif)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    record = BuildRecord(
        name=plan.name,
        version=plan.version,
        sif=plan.sif,
        digest=digest,
        size=plan.sif.stat().st_size,
        key=plan.key,
        seconds=round(time.monotonic() - began, 1),
        definition=plan.definition,
        log=str(log),
        user=ordinary_user().pw_name,
        sources={item.requirement: str(item.digest) for item in plan.requirements},
        checked=stamp_of(plan.sif),
    )
    write_build_record(record)
    return record


def _lay_out(plan: DerivedPlan, base: Path, folder: Path, report: Report) -> None:
    with reachable(base, plan.apptainer) as path:
        shutil.copyfile(path, folder / UNDERNEATH)
    give(folder / UNDERNEATH)
    write_text(folder / "image.def", plan.definition)
    with report.step("fetch what comes from PyPI"):
        fetched = fetch(plan.requirements, plan.python, report)
    for digest, file in fetched.items():
        shutil.copyfile(file, ordinary_folder(folder / FETCHED / digest) / file.name)


def _run_apptainer(plan: DerivedPlan, folder: Path, log: Path, report: Report) -> None:
    watch = BuildWatch(report)
    scratch, empty = (ordinary_folder(folder / name) for name in ("scratch", "empty"))
    empty.chmod(0o1777)  # apt writes there as a user of its own
    try:
        plan.apptainer.runner.run(
            plan.apptainer.program, "build", *apart_from_host(empty), "image.sif", "image.def",
            timeout=BUILD_SECONDS, cwd=folder, log=log, on_line=watch.line,
            extra={"APPTAINER_TMPDIR": str(scratch), "APPTAINER_CACHEDIR": str(scratch)},
        )  # fmt: skip
    except ToolFailed as err:
        number = failing_line(plan.definition, watch.last_command)
        place = f"at line {number} of its definition" if number else "at Apptainer itself"
        raise ToolFailed(
            f"the build of {plan.name} failed {place}: {watch.last_command[:WIDTH] or err}",
            where=str(plan.sif.parent),
            fix=f"read the log: {log}",
            detail=err.detail,
        ) from None
