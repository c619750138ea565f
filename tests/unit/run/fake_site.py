"""A site that keeps state: a store, a tiny Slurm, run folders; no process, no socket."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imagefactory.base.errors import ServiceAway
from imagefactory.base.process import Done
from imagefactory.base.values import Digest, ImageRef
from imagefactory.launch import ImageSide, LaunchLine, SiteSide, make_launch_line
from imagefactory.model import find_model, resolve_parameters
from imagefactory.run import slurm
from imagefactory.run.execute import RUN_HERE
from imagefactory.run.job import Geometry, program_of
from imagefactory.run.plan import RunImage, RunPlan
from imagefactory.run.staging import stage_one_script
from imagefactory.site import (
    Access,
    Launcher,
    Scheduler,
    Site,
)

SIF = Digest("sha256:" + "ab" * 32)
MANIFEST = Digest("sha256:" + "cd" * 32)
Files = dict[str, bytes]


def slurm_site() -> Site:
    return Site(
        name="bookworm",
        description="",
        access=Access("ssh", "127.0.0.1", 2201, "scientist"),
        apptainer="apptainer",
        scheduler=Scheduler("slurm", "batch", "proj", 30),
        launcher=Launcher("srun", "pmix", True),
        store="/shared/store",
        work="/shared/runs",
        nodes=2,
    )


def launch_line(site: Site, image: str, ranks: int, nodes: int, folder: str) -> LaunchLine:
    """The line where nobody has read the image or probed the site."""
    return make_launch_line(
        ImageSide(), site, SiteSide(), image, program_of(find_model("balanced-random")),
        ranks=ranks, nodes=nodes, binds=[folder], folder=folder,
    )  # fmt: skip


def make_plan(site: Site, ranks: int = 2) -> RunPlan:
    model = find_model("balanced-random")
    geometry = Geometry(min(site.nodes, ranks), ranks, 1)
    image = f"{site.store}/sha256-{SIF.hex}.sif"
    folder = f"{site.work}/r1"
    ref = ImageRef.parse("oras://registry.example.org/demo/nest:3.10")
    made = launch_line(site, image, ranks, geometry.nodes, folder)
    return RunPlan(
        id="r1",
        site=site,
        model=model,
        image=RunImage(str(ref), SIF, 1000, image, ref.at(MANIFEST)),
        geometry=geometry,
        parameters=resolve_parameters(model, {"duration_ms": 200, "warmup_ms": 50}),
        folder=folder,
        settings=made.settings,
        launch=made.argv,
    )


def rank_file(rank: int, size: int, **changes: Any) -> dict[str, Any]:
    """What start.py writes at its end."""
    return {
        "rank": rank, "size": size, "host": f"c{rank + 1}", "pid": 100 + rank, "state": "finished",
        "pmix": {"namespace": "slurm.pmix.1.0", "server_version": "4.2.2", "client_version": "4.2",
                 "datastore": "hash", "security": "native"},
        "mpi": "Open MPI v4.1.4",
        "versions": {"nest": "3.10.0", "pynn": "0.13.0", "numpy": "2.0", "neo": "0.14",
                     "mpi4py": "3.1.4", "python": "3.11.2"},
        "cpu": "a CPU", "kernel": "6.1", "libm": "glibc 2.36",
        "network": {"digest": [f"{rank + 1:016x}", f"{rank + 2:016x}"], "connections": 10 + rank,
                    "rng": "mt", "spike_precision": "off_grid", "use_compressed_spikes": False,
                    "virtual_processes": size},
        "populations": [{"name": "exc", "first": 0, "size": 8}],
        "timings": {"import_s": 1.0, "build_s": 2.0, "simulate_s": 3.0 + rank},
        "spikes": 1,
    } | changes  # fmt: skip


def rank_output(ranks: list[dict[str, Any]], spikes: int | None = None) -> Files:
    """The output folder's files: one JSON a rank, and one spike for each of the first ones."""
    files = {f"rank-{rank['host']}-{rank['pid']}.json": json.dumps(rank).encode() for rank in ranks}
    for number in range(len(ranks) if spikes is None else spikes):
        stream = io.BytesIO()
        np.savez(stream, neuron=np.array([number]), step=np.array([600 + number]))
        files[f"spikes-{number}.npz"] = stream.getvalue()
    return files


