"""What the nest image must be; run inside the SIF: imagefactory image test SIF recipes/nest."""

import json

FACTS = "/opt/imagefactory/facts.json"

VADER = "ompi_info --param btl vader --level 9 --parsable | grep single_copy_mechanism"

HELLO = """
from mpi4py import MPI
print(MPI.COMM_WORLD.gather(MPI.COMM_WORLD.rank))
"""

# facts/esd-science.md 0.1 and 3: 40 parrots to 40 with in-degree 5, a look at the connections in
# between, then one to one: 200 connections of the first kind must deliver 200 spikes.
DELIVERY = """
import sys, nest
from mpi4py import MPI
nest.set_verbosity("M_ERROR")
nest.use_compressed_spikes = sys.argv[1] == "compressed"
first, second, target = (nest.Create("parrot_neuron", 40) for _ in range(3))
source = nest.Create("spike_generator", params={"spike_times": [1.0]})
recorder = nest.Create("spike_recorder")
nest.Connect(source, first)
nest.Connect(first, target, {"rule": "fixed_indegree", "indegree": 5}, {"delay": 1.0})
reported = len(nest.GetConnections(first, target))
nest.Connect(second, target, "one_to_one", {"delay": 1.0})
nest.Connect(target, recorder)
nest.Simulate(10.0)
delivered = MPI.COMM_WORLD.allreduce(int(recorder.n_events))
connections = MPI.COMM_WORLD.allreduce(reported)
if MPI.COMM_WORLD.rank == 0:
    print("connections", connections, "delivered", delivered)
"""


# What the libraries themselves answer; both may be asked before they are initialised.
SAID = """
import ctypes, json, platform, subprocess
mpi, pmix = ctypes.CDLL("libmpi.so.40"), ctypes.CDLL("libpmix.so.2")
text, length = ctypes.create_string_buffer(8192), ctypes.c_int()
mpi.MPI_Get_library_version(text, ctypes.byref(length))
pmix.PMIx_Get_version.restype = ctypes.c_char_p
print(json.dumps({
    "mpi": text.value.decode(),
    "pmix": pmix.PMIx_Get_version().decode(),
    "glibc": " ".join(platform.libc_ver()),
    "nest": subprocess.check_output(["/opt/nest/bin/nest-config", "--version"], text=True),
}))
"""


def mpirun(host, program, *arguments):
    """Run a Python program on two ranks of the image's own MPI."""
    command = "mpirun --oversubscribe -n 2 python3 -c %s" + " %s" * len(arguments)
    done = host.run(command, program, *arguments)
    assert done.rc == 0, done.stderr
    return done.stdout


def test_mpi_starts_two_ranks(host):
    assert "[0, 1]" in mpirun(host, HELLO)


def test_nest_version(host):
    done = host.run("python3 -c 'import nest; print(nest.__version__)'")
    assert "3.10.0" in done.stdout


def test_nest_has_mpi(host):
    done = host.run("python3 -c 'import nest; print(nest.build_info[\"have_mpi\"])'")
    assert done.stdout.strip().endswith("True")


def test_pynn_finds_nest(host):
    done = host.run("cd /tmp && python3 -c 'import pyNN.nest; print(pyNN.nest.__name__)'")
    assert "pyNN.nest" in done.stdout
    assert done.rc == 0


def test_spikes_are_delivered_on_two_ranks(host):
    assert "connections 200 delivered 200" in mpirun(host, DELIVERY, "plain")


def test_the_delivery_defect_is_still_there(host):
    """When this fails NEST has mended it: the guard of the models can go."""
    output = mpirun(host, DELIVERY, "compressed")
    assert "connections 200" in output
    assert "delivered 200" not in output


def test_the_packages_that_matter(host):
    assert host.package("libpmix2").version == "4.2.2-1+deb12u1"
    assert host.package("openmpi-bin").version == "4.1.4-3+b1"


def test_the_image_says_what_it_holds(host):
    facts = json.loads(host.file(FACTS).content_string)
    assert facts["mpi"] == "Open MPI v4.1.4"
    assert facts["pmix"].startswith("4.2.2")
    assert facts["nest"] == "3.10.0"
    assert facts["glibc"] in host.run("ldd --version").stdout
    assert facts["python_packages"]["pynn"] == "0.13.0"


def test_the_labels_are_what_the_libraries_say(host):
    labels = json.loads(host.file("/.singularity.d/labels.json").content_string)
    said = json.loads(host.check_output("python3 -c %s", SAID))
    for name, value in said.items():
        assert labels[f"org.ebrains.imagefactory.{name}"] in value, name


def test_packages_at_home_stay_outside(host):
    done = host.run("python3 -c 'import site; print(site.ENABLE_USER_SITE)'")
    assert done.stdout.strip() == "False"


def test_client_settings_start_under_most_servers(host):
    done = host.run("mpirun -n 1 env")
    assert "PMIX_SECURITY_MODE=native" in done.stdout
    assert "PMIX_GDS_MODULE=hash" in done.stdout
    assert "value:none" in host.check_output(VADER)
    assert "source:file" in host.check_output(VADER)


def test_a_variable_of_the_site_wins_over_them(host):
    done = host.run("PMIX_MCA_psec=none mpirun -n 1 env")
    assert "PMIX_SECURITY_MODE=none" in done.stdout
    name = "OMPI_MCA_btl_vader_single_copy_mechanism"
    assert "value:cma" in host.check_output(f"{name}=cma {VADER}")
