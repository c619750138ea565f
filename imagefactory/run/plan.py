"""What a run will do, decided before anything is done."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from imagefactory.base.apptainer import find_apptainer
from imagefactory.base.errors import Fault, UsageFault
from imagefactory.base.files import digest_of
from imagefactory.base.report import Report, size
from imagefactory.base.values import Digest, ImageRef
from imagefactory.launch import (
    Preflight,
    expectation,
    known_image,
    make_launch_line,
    preflight,
    side_of,
)
from imagefactory.model import BACKEND, Model, check_backend, find_model, resolve_parameters
from imagefactory.run.job import FOLDER, Geometry, Via, job_text, parameters_text, program_of
from imagefactory.run.module import plan_run_module
from imagefactory.run.staging import stage_one_arguments, stored_image
from imagefactory.site import Setting, Site, load_site

if TYPE_CHECKING:
    from imagefactory.nestml import Module, ModulePlan


@dataclass(frozen=True)
class RunImage:
    """The image of a run: `path` is where it will be on the site.

    `pinned` is its digest reference; None for a SIF file on this machine, then `source`.
    """

    reference: str
    sif: Digest
    size: int
    path: str
    pinned: ImageRef | None = None
    source: Path | None = None


@dataclass(frozen=True)
class RunPlan:
    """Everything about a run that can be known before it."""

    id: str
    site: Site
    model: Model
    image: RunImage
    geometry: Geometry
    parameters: Mapping[str, Any]
    folder: str
    settings: tuple[Setting, ...]
    launch: tuple[str, ...]
    backend: str = BACKEND
    via: Via = Via.SHELL
    # Lines of sh after the launch line; the verdict before it, and whether it is to be ignored.
    after: tuple[str, ...] = ()
    preflight: Preflight | None = None
    force: bool = False
    # What the guard in every rank holds the run to: see launch/inside/guard.py.
    expect: Mapping[str, Any] = field(default_factory=dict)
    # The neuron's module that is sent along; or how it is to be built, before anything is sent.
    module: Module | None = None
    module_plan: ModulePlan | None = None

    @property
    def job(self) -> str:
        """The text of job.sh."""
        return job_text(
            self.site, self.id, self.folder, self.geometry, self.settings, self.launch, self.after
        )

    @property
    def parameters_text(self) -> str:
        """The text of parameters.json."""
        return parameters_text(
            self.model, self.geometry, self.parameters, self.backend, self.expect, self.module
        )

    @property
    def module_files(self) -> dict[str, Path]:
        """The module, by its name in the run's folder."""
        return {f"inside/{self.module.file}": self.module.path} if self.module else {}

    @property
    def stage_arguments(self) -> list[str]:
        """The words after stage_one.sh; empty where the image needs no staging."""
        if self.image.pinned is None:
            return []
        return stage_one_arguments(
            self.site, self.image.pinned, self.image.sif, self.image.size, self.id
        )

    def lines(self) -> list[str]:
        """The plan, for people."""
        if self.via is Via.UNICORE:
            return self._unicore_lines()
        where = self.site.access.where
        stage = self.stage_arguments
        submit = "sbatch --parsable job.sh" if self.site.scheduler.kind == "slurm" else "sh job.sh"
        return [
            f"run {self.id}",
            f"image {self.image.reference}, SIF {self.image.sif}, {size(self.image.size)}",
            *self._preflight_lines(),
            *self._module_lines(),
            f"on {where}: stage_one.sh {shlex.join(stage)}"
            if stage
            else f"on {where}: copy {self.image.source} to {self.image.path}",
            f"on {where}: make {self.folder} with parameters.json, job.sh, inside/",
            f"on {where}: {submit}",
            f"in the job: {shlex.join(self.launch)}",
            f"fetch the results of {self.geometry.ranks} ranks x {self.geometry.threads} threads "
            f"on {self.geometry.nodes} nodes",
        ]

    def _preflight_lines(self) -> list[str]:
        told = self.preflight.brief if self.preflight else []
        return [f"pre-flight: {line}" for line in told]

    def _module_lines(self) -> list[str]:
        if self.module_plan is not None:
            return [f"here: {line}" for line in self.module_plan.lines()]
        return [f"module {self.module.path}, {self.module.sha256}"] if self.module else []

    def _unicore_lines(self) -> list[str]:
        size_ = f"{self.geometry.ranks} ranks x {self.geometry.threads} threads"
        return [
            f"run {self.id}",
            f"image {self.image.reference}, SIF {self.image.sif}, {size(self.image.size)}",
            *self._preflight_lines(),
            *self._module_lines(),
            f"through UNICORE, one job; exactly which: imagefactory job show ... --site "
            f"{self.site.name}",
            f"on the login node: stage_one.sh {shlex.join(self.stage_arguments)}",
            f"in the job: {shlex.join(self.launch)}",
            f"fetch the results of {size_} on {self.geometry.nodes} nodes",
        ]


