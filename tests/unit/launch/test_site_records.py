"""The launch line for every site record that we ship, from record to words.

What a shipped record leaves to the user is filled in here; nothing of these sites was probed.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from imagefactory.launch import ImageSide, Verdict, make_launch_line, preflight, side_of
from imagefactory.site import load_site, shell_lines, shipped_records
from tests.conftest import Golden
from tests.unit.launch.samples import NEST, OPEN_MPI_5, PARASTATION

IMAGES = {"nest": NEST, "open-mpi-5": OPEN_MPI_5, "psmpi": PARASTATION}
NAMES = sorted([*shipped_records(), "here"])


def write_own_record(name: str, settings: Path) -> None:
    """The few lines that a user writes, with a plugin where the shipped record knows none."""
    launcher = dict(shipped_records()[name].document["launcher"])
    own: dict[str, Any] = {
        "schema": 1, "name": name, "access": {"kind": "ssh", "host": f"{name}.example.org"},
        "folders": {"store": "/p/store", "work": "/p/runs"}, "nodes": 2,
        "scheduler": {"kind": "slurm"}, "launcher": {"plugin": "pmix", **launcher},
    }  # fmt: skip
    folder = settings / "sites"
    folder.mkdir(parents=True)
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_every_site_record(name: str, golden: Golden, tmp_path: Path) -> None:
    if name != "here":
        write_own_record(name, tmp_path / "settings")
    site = load_site(name)
    text = []
    for image, side in IMAGES.items():
        made = line(side, name)
        text += [f"# {image}: {made.launch.sharing}, {made.reason}", *shell_lines(made.settings)]
        text += [shlex.join(made.argv), *made.after, ""]
        if name != "here":
            assert f"--mpi={site.launcher.plugin}" in made.argv
    golden.check(f"launch/site-{name}.txt", "\n".join(text))


def line(side: ImageSide, name: str) -> Any:
    site = load_site(name)
    nodes = site.nodes
    return make_launch_line(
        side, site, side_of(site), "/p/store/x.sif", ["python3", "start.py"],
        ranks=4, nodes=nodes, binds=["/p/runs/r1"], folder="/p/runs/r1", name="r1",
    )  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("image", IMAGES)
def test_no_line_of_ours_is_known_to_fail(name: str, image: str, tmp_path: Path) -> None:
    if name != "here":
        write_own_record(name, tmp_path / "settings")
    side = IMAGES[image]
    result = preflight(side, side_of(load_site(name)), line(side, name).launch)
    assert not result.of(Verdict.FAIL)
    if name != "here":
        assert result.verdict is Verdict.UNKNOWN, "nobody has probed it"
