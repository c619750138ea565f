"""What the pynn image must be; run inside the SIF: imagefactory image test SIF recipes/pynn."""

import json

FACTS = "/opt/imagefactory/facts.json"

HELLO = """
from mpi4py import MPI
print(MPI.COMM_WORLD.gather(MPI.COMM_WORLD.rank))
"""

# PyNN's default cell (20 MOhm, threshold 15 mV above rest): 1 nA makes it fire, 0.7 nA does not.
SPIKES = """
import pyNN.neuron as sim
sim.setup(timestep=0.1)
cells = sim.Population(2, sim.IF_curr_exp(i_offset=[1.0, 0.7]))
cells.initialize(v=-65.0)
cells.record("spikes")
sim.run(200.0)
print("SPIKES", *[len(train) for train in cells.get_data().segments[0].spiketrains])
"""


def test_mpi_starts_two_ranks(host):
    done = host.run("mpirun --oversubscribe -n 2 python3 -c %s", HELLO)
    assert "[0, 1]" in done.stdout, done.stderr


def test_neuron_fires_where_it_should(host):
    done = host.run("cd /tmp && python3 -c %s", SPIKES)
    assert done.rc == 0, done.stderr
    found = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("SPIKES")]
    assert len(found) == 1, done.stdout
    first, second = map(int, found[0])
    assert first > 0
    assert second == 0


def test_mechanisms_are_there_before_the_first_import(host):
    folder = "/usr/local/lib/python3.11/dist-packages/pyNN/neuron/nmodl/x86_64"
    assert host.file(f"{folder}/libnrnmech.so").exists


def test_the_image_says_what_it_holds(host):
    facts = json.loads(host.file(FACTS).content_string)
    assert facts["mpi"] == "Open MPI v4.1.4"
    assert facts["pmix"].startswith("4.2.2")
    assert facts["python_packages"]["neuron"] == "9.0.2"
    assert facts["python_packages"]["pynn"] == "0.13.0"


def test_packages_at_home_stay_outside(host):
    done = host.run("python3 -c 'import site; print(site.ENABLE_USER_SITE)'")
    assert done.stdout.strip() == "False"
