"""A recipe as an Apptainer definition: compiled in one stage, what is needed copied to the next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault
from imagefactory.base.files import digest_of_text
from imagefactory.base.values import Digest
from imagefactory.recipe.hpccm_door import LIKE_UBUNTU, hpccm_settings, make, stage_text
from imagefactory.recipe.recipe import Distro, Recipe, Requirement, Source

BASE = "base"  # the folder of the base root in the build's context
FETCHED = "fetched"  # the folder of what came from PyPI
BESIDE = "recipe"  # the folder of files that stand beside the recipe
SOURCES = "/opt/src"
FACTS = "/opt/imagefactory/facts.json"
LABEL = "org.ebrains.imagefactory"
# Exactly what differs between two builds otherwise (facts/building-blocks.md 1).
# Never /tmp or a home: during a build those are the host's own, bound into the image.
_OF_THE_HOST = re.compile(r"(?<![\w/.-])(/tmp|/var/tmp|/root|/home|~|\$\{?(HOME|TMPDIR))(?![\w.-])")
CLEAN = "rm -rf /var/log/* /var/cache/* /var/lib/apt/lists/*"


@dataclass(frozen=True)
class Definition:
    """An Apptainer definition, and the files beside the recipe that it copies in.

    Paths in `text` are relative to the folder that the build runs in: the base root is `base`,
    what came from PyPI is in `fetched`, `files` are in `recipe`.
    """

    text: str
    recipe: Recipe
    files: tuple[Path, ...]

    @property
    def digest(self) -> Digest:
        return digest_of_text(self.text)


def define(recipe: Recipe) -> Definition:
    """The definition of a recipe: the same text for the same recipe, in any order of calls."""
    distro = recipe.distro
    with hpccm_settings(distro.suite):
        texts = [_final_text(recipe)]
        if distro.build_packages:
            texts.insert(0, stage_text(list(_build_stage(recipe))))
    # HPCCM's note on syntax stands before each stage; Apptainer wants no more than a header.
    lines = [line for line in "\n\n".join(texts).splitlines() if not line.startswith("# ")]
    header = f"# {recipe.name} {recipe.version}: made by imagefactory through HPCCM; do not edit"
    _refuse_the_host(lines, recipe)
    files = tuple(recipe.folder / name for source in distro.sources for name in source.files)
    return Definition("\n".join([header, *lines]) + "\n", recipe, files)


def _refuse_the_host(lines: list[str], recipe: Recipe) -> None:
    """Raise ConfigurationFault for a command that reaches what a build shares with the host.

    Seen: `rm -rf /tmp/*` in a build emptied the host's /tmp.
    """
    faults = [
        Fault(
            f"{line.strip()!r} would reach the host's {found[1]}",
            str(recipe.folder),
            "work below /opt/build: it is the image's own",
        )
        for line in lines
        if (found := _OF_THE_HOST.search(line))
    ]
    if faults:
        raise ConfigurationFault.from_faults(faults)


def _base(distro: Distro, stage: str) -> Any:
    return make(
        "baseimage",
        image=BASE,
        _as=stage,
        _bootstrap="localimage",
        _distro=LIKE_UBUNTU[distro.suite],
        _docker_env=False,
    )


def _build_stage(recipe: Recipe) -> Iterator[Any]:
    distro = recipe.distro
    yield _base(distro, "build")
    yield make("copy", files={FETCHED: f"{SOURCES}/{FETCHED}", BESIDE: f"{SOURCES}/{BESIDE}"})
    yield make("apt_get", ospackages=list(distro.build_packages))
    checks = [_check(item) for item in recipe.requirements]
    date = f"export SOURCE_DATE_EPOCH={recipe.source_date_epoch}"
    yield make("shell", commands=[date, *checks, *_python_commands(distro)])
    for source in distro.sources:
        yield make("shell", commands=list(_source_commands(source)))
    if distro.build_only:
        names = " ".join(distro.build_only)
        command = f"pip uninstall --yes --break-system-packages {names}"
        yield make("shell", commands=[command, _compile(_python_folder(distro))])
    elif distro.wheels:
        yield make("shell", commands=[_compile(_python_folder(distro))])


def _python_folder(distro: Distro) -> str:
    """Where Debian's pip installs; a minbase root has no such folder."""
    return f"/usr/local/lib/python{distro.python}"


def _check(item: Requirement) -> str:
    """Fails the build unless the one file in the folder of its digest has that digest."""
    return f'echo "{item.digest.hex}  $(ls {_folder(item)}/*)" | sha256sum --check'


def _folder(item: Requirement) -> str:
    return f"{SOURCES}/{FETCHED}/{item.digest.hex}"


def _python_commands(distro: Distro) -> Iterator[str]:
    if distro.wheels:
        wheels = " ".join(f"{_folder(wheel)}/*.whl" for wheel in distro.wheels)
        yield (
            "pip install --break-system-packages --root-user-action=ignore --no-compile "
            f"--no-index --no-deps {wheels}"
        )


