"""Run by `spack -e ENVIRONMENT python`: what activating the environment sets, as plain exports.

Arguments: the file to write, the prefix of the release, and the names that the recipe sets itself.
Sourcing the file costs nothing; activating an environment starts Python.
"""

import shlex
import sys
from pathlib import Path

import spack.environment
from spack.util.environment import EnvironmentModifications

# What compiling and reading manuals needs, and running does not.
LEFT_OUT = {
    "ACLOCAL_PATH", "CC", "CMAKE_PREFIX_PATH", "CXX", "F77", "F90", "FC", "MANPATH", "MPICC",
    "MPICXX", "MPIF77", "MPIF90", "MPIFC", "PKG_CONFIG_PATH",
}  # fmt: skip


def main(target, prefix, *given):
    environment = spack.environment.active_environment()
    found = {"PATH": ""}
    changes = environment.add_view_to_env(EnvironmentModifications(), "default")
    changes.apply_modifications(found)
    own = [part for part in found.pop("PATH").split(":") if part.startswith(prefix)]
    lines = [f"export PATH={':'.join(own)}${{PATH:+:$PATH}}"] if own else []
    for name in sorted(found.keys() - LEFT_OUT - set(given)):
        if not name.startswith("SPACK_"):
            lines.append(f"export {name}={shlex.quote(found[name])}")
    Path(target).write_text("".join(f"{line}\n" for line in lines))


main(*sys.argv[1:])
