"""What follows from a launch line, an image and a site together: the facts `launch.*`. Pure."""

from __future__ import annotations

from imagefactory.launch.conditions import Value, version_key
from imagefactory.launch.facts import ImageSide, Launch, SiteSide, flatten

_CLEAN = {"--cleanenv", "-e", "--containall", "-C", "--no-env"}
_CONTAIN = {"--contain", "-c", "--containall", "-C"}
PARASTATION = {"psslurm", "psmgmt"}
# What tells Open MPI 4 that it was started by a launcher: any one group (10, result 1; measured).
_MARKS = (
    {"SLURM_NODELIST", "SLURM_STEP_ID", "SLURM_JOBID"},
    {"FLUX_JOB_ID"},
    {"JSM_JSRUN_PORT"},
    {"OMPI_MCA_ess", "OMPI_MCA_schizo"},
)
# Levels of the x86-64 psABI, and the level that a named target is above.
LEVELS = {"x86_64": 1, "x86_64_v1": 1, "x86_64_v2": 2, "x86_64_v3": 3, "x86_64_v4": 4}
_TARGETS = {
    "nehalem": 2, "westmere": 2, "sandybridge": 2, "ivybridge": 2, "haswell": 3, "broadwell": 3,
    "skylake": 3, "skylake_avx512": 4, "cascadelake": 4, "icelake": 4, "sapphirerapids": 4,
    "zen": 3, "zen2": 3, "zen3": 3, "zen4": 4, "zen5": 4,
}  # fmt: skip


def all_facts(image: ImageSide, site: SiteSide, launch: Launch) -> dict[str, Value]:
    """Every fact that a rule may look at, by name; None where it is unknown."""
    about = {
        "plugin": launch.plugin,
        "sharing": launch.sharing,
        "ranks": launch.ranks,
        "protocol": protocol_of(site.launcher, launch.plugin),
        "parastation": None if site.launcher is None else site.launcher in PARASTATION,
        "slurm_marks": _slurm_marks(site, launch),
        "gds": _effective(launch, "PMIX_MCA_gds", image.gds_default),
        "psec": _effective(launch, "PMIX_MCA_psec", image.psec_default),
        "cma": _effective(launch, "OMPI_MCA_btl_vader_single_copy_mechanism", image.cma_default),
        "ucx_tls": launch.settings.get("UCX_TLS", ""),
        "ucx": _ucx_is_used(image, site),
        "split": splits_namespaces(site, launch),
        "cpu": cpu_fits(image.cpu_target, site.cpu),
        "room": None if None in (image.size, site.free) else _enough(image.size, site.free),
        **_hidden(launch),
    }
    return {**flatten(image, site), **{f"launch.{name}": value for name, value in about.items()}}


def protocol_of(launcher: str | None, plugin: str) -> str | None:
    """What a rank is offered: pmix, pmi2, pmi1 or none (pmix-containers.md 1.1, 1.5 and 10)."""
    if launcher is None:
        return None
    if launcher in {"prrte", "orte", "own"}:
        return "pmix"
    if launcher == "psslurm":  # every word but these two gives PMI-1, --mpi=pmix among them
        return {"pspmix": "pmix", "none": "none"}.get(plugin, "pmi1")
    if launcher == "psmgmt":
        return "pmix" if plugin == "pmix" else "pmi1"
    if plugin.startswith("pmix"):
        return "pmix"
    return {"pmi2": "pmi2", "none": "none", "pspmix": "none"}.get(plugin)


def splits_namespaces(site: SiteSide, launch: Launch) -> bool | None:
    """Whether the ranks of a node are in user namespaces of their own."""
    if launch.ranks <= launch.nodes or launch.sharing in {"instance", "container"}:
        return False
    if site.setuid is not False:
        return None if site.setuid is None else False
    if launch.sharing != "sharens":
        return True
    if site.launcher in PARASTATION:  # sharens groups by parent, and each rank has its own
        return True
    return None if site.one_parent is None else not site.one_parent


def level_of_target(name: str) -> int | None:
    """The x86-64 level of a target as archspec or the psABI names it; None for an unknown one."""
    word = name.replace("-", "_")
    return LEVELS.get(word, _TARGETS.get(word))


def cpu_fits(target: str | None, machine: str | None) -> str | None:
    """yes, no, or perhaps: the level fits, but the two are not of one family."""
    if target is None or machine is None:
        return None
    wanted, there = (text.replace("-", "_") for text in (target, machine))
    if wanted == there:
        return "yes"
    need, have = level_of_target(wanted), level_of_target(there)
    if need is None or have is None:
        return None
    if need > have:
        return "no"
    return "yes" if wanted in LEVELS else "perhaps"


def _hidden(launch: Launch) -> dict[str, Value]:
    """What the options take away from the ranks."""
    options = set(launch.options)
    joined = " ".join(launch.options)
    contained = bool(options & _CONTAIN)
    every = bool(options & {"--containall", "-C"})
    leaks = [name for name in launch.settings if name.endswith("LD_LIBRARY_PATH")]
    tmp, shm = _bound(launch, "/tmp"), _bound(launch, "/dev/shm")  # noqa: S108
    return {
        "cleans": bool(options & _CLEAN) and not launch.passes,
        "contained": contained,
        "hides_tmp": (contained and not tmp) or tmp is False or "--no-mount tmp" in joined,
        "private_shm": (contained and not shm) or shm is False,
        "private_pid": every or bool(options & {"--pid", "-p"}),
        "private_ipc": every or bool(options & {"--ipc", "-i"}),
        "private_net": bool(options & {"--net", "-n"}) or "--network none" in joined,
        "fakeroot": bool(options & {"--fakeroot", "-f"}),
        "host_libraries": bool(leaks),
        "gpu": bool(options & {"--nv", "--rocm"}),
    }


def _ucx_is_used(image: ImageSide, site: SiteSide) -> bool | None:
    """Open MPI takes UCX for a fabric only (4, row 22); other MPIs where it is there."""
    if not image.ucx:
        return None if image.ucx is None else False
    if image.mpi != "Open MPI":
        return None if image.mpi is None else True
    return None if site.fabric is None else bool(site.fabric)


def _bound(launch: Launch, folder: str) -> bool | None:
    """Whether a bind puts the host's own `folder` there; None where no bind does anything."""
    pairs = [bind.split(":")[:2] for bind in launch.binds]
    sources = [pair[0] for pair in pairs if pair[-1].rstrip("/") == folder]
    return sources[-1].rstrip("/") == folder if sources else None


def _slurm_marks(site: SiteSide, launch: Launch) -> bool | None:
    if launch.slurm_marks is not None:
        return launch.slurm_marks
    if any(names <= set(launch.settings) for names in _MARKS):
        return True
    if site.launcher is None:
        return None
    # Measured under psmgmt's mpiexec and under prterun of Open MPI 5: singletons, exit status 0.
    return site.launcher not in {"psmgmt", "prrte"}


def _effective(launch: Launch, name: str, default: str | None) -> str | None:
    return launch.settings.get(name, default)


def _enough(size: Value, free: Value) -> bool:
    return int(str(free)) >= int(str(size)) * 11 // 10


def series(version: str) -> str:
    """The release series of a version: 5.0 of 5.0.7a1."""
    return ".".join(str(part) for part in version_key(version)[:2])
