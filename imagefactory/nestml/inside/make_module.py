"""From a NESTML file to code, and for NEST to a module that loads: run inside the tools image.

In the folder of job.json: `python3 make_module.py look job.json` writes look.json, the versions;
`... make job.json` writes generated/, <module>.so or installed/, and make.json:
what NESTML said, and what was made. Exit status 0 with that, also for a model with errors.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

SOURCE, INSTALLED = Path("generated"), Path("installed")
LOAD = """
import sys, json
import nest
before = set(nest.node_models)
nest.Install(sys.argv[1])
found = sorted(set(nest.node_models) - before)
for name in found:
    nest.Create(name)
nest.Simulate(1.0)
print("LOADED " + json.dumps(found))
"""


def nest_prefix() -> Path:
    """Where NEST is installed: the folder of bin/nest-config."""
    spec = importlib.util.find_spec("nest")
    if spec is None or spec.origin is None:
        sys.exit("there is no NEST in this image")
    for folder in Path(spec.origin).parents:
        if (folder / "bin" / "nest-config").is_file():
            return folder
    sys.exit(f"there is no nest-config beside {spec.origin}")


def told(*words: str | Path) -> str:
    """The standard output of a program; what it says on standard error goes to the log."""
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def messages() -> list[dict[str, Any]]:
    """All that NESTML said, in its own words, with the place in the model's file."""
    from pynestml.utils.logger import Logger

    found = []
    for _, _, level, code, place, text in Logger.get_log().values():
        found.append(
            {
                "level": level.name,
                "code": getattr(code, "name", None),
                "line": place.get_start_line() if place else None,
                "column": place.get_start_column() if place else None,
                "text": str(text),
            }
        )
    return found


def generate(job: dict[str, Any], options: dict[str, str]) -> bool:
    """Write the code into SOURCE; True where the model has no errors."""
    from pynestml.frontend import pynestml_frontend as frontend

    sys.setrecursionlimit(10_000)  # as NESTML's own command does
    # It reads its options in its constructor, where process() gives none; and building is ours.
    own = frontend.code_generator_from_target_name
    frontend.code_generator_from_target_name = lambda name, **_: own(name, options)
    if job["target"] == "nest":
        frontend.builder_from_target_name = lambda _, options=None: (None, options or {})
    frontend.configure_front_end(
        job["source"],
        {"nest": "NEST", "spinnaker": "spinnaker"}[job["target"]],
        target_path=str(SOURCE),
        install_path=str(INSTALLED.absolute()),
        logging_level="NO",
        module_name=job["module"],
        codegen_opts=options,
    )
    return not frontend.process()


def compile_module(job: dict[str, Any], prefix: Path) -> dict[str, Any]:
    """Compile with what NEST was compiled with, load it once; what was made."""
    config = prefix / "bin" / "nest-config"
    configure = ["cmake", "-S", SOURCE, "-B", "build", f"-Dwith-nest={config}"]
    subprocess.run([*configure, "-DCMAKE_INSTALL_PREFIX=/nowhere"], check=True)
    subprocess.run(["cmake", "--build", "build", "--parallel", str(os.cpu_count())], check=True)
    module = Path(f"{job['module']}.so")
    shutil.copyfile(Path("build") / module, module)
    loaded = load(module)
    models = json.loads(re.search(r"^LOADED (.*)$", loaded, re.MULTILINE)[1])
    needed = re.findall(r"NEEDED\s+(\S+)", told("objdump", "-p", module))
    undefined = told("nm", "-D", "--undefined-only", module).splitlines()
    return {
        "models": models,
        "file": module.name,
        "needs": sorted(needed),
        "undefined_symbols": len(undefined),
        "compiler": told("c++", "--version").splitlines()[0],
        "flags": told(config, "--cflags").strip(),
    }


def load(module: Path) -> str:
    """What was said when NEST loaded it; ends with NEST's own words where it did not."""
    try:
        return told(sys.executable, "-c", LOAD, str(module.absolute()))
    except subprocess.CalledProcessError:
        sys.exit(f"NEST did not load {module}; has it a neuron of one of these names already?")


def stand_in_for_make() -> None:
    """NESTML's SpiNNaker builder ends with `make`, which needs SpiNNaker's C sources: left out."""
    folder = Path("no-make")
    folder.mkdir()
    (folder / "make").symlink_to("/bin/true")
    os.environ["PATH"] = f"{folder.absolute()}:{os.environ['PATH']}"


def look(job: dict[str, Any]) -> dict[str, Any]:
    """The versions of all that decides what is generated."""
    names = ["nestml", "odetoolbox", "sympy", "antlr4-python3-runtime"]
    if job["target"] == "spinnaker":
        names.append("spinnfrontendcommon")
    versions = {name: importlib.metadata.version(name) for name in names}
    if job["target"] == "nest":
        versions["nest"] = told(nest_prefix() / "bin" / "nest-config", "--version")
    return versions


def make(job: dict[str, Any]) -> dict[str, Any]:
    """Generate, and for NEST compile; what NESTML said, and what was made."""
    SOURCE.mkdir()
    INSTALLED.mkdir()
    options: dict[str, str] = {}
    if job["target"] == "nest":
        options = {"nest_version": f"v{look(job)['nest']}"}
    else:
        stand_in_for_make()
    right = generate(job, options)
    result = {"right": right, "messages": messages()}
    if right and job["target"] == "nest":
        result |= compile_module(job, nest_prefix())
    return result


def main(word: str, path: str) -> None:
    """Do what `word` says for the job that `path` describes."""
    job = json.loads(Path(path).read_text("utf-8"))
    found = {"look": look, "make": make}[word](job)
    Path(f"{word}.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