def plan_run(
    image: str,
    site: str,
    model: str,
    *,
    report: Report,
    ranks: int = 2,
    threads: int = 1,
    nodes: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    backend: str = BACKEND,
    via: Via | None = None,
    force: bool = False,
    module: Path | None = None,
) -> RunPlan:
    """Decide a run; a tag is resolved to a digest here, once.

    `image` is `oras://...`, or, on a site that is this machine, a SIF file. `force` is for a run
    that the pre-flight fails, `module` the folder of one that the user built. Raises UsageFault,
    ConfigurationFault, and what the registry room raises for an image that is not there.
    """
    place, network = load_site(site), find_model(model)
    via = decide_way(place, via)
    parameters = resolve_parameters(network, overrides or {})
    check_backend(network, backend, ranks, threads, parameters)
    geometry = decide_geometry(place, ranks, threads, nodes)
    if place.access.kind == "local" and place.apptainer == "apptainer":
        place = replace(place, apptainer=str(find_apptainer(report)))
    found = find_image(image, place, report)
    built, to_build = plan_run_module(network, parameters, found.sif, module, report)
    run_id = new_id(place.name, network.name)
    folder = FOLDER if via is Via.UNICORE else str(PurePosixPath(place.work) / run_id)
    side = known_image(found.sif, found.size, report, sif=found.source, reference=found.pinned)
    known = side_of(place)
    made = make_launch_line(
        side, place, known, found.path, program_of(network),
        ranks=ranks, nodes=geometry.nodes, threads=threads, binds=[folder], folder=folder,
        name=run_id,
    )  # fmt: skip
    return RunPlan(
        id=run_id,
        site=place,
        model=network,
        image=found,
        geometry=geometry,
        parameters=parameters,
        folder=folder,
        settings=made.settings,
        launch=made.argv,
        backend=backend,
        via=via,
        after=made.after,
        preflight=preflight(side, known, made.launch, names=(image, place.name), line=made.text),
        force=force,
        expect=expectation(side, made.launch),
        module=built,
        module_plan=to_build,
    )


def decide_geometry(site: Site, ranks: int, threads: int, nodes: int | None) -> Geometry:
    """The spread of a run; raises UsageFault with all faults."""
    faults = [
        Fault(f"{what} is {value}", fix=f"give {what} 1 or more")
        for what, value in (("--ranks", ranks), ("--threads", threads), ("--nodes", nodes or 1))
        if value < 1
    ]
    if nodes is not None and nodes > max(ranks, 1):
        faults.append(Fault(f"{nodes} nodes are too many for {ranks} ranks", fix="more --ranks"))
    if nodes is not None and nodes > 1 and site.scheduler.kind == "none":
        faults.append(Fault(f"site {site.name} has one node", fix="--nodes 1"))
    if faults:
        raise UsageFault.from_faults(faults)
    return Geometry(nodes if nodes is not None else min(site.nodes, ranks), ranks, threads)


def decide_way(site: Site, asked: Via | None) -> Via:
    """What carries a run there; raises UsageFault where the site cannot be reached that way."""
    only = site.access.kind == "unicore"
    if asked is Via.SHELL and only:
        raise UsageFault(f"site {site.name} has no shell for us", fix="--via unicore")
    return asked or (Via.UNICORE if only else Via.SHELL)


def find_image(image: str, site: Site, report: Report) -> RunImage:
    """The image by reference (resolved to a digest), or by path where the site is here."""
    if image.startswith("oras://"):
        from imagefactory.registry import resolve

        artifact = resolve(ImageRef.parse(image), report)
        return RunImage(
            reference=image,
            sif=artifact.layer,
            size=artifact.size,
            path=stored_image(site.store, artifact.layer),
            pinned=ImageRef.parse(image).at(artifact.manifest),
        )
    path = Path(image).expanduser().absolute()
    if site.scheduler.kind != "none":
        raise UsageFault(
            f"site {site.name} takes images from a registry, not from a file",
            where=image,
            fix=f"imagefactory push {image} oras://HOST/PROJECT/NAME:TAG",
        )
    if not path.is_file():
        raise UsageFault(
            "there is no such image file", where=str(path), fix="give oras:// or a SIF"
        )
    digest, length = digest_of(path), path.stat().st_size
    return RunImage(str(path), digest, length, stored_image(site.store, digest), source=path)


def new_id(site: str, model: str) -> str:
    """UTC time, site, model and four random hexadecimal digits: sorts by time, never clashes."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{site}-{model}-{secrets.token_hex(2)}"
