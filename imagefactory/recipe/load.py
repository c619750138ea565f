"""recipe.yaml in, a checked Recipe out; every fault in one message."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from imagefactory.base.errors import ConfigurationFault, Fault
from imagefactory.base.settings import Document, load_schema, read_yaml
from imagefactory.base.values import Digest
from imagefactory.recipe.load_spack import load_spack_stack
from imagefactory.recipe.recipe import Base, Distro, Recipe, Requirement, Source, SpackStack

FILE = "recipe.yaml"
FORMAT = 1
_LOCK_LINE = re.compile(
    r"(?P<requirement>[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+)\s+--hash=(?P<digest>sha256:[0-9a-f]{64})"
)


def load_recipe(path: Path) -> Recipe:
    """Read a recipe by its file or its folder; raises ConfigurationFault with all faults."""
    file = path / FILE if path.is_dir() else path
    _require_format(file)
    document = read_yaml(file, load_schema("imagefactory.recipe", "recipe.schema.json"))
    if "spack" in document["stack"]:
        return _load_spack(file, document)
    faults: list[Fault] = []
    wheels = tuple(_read_lock(file.parent, document["stack"]["distro"], faults))
    faults += _find_missing_files(file, document)
    if faults:
        raise ConfigurationFault.from_faults(faults)
    return _recipe(file.parent, document, _distro(document["stack"]["distro"], wheels))


def _load_spack(file: Path, document: Document) -> Recipe:
    if faults := list(_find_missing(file, document.get("tests"))):
        raise ConfigurationFault.from_faults(faults)
    return _recipe(file.parent, document, load_spack_stack(document, str(file)))


def _require_format(file: Path) -> None:
    """Refuse another version of the format before its keys are called unknown."""
    document = read_yaml(file, {"type": "object"})
    found = document.get("schema", FORMAT)
    if found != FORMAT:
        newer = isinstance(found, int) and found > FORMAT
        fix = "take a newer imagefactory" if newer else f"write schema: {FORMAT}"
        raise ConfigurationFault(
            f"recipe format {found!r} cannot be read: this imagefactory reads {FORMAT}",
            where=f"{file}: schema",
            fix=fix,
        )


def _read_lock(folder: Path, distro: Document, faults: list[Fault]) -> Iterator[Requirement]:
    if "python" not in distro:
        return
    path = folder / distro["python"]["lock"]
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        faults.append(Fault("cannot read the lock of Python packages", str(path)))
        return
    names = set()
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LOCK_LINE.fullmatch(line.strip())
        if match is None:
            fix = "write NAME==VERSION --hash=sha256:<64 hex digits>, one file a line"
            faults.append(Fault(f"{line.strip()!r} pins no file", f"{path}:{number}", fix))
            continue
        requirement = Requirement(match["requirement"], Digest(match["digest"]))
        names.add(requirement.name)
        yield requirement
    for name in set(distro["python"].get("build_only", ())) - names:
        faults.append(Fault(f"{name!r} is not in {path.name}", f"{folder / FILE}: build_only"))


def _find_missing_files(file: Path, document: Document) -> Iterator[Fault]:
    distro = document["stack"]["distro"]
    named = [document.get("tests")]
    for source in distro.get("sources", ()):
        named += source.get("files", {})
        for target in source.get("files", {}).values():
            if ".." in Path(target).parts:
                yield Fault(f"{target!r} leaves the source", f"{file}: {source['name']}.files")
    if {"sources", "python"} & set(distro) and not distro["packages"].get("build"):
        yield Fault(
            "sources and wheels are installed in the build stage, and it has no packages",
            f"{file}: stack.distro.packages",
            "add build: [python3-pip, ...]",
        )
    if document["cpu_target"] != "x86-64":
        yield Fault("Debian's packages are compiled for x86-64", f"{file}: cpu_target")
    yield from _find_missing(file, *named)


def _find_missing(file: Path, *names: str | None) -> Iterator[Fault]:
    for name in names:
        if name is not None and not (file.parent / name).is_file():
            yield Fault(f"the file {name!r} is missing", str(file), f"put it into {file.parent}")


def _recipe(folder: Path, document: Document, stack: Distro | SpackStack) -> Recipe:
    (said,) = document["stack"].values()
    return Recipe(
        folder=folder,
        name=document["name"],
        version=document["version"],
        description=document.get("description", ""),
        source_date_epoch=document["source_date_epoch"],
        cpu_target=document["cpu_target"],
        base=Base(
            distribution=said["base"]["distribution"],
            suite=said["base"]["suite"],
            build_packages=tuple(said["packages"].get("build", ())),
            final_packages=tuple(said["packages"]["final"]),
        ),
        stack=stack,
        environment=document.get("environment", {}),
        parameter_files=document.get("parameter_files", {}),
        labels=document.get("labels", {}),
        tests=document.get("tests"),
    )


def _distro(said: Document, wheels: tuple[Requirement, ...]) -> Distro:
    return Distro(
        wheels=wheels,
        prepare=tuple(said.get("python", {}).get("prepare", ())),
        build_only=tuple(said.get("python", {}).get("build_only", ())),
        sources=tuple(_source(entry) for entry in said.get("sources", ())),
    )


def _source(entry: Document) -> Source:
    digest = Digest(f"sha256:{entry['sha256']}")
    return Source(
        name=entry["name"],
        sdist=Requirement(entry["requirement"], digest, is_sdist=True),
        file=entry["file"],
        prefix=entry["prefix"],
        files=entry.get("files", {}),
        prepare=tuple(entry.get("prepare", ())),
        cmake=entry.get("cmake", {}),
    )
