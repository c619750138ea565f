"""What the nest-spack image must be: all that recipes/nest must be, and made from its lock."""

import hashlib
import json
import runpy
from pathlib import Path

PREFIX = "/opt/release"
LABEL = "org.ebrains.imagefactory"
NEST = runpy.run_path(str(Path(__file__).parents[1] / "nest" / "test_image.py"))
SHARED = (
    "test_mpi_starts_two_ranks",
    "test_nest_version",
    "test_nest_has_mpi",
    "test_spikes_are_delivered_on_two_ranks",
    "test_the_delivery_defect_is_still_there",
    "test_the_packages_that_matter",
    "test_packages_at_home_stay_outside",
    "test_client_settings_start_under_most_servers",
    "test_a_variable_of_the_site_wins_over_them",
)
globals().update({name: NEST[name] for name in SHARED})


def labels(host):
    return json.loads(host.file("/.singularity.d/labels.json").content_string)


def lock(host):
    return host.file(f"{PREFIX}/spack.lock").content


def test_pynn_finds_nest(host):
    # Without nest-config in sight, as a run has it: with it PyNN compiles an extension.
    program = (
        "import os; os.environ['PATH'] = '/usr/bin'; import pyNN.nest; print(pyNN.nest.__name__)"
    )
    assert "pyNN.nest" in host.check_output("cd /tmp && python3 -c %s", program)


def test_the_label_is_that_of_the_lock_inside(host):
    assert labels(host)[f"{LABEL}.lock"] == f"sha256:{hashlib.sha256(lock(host)).hexdigest()}"
    said = host.file(f"{PREFIX}/sources.yaml").content_string
    for name in ("release", "spack", "spack-packages", "overlay"):
        assert labels(host)[f"{LABEL}.{name}"] in said


def test_the_programs_are_the_locks(host):
    nodes = json.loads(lock(host))["concrete_specs"].values()
    version = {node["name"]: node["version"] for node in nodes}
    said = labels(host)
    assert said[f"{LABEL}.nest"] == version["nest"]
    assert said[f"{LABEL}.mpi"] == f"Open MPI v{version['openmpi']}"
    assert said[f"{LABEL}.python"] == version["python"]
    asked = "import mpi4py, numpy, pyNN, neo; print(mpi4py.__version__, numpy.__version__)"
    found = host.check_output("python3 -c %s", asked).split()[-2:]
    assert found == [version["py-mpi4py"], version["py-numpy"]]


def test_only_what_runs_is_inside(host):
    for program in ("gcc", "g++", "cc", "cmake", "make", "spack"):
        assert not host.exists(program), program
    for left in (".spack", ".spack-db", "py-cython-*", "py-pip-*", "compiler-wrapper-*"):
        assert host.check_output(f"find {PREFIX} -name {left!r}") == "", left
    assert host.check_output("ls /mnt") == ""


def test_no_variable_of_spack_and_none_for_compiling(host):
    names = {line.partition("=")[0] for line in host.check_output("env").splitlines()}
    assert not [name for name in names if name.startswith("SPACK_")]
    assert not {"MPICC", "CMAKE_PREFIX_PATH", "PKG_CONFIG_PATH", "MANPATH"} & names
    assert host.check_output("command -v nest-config").startswith(f"{PREFIX}/view/bin/")


def test_python_starts_from_byte_code(host):
    """The file system is read only: what was not compiled would be at every start."""
    asked = "import nest, importlib.util; print(importlib.util.cache_from_source(nest.__file__))"
    path = host.check_output("python3 -c %s", asked).split()[-1]
    assert host.file(path).exists