def _source_commands(source: Source) -> Iterator[str]:
    work = f"/opt/build/{source.name}"
    archive = f"{_folder(source.sdist)}/{source.file}"
    options = [f"-D{key}={value}" for key, value in source.cmake.items()]
    yield f"mkdir -p {work}/source"
    yield f"tar -xf {archive} -C {work}/source --strip-components=1 --no-same-owner"
    yield f"cd {work}/source"
    for name, target in source.files.items():
        yield f"cp {SOURCES}/{BESIDE}/{name} {target}"
    yield from source.prepare
    yield shlex.join(
        ["cmake", "-S", ".", "-B", "../build", f"-DCMAKE_INSTALL_PREFIX={source.prefix}", *options]
    )
    yield "cmake --build ../build --parallel $(nproc)"
    yield "cmake --install ../build"
    yield _compile(source.prefix)


def _compile(folder: str) -> str:
    """Byte code that holds no time of its source: fast imports from a read-only image."""
    return (
        f"python3 -m compileall -q --invalidation-mode unchecked-hash {folder} "
        "|| echo 'some files are not for this Python'"
    )


def _final_text(recipe: Recipe) -> str:
    distro = recipe.distro
    layers = [_base(distro, "final")]
    copied = {source.prefix: source.prefix for source in distro.sources}
    if distro.wheels:
        # Not /usr/local/lib: it is there already, and Apptainer would copy into it (lib/lib).
        copied[_python_folder(distro)] = _python_folder(distro)
    if copied:
        layers.append(make("copy", files=copied, _from="build"))
    layers.append(make("apt_get", ospackages=list(distro.final_packages)))
    layers.append(make("shell", commands=[*_parameters(recipe), *_measure(recipe), CLEAN]))
    if recipe.environment:
        # Only for the run: HPCCM would repeat them in a %post otherwise.
        layers.append(make("environment", variables=dict(recipe.environment), _export=False))
    layers.append(make("label", metadata=_labels(recipe)))
    return stage_text(layers)


def _labels(recipe: Recipe) -> dict[str, str]:
    return {
        f"{LABEL}.name": recipe.name,
        f"{LABEL}.version": recipe.version,
        f"{LABEL}.description": recipe.description or recipe.name,
        f"{LABEL}.cpu-target": recipe.cpu_target,
        f"{LABEL}.base": f"{recipe.distro.distribution} {recipe.distro.suite}",
        **recipe.labels,
    }


def _parameters(recipe: Recipe) -> Iterator[str]:
    for file, settings in recipe.parameter_files.items():
        lines = [f"{name} = {value}" for name, value in settings.items()]
        yield f"test -f {file}"  # a package that moves its file must not go unnoticed
        # An empty line first: Debian's openmpi-mca-params.conf ends without a newline.
        yield f"printf '%s\\n' {shlex.join(['', *lines])} >> {file}"


def _measure(recipe: Recipe) -> Iterator[str]:
    """Write what is really inside into the image and its labels; asked, not claimed."""
    yield f"mkdir -p {Path(FACTS).parent}"
    prefixes = ":".join(source.prefix for source in recipe.distro.sources)
    yield f"python3 - {FACTS} {LABEL} {shlex.quote(prefixes)} <<'END'\n{_MEASURE}END"


# Runs inside the image with its python3, in %post. Only the standard library.
_MEASURE = """\
import ctypes, json, os, platform, re, subprocess, sys
from importlib import metadata
target, prefix, roots = sys.argv[1:]
for root in roots.split(":"):
    sys.path.append(root + "/lib/python%d.%d/site-packages" % sys.version_info[:2])
def ask(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
def pmix():
    try:
        library = ctypes.CDLL("libpmix.so.2")
    except OSError:
        return ""
    library.PMIx_Get_version.restype = ctypes.c_char_p
    found = re.search(r"[0-9]+[.][0-9]+[.][0-9a-z]+", library.PMIx_Get_version().decode())
    return found.group(0) if found else ""
def packages():
    lines = ask("dpkg-query", "-W", "-f", "${Package}=${Version}\\n").splitlines()
    return dict(line.split("=", 1) for line in sorted(lines))
python = {}
for item in metadata.distributions(path=sys.path[1:]):
    if item.metadata["Name"]:
        python[item.metadata["Name"].lower()] = item.version
mpi = ask("ompi_info", "--version").splitlines()
nest = [name for name in (root + "/bin/nest-config" for root in roots.split(":"))
        if os.path.exists(name)]
facts = {
    "mpi": mpi[0] if mpi else "", "pmix": pmix(), "glibc": platform.libc_ver()[1],
    "python": platform.python_version(), "nest": ask(nest[0], "--version") if nest else "",
    "debian": packages(), "python_packages": dict(sorted(python.items())),
}
with open(target, "w") as stream:
    json.dump(facts, stream, indent=1)
labels = os.environ.get("APPTAINER_LABELS") or os.environ.get("SINGULARITY_LABELS")
if labels:
    with open(labels, "a") as stream:
        for name in ("mpi", "pmix", "glibc", "python", "nest"):
            print(f"{prefix}.{name} {facts[name] or 'unknown'}", file=stream)
"""
