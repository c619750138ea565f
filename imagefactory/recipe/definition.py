"""A recipe as an Apptainer definition: compiled in one stage, what is needed copied to the next."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from imagefactory.base.errors import ConfigurationFault, Fault
from imagefactory.base.files import digest_of_text
from imagefactory.base.values import Digest
from imagefactory.recipe.distro_stage import distro_parts
from imagefactory.recipe.hpccm_door import hpccm_settings, make, stage_text
from imagefactory.recipe.recipe import Distro, Recipe
from imagefactory.recipe.spack_stage import spack_parts
from imagefactory.recipe.stages import LABEL, Parts, base_layer

FACTS = "/opt/imagefactory/facts.json"
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
    with hpccm_settings(recipe.base.suite):
        parts = _parts(recipe)
        texts = [_final_text(recipe, parts)]
        if parts.build:
            texts.insert(0, stage_text(list(parts.build)))
    # HPCCM's note on syntax stands before each stage; Apptainer wants no more than a header.
    lines = [line for line in "\n\n".join(texts).splitlines() if not line.startswith("# ")]
    header = f"# {recipe.name} {recipe.version}: made by imagefactory through HPCCM; do not edit"
    _refuse_the_host(lines, recipe)
    return Definition("\n".join([header, *lines]) + "\n", recipe, parts.files)


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


def _parts(recipe: Recipe) -> Parts:
    stack = recipe.stack
    if isinstance(stack, Distro):
        return distro_parts(recipe, stack)
    return spack_parts(recipe, stack)


def _final_text(recipe: Recipe, parts: Parts) -> str:
    layers = [base_layer(recipe, "final")]
    if parts.copied:
        layers.append(make("copy", files=dict(parts.copied), _from="build"))
    layers.append(make("apt_get", ospackages=list(recipe.base.final_packages)))
    commands = [*parts.final, *_parameters(recipe), *_measure(parts.prefixes), CLEAN]
    layers.append(make("shell", commands=commands))
    if recipe.environment:
        # Only for the run: HPCCM would repeat them in a %post otherwise.
        layers.append(make("environment", variables=dict(recipe.environment), _export=False))
    layers.append(make("label", metadata=_labels(recipe, parts)))
    return stage_text(layers)


def _labels(recipe: Recipe, parts: Parts) -> dict[str, str]:
    return {
        f"{LABEL}.name": recipe.name,
        f"{LABEL}.version": recipe.version,
        f"{LABEL}.description": recipe.description or recipe.name,
        f"{LABEL}.cpu-target": recipe.cpu_target,
        f"{LABEL}.base": f"{recipe.base.distribution} {recipe.base.suite}",
        **{f"{LABEL}.{name}": text for name, text in parts.labels.items()},
        **recipe.labels,
    }


def _parameters(recipe: Recipe) -> Iterator[str]:
    for file, settings in recipe.parameter_files.items():
        lines = [f"{name} = {value}" for name, value in settings.items()]
        yield f"test -f {file}"  # a package that moves its file must not go unnoticed
        # An empty line first: Debian's openmpi-mca-params.conf ends without a newline.
        yield f"printf '%s\\n' {shlex.join(['', *lines])} >> {file}"


def _measure(prefixes: Sequence[str]) -> Iterator[str]:
    """Write what is really inside into the image and its labels; asked, not claimed."""
    yield f"mkdir -p {Path(FACTS).parent}"
    roots = shlex.quote(":".join(prefixes))
    yield f"python3 - {FACTS} {LABEL} {roots} <<'END'\n{_MEASURE}END"


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
