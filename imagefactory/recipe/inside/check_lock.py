"""Run by `spack -e ENVIRONMENT python` in the build stage, before anything is compiled.

Spack installs under the old hash if a recipe was edited after the lock was made, and takes what
the lock has from outside without a look. Here both are looked at: argument 1 is a JSON object of
package to Debian package.
"""

import json
import re
import subprocess
import sys

import spack.environment


def upstream(version):
    """The upstream part of a Debian version: 1.74.0 of 1:1.74.0+dfsg-5."""
    return re.match(r"[0-9A-Za-z.]*", version.rpartition(":")[2])[0]


def debian_fault(spec, package):
    """What is wrong with the Debian package of an external, or an empty text."""
    words = ["dpkg-query", "-W", "-f", "${Version}", package]
    version = subprocess.run(words, capture_output=True, text=True).stdout
    if not version:
        return f"the lock takes {spec.name} from outside, and {package} is not installed"
    if f"{upstream(version)}.".startswith(f"{spec.version}."):
        return ""
    return f"the lock means {spec.name} {spec.version}, and {package} is {version}"


def recipe_fault(spec):
    """What is wrong with the recipe of a package that is built, or an empty text."""
    if spec.package.content_hash() == getattr(spec, "_package_hash", None):
        return ""
    return f"the recipe of {spec.name} is not the one that the lock was made with"


def main(packages):
    specs = sorted(spack.environment.active_environment().all_specs())
    faults = [
        debian_fault(spec, packages[spec.name]) if spec.external else recipe_fault(spec)
        for spec in specs
    ]
    for fault in filter(None, faults):
        sys.stderr.write(f"Error: {fault}\n")
    if any(faults):
        sys.exit(1)
    sys.stdout.write(f"{len(specs)} packages fit their recipes and Debian\n")


main(json.loads(sys.argv[1]))
