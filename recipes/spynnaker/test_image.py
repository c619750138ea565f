"""What the spynnaker image must be; run by: imagefactory image test SIF recipes/spynnaker."""

import json

FACTS = "/opt/imagefactory/facts.json"

# A virtual board maps, and gives no spikes: an image in which it did would be no virtual board.
MAPPED = """
import os, tempfile
from pathlib import Path
folder = tempfile.mkdtemp()
os.environ["HOME"] = folder
os.chdir(folder)
for name in (".spynnaker.cfg", "spynnaker.cfg"):
    Path(name).write_text(
        "[Machine]\\nversion = 5\\nvirtual_board = True\\n[Mode]\\nmode = Production\\n"
    )
import pyNN.spiNNaker as sim
sim.setup(timestep=1.0)
cells = sim.Population(2, sim.IF_curr_exp(i_offset=[5.0, 5.0]))
cells.record("spikes")
sim.run(100.0)
print("SPIKES", sum(len(train) for train in cells.get_data("spikes").segments[0].spiketrains))
sim.end()
"""


def test_a_virtual_board_maps_and_gives_nothing(host):
    done = host.run("python3 -c %s", MAPPED)
    assert done.rc == 0, done.stderr
    assert "SPIKES 0" in done.stdout, done.stdout


def test_the_image_says_what_it_holds(host):
    facts = json.loads(host.file(FACTS).content_string)
    assert facts["python_packages"]["spynnaker"] == "1!7.4.1"
    assert facts["python_packages"]["pynn"] == "0.13.0"


def test_packages_at_home_stay_outside(host):
    done = host.run("python3 -c 'import site; print(site.ENABLE_USER_SITE)'")
    assert done.stdout.strip() == "False"
