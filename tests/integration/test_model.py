"""The balanced random network under real NEST and MPI: which geometries agree, and the guards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.ordinary import give, ordinary_folder, ordinary_user
from imagefactory.base.process import Done
from imagefactory.image import Apptainer
from imagefactory.launch import GUARD
from imagefactory.model import Spikes, find_model, read_spikes, resolve_parameters

MODEL = find_model("balanced-random")
# A second of 150 neurons: small enough for a test, busy enough for every spike to matter.
SMALL = {"n_exc": 120, "n_inh": 30, "duration_ms": 300, "warmup_ms": 0, "external_rate_hz": 4000}
CRASH = """
_simulate = simulate


def simulate(sim, parameters, network):
    if sim.rank() == 1:
        raise RuntimeError("made to fail")
    _simulate(sim, parameters, network)
"""


class Lab:
    """Runs the model with the image's own mpirun, in folders that the ordinary user can write."""

    def __init__(self, apptainer: Apptainer, sif: Path, folder: Path) -> None:
        self.apptainer, self.sif, self.folder = apptainer, sif, folder

    def prepare(self, name: str, ranks: int, threads: int, **overrides: Any) -> Path:
        """A run's folder, as the run room makes it on a site."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        run = ordinary_folder(self.folder / name)
        for place in (run / "inside", run / "output"):
            ordinary_folder(place)
        for file in (*MODEL.files, GUARD):
            shutil.copy(file, run / "inside")
        job = {
            "schema": 1, "model": MODEL.name, "backend": "nest", "ranks": ranks,
            "threads": threads, "parameters": resolve_parameters(MODEL, {**SMALL, **overrides}),
        }  # fmt: skip
        (run / "parameters.json").write_text(json.dumps(job))
        for path in run.rglob("*"):
            give(path)
        return run

    def start(self, run: Path, processes: int) -> Done:
        """Start that many processes of one MPI job; whatever the job says it asked for."""
        return self.apptainer.execute(
            self.sif,
            ["mpirun", "--oversubscribe", "-n", str(processes), "python3", "inside/start.py",
             "parameters.json"],
            options=["--bind", str(run), "--pwd", str(run)],
            timeout=300,
            check=False,
        )  # fmt: skip

    def spikes(self, name: str, ranks: int, threads: int, **overrides: Any) -> Spikes:
        """The spikes of a run that is to succeed."""
        run = self.prepare(name, ranks, threads, **overrides)
        done = self.start(run, ranks)
        assert done.status == 0, done.tail
        return read_spikes(run)

    def ranks(self, run: Path) -> list[dict[str, Any]]:
        """What the ranks wrote of themselves."""
        return [json.loads(path.read_text()) for path in (run / "output").glob("rank-*.json")]


@pytest.fixture(scope="module")
def lab(apptainer: Apptainer, nest_sif: Path) -> Lab:
    # In the ordinary user's home: pytest's own folders are closed to it where we are root.
    folder = Path(ordinary_user().pw_dir) / ".cache" / "imagefactory" / "test-model"
    shutil.rmtree(folder, ignore_errors=True)
    return Lab(apptainer, nest_sif, folder)


@pytest.fixture(scope="module")
def two_ranks(lab: Lab) -> Spikes:
    return lab.spikes("two", 2, 1)


def test_two_ranks_and_two_threads_agree(lab: Lab, two_ranks: Spikes) -> None:
    assert len(two_ranks) > 1000
    assert lab.spikes("threads", 1, 2).digest == two_ranks.digest
    digests = [
        MODEL.network_digest([rank["network"]["digest"] for rank in lab.ranks(lab.folder / name)])
        for name in ("two", "threads")
    ]
    assert digests[0] == digests[1]


def test_all_splits_of_four_agree_and_differ_from_two(lab: Lab, two_ranks: Spikes) -> None:
    digests = {lab.spikes(f"four-{ranks}", ranks, 4 // ranks).digest for ranks in (1, 2, 4)}
    assert len(digests) == 1
    assert digests != {two_ranks.digest}


@pytest.mark.parametrize("changed", [{"weight_scale": 1.02}, {"seed": 7}], ids=str)
def test_other_parameters_give_other_spikes(
    lab: Lab, two_ranks: Spikes, changed: dict[str, Any]
) -> None:
    assert lab.spikes("changed", 2, 1, **changed).digest != two_ranks.digest


def test_without_the_guard_two_ranks_go_wrong(lab: Lab, two_ranks: Spikes) -> None:
    """If this fails, NEST was repaired, and the guard may be looked at again."""
    assert lab.spikes("open", 1, 2, delivery_guard=False).digest == two_ranks.digest
    assert lab.spikes("open-2", 2, 1, delivery_guard=False).digest != two_ranks.digest
    assert all(
        rank["network"]["use_compressed_spikes"] for rank in lab.ranks(lab.folder / "open-2")
    )


def test_upstream_variant_agrees_too(lab: Lab) -> None:
    chosen = {"variant": "upstream", "duration_ms": 400, "external_rate_hz": 1000}
    one, other = lab.spikes("up-1", 1, 2, **chosen), lab.spikes("up-2", 2, 1, **chosen)
    assert len(one) > 0
    assert one.digest == other.digest


def test_what_a_rank_says_of_itself(lab: Lab, two_ranks: Spikes) -> None:
    for rank in lab.ranks(lab.folder / "two"):
        assert (rank["size"], rank["state"]) == (2, "finished")
        assert rank["pmix"]["namespace"]
        assert rank["pmix"]["server_version"]
        assert "PMIx" in rank["pmix"]["client_version"]
        assert "Open MPI" in rank["mpi"]
        assert rank["libm"].startswith("glibc")
        assert rank["network"]["spike_precision"] == "on_grid"
        assert rank["network"]["virtual_processes"] == 2
        assert None not in rank["versions"].values()
    assert len(two_ranks) == sum(rank["spikes"] for rank in lab.ranks(lab.folder / "two"))


@pytest.mark.parametrize(("processes", "words"), [(1, "1 rank "), (3, "3 ranks ")])
def test_wrong_world_ends_with_90(lab: Lab, processes: int, words: str) -> None:
    run = lab.prepare(f"world-{processes}", 2, 1)
    done = lab.start(run, processes)
    assert done.status == 90
    assert f"imagefactory: 2 ranks were asked for, but this process sees a world of {words}" in (
        done.errors
    )
    assert {rank["state"] for rank in lab.ranks(run)} == {"started"}
    assert not list((run / "output").glob("spikes-*"))


def test_rank_that_crashes_ends_the_job(lab: Lab) -> None:
    run = lab.prepare("crash", 2, 1)
    script = run / "inside" / "balanced_random.py"
    script.write_text(script.read_text() + CRASH)
    done = lab.start(run, 2)
    assert done.status not in {0, 90}
    assert "made to fail" in done.errors
    assert {rank["state"] for rank in lab.ranks(run)} == {"started"}
