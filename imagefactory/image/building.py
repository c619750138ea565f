"""Building: planned from a key that names every input, done by Apptainer as an ordinary user."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import ConfigurationFault, ToolFailed, VerdictAgainst
from imagefactory.base.files import digest_of, digest_of_text, locked, require_space
from imagefactory.base.ordinary import give, ordinary_cache, ordinary_folder, ordinary_user
from imagefactory.base.report import Report, size
from imagefactory.image.apptainer import Apptainer, require_build_rights, require_fuse
from imagefactory.image.context import Contents, lay_out, open_context
from imagefactory.image.inputs import mmdebstrap_version, root_key
from imagefactory.image.inspection import own_facts
from imagefactory.image.record import (
    BuildRecord,
    changed_parts,
    read_build_record,
    record_path,
    write_build_record,
)
from imagefactory.image.watch import BuildWatch, failing_line
from imagefactory.recipe import Definition, Recipe, SpackStack, define

BUILD_SECONDS = 3 * 3600
ROOM_NEEDED = 4_000_000_000  # base root, unpacked stages and the SIF of recipes/nest, measured x 2


@dataclass(frozen=True)
class BuildPlan:
    """What a build would do. `current` is the record of an image that needs no build."""

    definition: Definition
    key: dict[str, str]
    sif: Path
    apptainer: Apptainer
    current: BuildRecord | None
    reason: str

    @property
    def recipe(self) -> Recipe:
        return self.definition.recipe

    def lines(self) -> list[str]:
        """The plan for people."""
        if self.current:
            return [f"nothing to do: {self.reason}"]
        return [
            f"build {self.sif}",
            f"because {self.reason}",
            f"with Apptainer {self.apptainer.version} as the user {ordinary_user().pw_name}",
            *(f"from {name}: {value}" for name, value in self.key.items()),
        ]


def plan_build(recipe: Recipe, report: Report) -> BuildPlan:
    """Decide whether an image must be built, and why."""
    apptainer = Apptainer.find(report)
    definition = define(recipe)
    key = {"definition": str(definition.digest)}
    key |= {f"file {path.name}": str(digest_of(path)) for path in definition.files}
    key |= _release_key(recipe)
    key |= root_key(recipe, mmdebstrap_version(report)) | {"apptainer": apptainer.version}
    name = digest_of_text(repr(sorted(key.items()))).short
    images = ordinary_cache() / "images" / recipe.name
    sif = images / name / f"{recipe.name}.sif"
    current, reason = find_current(sif, key, images)
    return BuildPlan(definition, key, sif, apptainer, current, reason)


def _release_key(recipe: Recipe) -> dict[str, str]:
    """What a release brings; its sources are in it by the sha256 of their recipes."""
    if not isinstance(recipe.stack, SpackStack):
        return {}
    release = recipe.stack.release
    return {
        "lock": str(recipe.stack.digest),
        "overlay": str(release.overlay_digest),
        "spack": release.spack.commit,
        "spack packages": release.packages.commit,
    }


def latest_build(name: str) -> BuildRecord | None:
    """The newest build of a recipe of this name in the cache, with whatever inputs; None without
    one."""
    found = filter(None, map(_record_of, (ordinary_cache() / "images" / name).glob("*/*.sif")))
    return max(found, key=lambda record: record.sif.stat().st_mtime, default=None)


def find_current(sif: Path, key: dict[str, str], images: Path) -> tuple[BuildRecord | None, str]:
    """The record of an image that is there whole, and why there is one or none."""
    record = _record_of(sif)
    if record is not None and sif.is_file():
        if stamp_of(sif) == record.checked or str(digest_of(sif)) == record.digest:
            return record, f"all {len(key)} inputs are those of {record.digest[:19]}"
        return None, "the SIF in the cache was altered"
    others = [found for path in sorted(images.glob("*/*.sif")) if (found := _record_of(path))]
    if not others:
        return None, "it was never built here"
    parts = min((changed_parts(other.key, key) for other in others), key=len)
    return None, f"against the nearest build here these changed: {', '.join(parts)}"


def _record_of(sif: Path) -> BuildRecord | None:
    """The record beside a SIF; None if there is none, or none that can be read."""
    try:
        return read_build_record(record_path(sif))
    except ConfigurationFault:
        return None


def stamp_of(sif: Path) -> list[int]:
    """Size and time of a file: what a record keeps to see that it was not touched."""
    found = sif.stat()
    return [found.st_size, found.st_mtime_ns]


def build(plan: BuildPlan, report: Report, output: Path | None = None) -> BuildRecord:
    """Build unless there is nothing to do; returns the record, of the copy where `output` is given.

    A failed build leaves no SIF, keeps its log and raises ToolFailed with the failing line.
    """
    if plan.current:
        report.note(f"{plan.recipe.name}: nothing to do, {plan.reason}")
        return _put_out(plan.current, output, report)
    with locked(ordinary_folder(plan.sif.parent) / "lock"):
        # Another process may have built it while this one waited.
        made, _ = find_current(plan.sif, plan.key, plan.sif.parent.parent)
        record = made or _build(plan, plan.sif, report, fresh=False)
    return _put_out(record, output, report)


def rebuild(plan: BuildPlan, report: Report) -> BuildRecord:
    """Build once more from nothing but the recipe, and compare with the image in the cache.

    Raises VerdictAgainst if the two are not the same bytes; both are kept then.
    """
    first = build(plan, report)
    second = ordinary_cache() / "rebuilt" / f"{plan.recipe.name}-{os.getpid()}.sif"
    ordinary_folder(second.parent)
    again = _build(plan, second, report, fresh=True)
    if again.digest != first.digest:
        raise VerdictAgainst(
            f"two builds differ: {first.digest} and {again.digest}",
            where=f"{first.sif} and {second}",
            fix="unpack both with unsquashfs and compare the files",
        )
    second.unlink()
    record_path(second).unlink()
    return again


def _build(plan: BuildPlan, target: Path, report: Report, *, fresh: bool) -> BuildRecord:
    require_fuse()
    require_build_rights()
    require_space(ordinary_cache(), ROOM_NEEDED)
    started = time.monotonic()
    recipe = plan.recipe
    stamp = time.strftime("%Y%m%d-%H%M%S")
    log = ordinary_folder(ordinary_cache() / "logs") / f"{recipe.name}-{stamp}-{os.getpid()}.log"
    with report.step(f"build {recipe.name} {recipe.version}"), open_context(recipe) as context:
        contents = lay_out(
            plan.definition, plan.apptainer, plan.key["mmdebstrap"], context, report, fresh=fresh
        )
        result = _run_apptainer(plan, context, contents, log, report)
        digest = str(digest_of(result))
        result.replace(target)
    record = BuildRecord(
        name=recipe.name,
        version=recipe.version,
        sif=target,
        digest=digest,
        size=target.stat().st_size,
        key=plan.key,
        seconds=round(time.monotonic() - started, 1),
        definition=plan.definition.text,
        log=str(log),
        user=ordinary_user().pw_name,
        root=contents.root,
        sources=contents.sources,
        debian=own_facts(target, plan.apptainer).get("debian", {}),
        checked=stamp_of(target),
    )
    write_build_record(record)
    report.note(f"{target}: {size(record.size)}, {digest}")
    return record


def _run_apptainer(
    plan: BuildPlan, context: Path, contents: Contents, log: Path, report: Report
) -> Path:
    watch = BuildWatch(report)
    scratch, empty = (ordinary_folder(context / name) for name in ("scratch", "empty"))
    empty.chmod(0o1777)  # apt writes there as a user of its own
    log.touch()
    give(log)
    try:
        plan.apptainer.runner.run(
            plan.apptainer.program, "build", "--reproducible", *apart_from_host(empty),
            *(word for bind in contents.binds for word in ("--bind", bind)),
            "image.sif", "image.def",
            timeout=BUILD_SECONDS, cwd=context, log=log, on_line=watch.line,
            extra={
                "SOURCE_DATE_EPOCH": str(plan.recipe.source_date_epoch),
                "APPTAINER_TMPDIR": str(scratch),
                "APPTAINER_CACHEDIR": str(scratch),
            },
        )  # fmt: skip
    except ToolFailed as err:
        raise ToolFailed(
            f"the build of {plan.recipe.name} failed {_place(plan, watch)}: "
            f"{watch.last_command or err}",
            where=str(plan.recipe.folder),
            fix=_next_step(plan.recipe, watch, log),
            detail=err.detail,
        ) from None
    return context / "image.sif"


def _place(plan: BuildPlan, watch: BuildWatch) -> str:
    if watch.package:
        return f"in the package {watch.package}, phase {watch.phase}"
    number = failing_line(plan.definition.text, watch.last_command)
    return f"at line {number} of the definition" if number else "at Apptainer itself"


def _next_step(recipe: Recipe, watch: BuildWatch, log: Path) -> str:
    step = f"read the log: {log}"
    if watch.package:
        step += f"; then go on from here: imagefactory image build {recipe.folder}"
    return step


def apart_from_host(empty: Path) -> Iterator[str]:
    """Words that put an empty folder where Apptainer would mount the host's own."""
    for place in ("/tmp", "/var/tmp"):  # noqa: S108 - names inside the image
        yield from ("--bind", f"{empty}:{place}")


def _put_out(record: BuildRecord, output: Path | None, report: Report) -> BuildRecord:
    """Copy the image and its record to where the user wants them."""
    if output is None:
        return record
    if output.is_dir():
        raise ConfigurationFault("this is a folder, not a file to write", where=str(output))
    from dataclasses import replace

    from imagefactory.base.files import whole_file

    with report.step(f"copy to {output}"), whole_file(output, 0o755) as temporary:
        shutil.copyfile(record.sif, temporary)
    copied = replace(record, sif=output.absolute(), checked=stamp_of(output))
    write_build_record(copied)
    return copied
