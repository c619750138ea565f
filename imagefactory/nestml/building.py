"""A module: planned from a key that names every input, made in the tools image, kept by it."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, FactoryError, ToolFailed
from imagefactory.base.files import digest_of, digest_of_text, locked, require_space, write_json
from imagefactory.base.ordinary import give, ordinary_cache, ordinary_folder
from imagefactory.base.report import Report
from imagefactory.base.values import Digest
from imagefactory.image import DerivedPlan, derive
from imagefactory.nestml.messages import model_error, warnings
from imagefactory.nestml.module import CODE, FILE, Module, read_module, write_module
from imagefactory.nestml.source import Source, read_source
from imagefactory.nestml.tools import PREFIX, plan_tools, prefix_of
from imagefactory.nestml.versions import Pair, Target, choose_pair, nest_limit, require_nest

MAKE = Path(str(files("imagefactory.nestml").joinpath("inside"))) / "make_module.py"
WORK = "/work"  # the same in every build: no path of a machine gets into a module
MAKE_SECONDS = 900
ROOM_NEEDED = 200_000_000  # 1 to 20 MB are kept; the rest is what a compiler leaves on its way
LOG = "log.txt"


@dataclass(frozen=True)
class ModulePlan:
    """What would be made. `current` is a module that is there already."""

    source: Source
    target: Target
    image: Digest
    pair: Pair
    tools: DerivedPlan
    key: dict[str, str]
    folder: Path
    current: Module | None

    def lines(self) -> list[str]:
        """The plan, for people."""
        if self.current:
            return [
                f"nothing to do: {self.folder} is there, all {len(self.key)} inputs are the same"
            ]
        lines = [
            f"generate code for {self.target} from {self.source.path} with {self.pair}",
            f"in the tools image {self.tools.sif}",
        ]
        if self.tools.current is None:
            lines.insert(0, f"build the tools image on {self.image} ({self.tools.reason}): 2 min")
        if limit := nest_limit(self.pair, self.target):
            lines.append(f"only where the image's NEST is older than {limit}, which is asked first")
        if self.target is Target.NEST:
            lines.append(f"compile {self.source.module}.so against the NEST of {self.image}")
        else:
            lines.append("compile nothing: SpiNNaker's C sources are on no package registry")
        return [*lines, f"keep it in {self.folder}"]


def plan_module(
    path: Path,
    target: Target,
    image: Digest,
    report: Report,
    *,
    nestml: str | None = None,
    odetoolbox: str | None = None,
) -> ModulePlan:
    """Decide what a NESTML file needs to become a module for the image with this sha256.

    Raises UsageFault for a file that is none, and for versions that do not go together.
    """
    pair = choose_pair(target, nestml, odetoolbox)
    source = read_source(path)
    tools = plan_tools(image, report)
    key = {
        "name": source.name,
        "source": str(source.digest),
        "target": str(target),
        "pair": str(pair),
        "image": str(image),
        "tools": str(digest_of_text(json.dumps(tools.key, sort_keys=True))),
        "script": str(digest_of(MAKE)),
    }
    name = digest_of_text(json.dumps(key, sort_keys=True)).short
    folder = ordinary_cache() / "modules" / f"{source.name}-{target}-{name}"
    return ModulePlan(source, target, image, pair, tools, key, folder, _find(folder, report))


def build_module(plan: ModulePlan, find_sif: Callable[[], Path], report: Report) -> Module:
    """Make the module unless it is there. `find_sif` gives the image, where it is needed.

    Raises ConfigurationFault with NESTML's own messages for a model with errors.
    """
    if plan.current:
        report.note(plan.lines()[0])
        return plan.current
    with locked(ordinary_folder(plan.folder.parent) / f".{plan.folder.name}.lock"):
        made = _find(plan.folder, report)  # another process may have made it meanwhile
        return made or _build(plan, find_sif, report)


def _find(folder: Path, report: Report) -> Module | None:
    if not (folder / FILE).is_file():
        return None
    try:
        return read_module(folder)
    except FactoryError as err:
        report.warn(f"{folder} is made again: {err.faults[0].what}")
        return None


def _build(plan: ModulePlan, find_sif: Callable[[], Path], report: Report) -> Module:
    if plan.tools.current is None:
        tools = derive(plan.tools, find_sif(), report).sif
    else:
        tools = plan.tools.current.sif
    began = time.monotonic()
    require_space(plan.folder.parent, ROOM_NEEDED)
    folder = Path(tempfile.mkdtemp(prefix=".", dir=plan.folder.parent))
    give(folder)
    try:
        with report.step(f"{plan.source.path.name} for {plan.target}"):
            result = _make(plan, tools, folder, report)
        if not result["right"]:
            raise model_error(plan.source.path, result["messages"])
        module = _keep(plan, folder, result, round(time.monotonic() - began, 1))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for line in module.warnings:
        report.note(f"NESTML: {line}")
    return module


def _make(plan: ModulePlan, tools: Path, folder: Path, report: Report) -> dict[str, Any]:
    """Ask the tools image for its versions; where they go together, make the module there."""
    shutil.copyfile(MAKE, folder / MAKE.name)
    (folder / plan.source.path.name).write_text(plan.source.text, encoding="utf-8")
    job = {
        "source": plan.source.path.name,
        "target": str(plan.target),
        "module": plan.source.module,
    }
    write_json(folder / "job.json", job)
    for path in folder.iterdir():
        give(path)  # whatever root's umask is
    versions = _run_inside(plan, tools, folder, "look")
    found = Pair(versions["nestml"], versions["odetoolbox"])
    if found != plan.pair:
        raise ConfigurationFault(
            f"the tools image has {found}, not {plan.pair}", where=str(plan.tools.sif),
            fix="remove that folder and build again",
        )  # fmt: skip
    if plan.target is Target.NEST:
        require_nest(plan.pair, plan.target, versions["nest"])
    return _run_inside(plan, tools, folder, "make") | {"versions": versions}


def _run_inside(plan: ModulePlan, tools: Path, folder: Path, word: str) -> dict[str, Any]:
    """Run the script in the tools image, without a network; it sees nothing but `folder`."""
    options = [
        "--containall", "--no-home", "--net", "--network", "none",
        "--bind", f"{folder}:{WORK}", "--pwd", WORK,
    ]  # fmt: skip
    path = f"{prefix_of(plan.pair.nestml)}:{PREFIX}"
    inner = f"PYTHONPATH={path}:$PYTHONPATH exec python3 {MAKE.name} {word} job.json"
    apptainer = plan.tools.apptainer
    try:
        apptainer.runner.run(
            *apptainer.exec_argv(tools, ["sh", "-c", inner], options),
            timeout=MAKE_SECONDS, cwd=Path("/"), log=folder / LOG,
        )  # fmt: skip
    except ToolFailed as err:
        if not (folder / LOG).is_file():  # it was never started
            raise
        kept = ordinary_folder(ordinary_cache() / "logs") / f"{plan.folder.name}.log"
        shutil.copyfile(folder / LOG, kept)
        raise ToolFailed(
            f"making {plan.source.module} failed", where=str(plan.source.path),
            fix=f"read the whole log: {kept}", detail=err.detail,
        ) from None  # fmt: skip
    found: dict[str, Any] = json.loads((folder / f"{word}.json").read_text(encoding="utf-8"))
    return found


def _keep(plan: ModulePlan, folder: Path, result: dict[str, Any], seconds: float) -> Module:
    """Move what was made to its place: code, module, log, record; the record comes last."""
    made = folder / "generated" if plan.target is Target.NEST else folder / "installed"
    code = folder / "kept" / CODE
    shutil.copytree(made, code)
    shutil.copyfile(folder / LOG, folder / "kept" / LOG)
    module = Module(
        name=plan.source.name,
        target=str(plan.target),
        models=tuple(result.get("models", plan.source.models)),
        source={"file": plan.source.path.name, "sha256": str(plan.source.digest)},
        image=str(plan.image),
        versions=result["versions"],
        key=plan.key,
        generated={
            str(path.relative_to(code)): str(digest_of(path))
            for path in sorted(code.rglob("*"))
            if path.is_file()
        },
        compiled="file" in result,
        seconds=seconds,
        compiler=result.get("compiler"),
        flags=result.get("flags"),
        needs=tuple(result.get("needs", ())),
        undefined_symbols=result.get("undefined_symbols", 0),
        warnings=tuple(warnings(Path(plan.source.path.name), result["messages"])),
        folder=folder / "kept",
    )
    if module.compiled:
        shutil.copyfile(folder / result["file"], folder / "kept" / result["file"])
        sha256 = str(digest_of(folder / result["file"]))
        module = replace(module, file=result["file"], sha256=sha256)
    if not module.generated:
        raise ToolFailed("NESTML generated nothing", where=str(plan.source.path))
    write_module(module)
    (folder / "kept").chmod(0o755)
    shutil.rmtree(plan.folder, ignore_errors=True)
    (folder / "kept").rename(plan.folder)
    return replace(module, folder=plan.folder)