@dataclass
class FakeSite:
    """Each poll takes the next of `words`; when they are used up the job has left its `output`.

    A word that is an exception is raised: the site was away at that moment.
    """

    words: list[str | Exception] = field(default_factory=lambda: ["PENDING", "RUNNING"])
    final: str = "COMPLETED"  # an empty text: Slurm has forgotten the job
    output: Files = field(default_factory=dict)
    log: str = ""
    exit_status: int | None = 0
    stage: tuple[int, str] = (0, "")
    stage_away: int = 0
    submit: tuple[int, str] = (0, "42\n")
    where: str = "scientist@127.0.0.1:2201"
    folders: dict[str, Files] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    stagings: int = 0
    on_poll: Callable[[], None] = lambda: None

    def run(
        self,
        script: str,
        *arguments: str,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        log: Path | None = None,
    ) -> Done:
        answers: Mapping[str, Callable[..., tuple[int, str, str]]] = {
            stage_one_script(): self._stage,
            slurm.SUBMIT: self._submit,
            slurm.POLL: self._poll,
            slurm.CANCEL: self._cancel,
            RUN_HERE: self._run_here,
        }
        status, output, errors = answers[script](*arguments)
        for line in output.splitlines():
            if on_line:
                on_line(line)
        return Done(("sh",), status, output, errors, 0.1)

    def send(self, parcel: Path, folder: str) -> None:
        with tarfile.open(parcel) as tar:
            self.folders[folder] = {
                member.name: stream.read()
                for member in tar
                if (stream := tar.extractfile(member)) is not None
            }

    def fetch(self, folder: str, parcel: Path, limit: int) -> None:
        assert folder.removesuffix("/output") in self.folders
        with tarfile.open(parcel, "w") as tar:
            for name, data in {**self.output, "job.log": self.log.encode()}.items():
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))

    def _stage(self, *arguments: str) -> tuple[int, str, str]:
        self.stagings += 1
        if self.stage_away:
            self.stage_away -= 1
            return 13, "", "the registry cannot be reached from login"
        status, errors = self.stage
        final = f"{arguments[0]}/sha256-{arguments[2]}.sif"
        said = [
            "apptainer apptainer version 1.5.3", "slurm slurm-wlm 22.05.8", f"pulled {final}",
            f"image {final} sha256:{arguments[2]}",
        ]  # fmt: skip
        output = "".join(f"imagefactory {line}\n" for line in said)
        return status, "" if status else output, errors

    def _submit(self, folder: str) -> tuple[int, str, str]:
        assert "job.sh" in self.folders[folder]
        status, text = self.submit
        return status, "" if status else text, text if status else ""

    def _poll(self, job: str, folder: str) -> tuple[int, str, str]:
        self.on_poll()
        if self.words:
            word = self.words.pop(0)
            if isinstance(word, Exception):
                raise word
            return 0, f"slurm 0 {word}|None\n", ""
        left = "" if self.exit_status is None else f"exit {self.exit_status}\n"
        if not self.final:
            return 0, f"slurm 1 slurm_load_jobs error: Invalid job id specified\n{left}", ""
        return 0, f"slurm 0 {self.final}|None\n{left}", ""

    def _cancel(self, job: str) -> tuple[int, str, str]:
        self.cancelled.append(job)
        return 0, "", ""

    def _run_here(self, folder: str) -> tuple[int, str, str]:
        assert "job.sh" in self.folders[folder]
        return self.exit_status or 0, "", ""


AWAY = ServiceAway("the site cannot be reached")
