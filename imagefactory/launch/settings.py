"""Which variables a run's ranks get, from image and site, each with its reason and source. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from imagefactory.launch.conditions import Lines, holds
from imagefactory.launch.derived import all_facts
from imagefactory.launch.facts import ImageSide, Launch, SiteSide
from imagefactory.site import Setting, Site

_FACTS = "facts/pmix-containers.md"
_LEAKS = (
    Setting("PYTHONPATH", None, "a module of the host leaks in", f"{_FACTS} 8, env the host leaks"),
    Setting("PYTHONHOME", None, "a module of the host leaks in", f"{_FACTS} 8, env the host leaks"),
    Setting("OPAL_PREFIX", None, "points at the host's Open MPI", f"{_FACTS} 4, row 33"),
    Setting("PMIX_PREFIX", None, "points at the host's PMIx", f"{_FACTS} 4, row 33"),
    Setting(
        "PMIX_INSTALL_PREFIX", None, "set by mpirun of Open MPI 4.1: ranks of another folder hang",
        "measured: docs/confusion.md",
    ),
    Setting(
        "APPTAINERENV_LD_LIBRARY_PATH", None, "would put the host's libraries before the image's",
        f"{_FACTS} 3.5, 4 row 31",
    ),
)  # fmt: skip
# A setting that the rules of PMIx ask for: where its lines hold, and the image does not set it.
_PMIX: tuple[tuple[Lines, Setting], ...] = (
    (
        ["launch.parastation is yes", "image.pmix >= 5.0", "launch.gds is not hash"],
        Setting("PMIX_MCA_gds", "hash", "a PMIx 5 client fails under ParaStation without it",
                f"{_FACTS} 10, result 2"),
    ),
    (
        ["site.server_tmpdir_seen is no", "image.pmix >= 5.0", "launch.gds is not hash"],
        Setting("PMIX_MCA_gds", "hash", "the server's folder is not seen in the container",
                f"{_FACTS} 4, row 6"),
    ),
    (
        [
            {"any": ["image.pmix in 5.0.0, 5.0.1", "site.pmix in 5.0.0, 5.0.1"]},
            "launch.gds is not hash",
        ],
        Setting("PMIX_MCA_gds", "hash", "5.0.0 and 5.0.1 share memory with no other release",
                f"{_FACTS} 3.3"),
    ),
    (
        ["image.pmix < 5.0", "site.gds has ds12", "launch.gds is absent"],
        Setting("PMIX_MCA_gds", "hash", "the shared datastore's locks fail, with much noise",
                f"{_FACTS} 4, row 7"),
    ),
    (
        ["site.security has native", "site.security has munge", "image.psec lacks munge",
         "launch.psec is not native"],
        Setting("PMIX_MCA_psec", "native", "the image has no munge, and warns for each rank",
                f"{_FACTS} 4, row 8"),
    ),
)  # fmt: skip


def decide_settings(
    image: ImageSide, place: SiteSide, launch: Launch, site: Site, threads: int
) -> tuple[Setting, ...]:
    """The settings of a run with so many threads per rank; the site record's come last and win."""
    chosen: dict[str, Setting] = {}
    for setting in _decisions(image, place, launch, threads):
        chosen.setdefault(setting.name, setting)
    for name, value in site.environment:
        chosen[name] = Setting(name, value, "the site's record says so", f"site {site.name}")
    return tuple(chosen.values())


def _decisions(
    image: ImageSide, place: SiteSide, launch: Launch, threads: int
) -> Iterator[Setting]:
    yield Setting(
        "OMP_NUM_THREADS", str(threads),
        "NEST takes its threads from the model; other OpenMP code must not take more",
        "docs of NEST 3.10, parallel computing",
    )  # fmt: skip
    yield Setting(
        "PYTHONNOUSERSITE", "1",
        "packages in the user's home must not shadow the image's: Apptainer mounts the home folder",
        f"{_FACTS} 8, defaults that matter",
    )  # fmt: skip
    yield from _LEAKS
    if launch.sharing == "container":
        yield Setting(
            "OMPI_MCA_plm", "isolated",
            "one node: no ssh or srun is needed, and the image has none",
            "Open MPI 4.1, orte/mca/plm/isolated",
        )  # fmt: skip
        return
    facts = all_facts(image, place, launch)
    for lines, setting in _PMIX:
        if facts["launch.protocol"] == "pmix" and holds(lines, facts):
            yield setting
    yield from _open_mpi(image, place, facts["launch.split"])
    yield from _ucx(facts["launch.split"], image)


def _open_mpi(image: ImageSide, place: SiteSide, split: object) -> Iterator[Setting]:
    if image.mpi not in {None, "Open MPI"} or (image.mpi_version or "").startswith("5"):
        return
    if split is not False and image.cma_default != "none":
        yield Setting(
            "OMPI_MCA_btl_vader_single_copy_mechanism", "none",
            "ranks of a node may be in different user namespaces, where CMA is refused and big "
            "messages hang",
            f"{_FACTS} 2.3 and 4, row 17",
        )  # fmt: skip
    if place.launcher in {"psmgmt", "prrte"}:
        why = "Open MPI 4 looks for Slurm's variables, and starts N times alone without them"
        for name, value in (("OMPI_MCA_ess", "pmi"), ("OMPI_MCA_schizo", "ompi")):
            yield Setting(name, value, why, f"{_FACTS} 10, result 1")


def _ucx(split: object, image: ImageSide) -> Iterator[Setting]:
    if not image.ucx:
        return
    yield Setting(
        "UCX_LOG_LEVEL", "info", "the lanes that UCX takes are told at this level only",
        f"{_FACTS} 4, verbosity knobs",
    )  # fmt: skip
    if split is True and holds(["image.ucx < 1.16"], {"image.ucx": image.ucx}):
        yield Setting(
            "UCX_TLS", "^cma", "UCX before 1.16 aborts where CMA is refused", f"{_FACTS} 4, row 18"
        )
