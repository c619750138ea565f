"""Which variables a run's ranks get, each with its reason and the source of that reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imagefactory.site.record import Site


@dataclass(frozen=True)
class Setting:
    """One decision; a value of None takes the variable away."""

    name: str
    value: str | None
    why: str
    source: str


_FACTS = "facts/pmix-containers.md"
# Client settings of PMIx (datastore, security) are the image's: it knows which client it has.
_ALWAYS = (
    Setting(
        "PYTHONNOUSERSITE", "1",
        "packages in the user's home must not shadow the image's: Apptainer mounts the home folder",
        f"{_FACTS} 8, defaults that matter",
    ),
    Setting("PYTHONPATH", None, "a module of the host leaks in", f"{_FACTS} 8, env the host leaks"),
    Setting("PYTHONHOME", None, "a module of the host leaks in", f"{_FACTS} 8, env the host leaks"),
    Setting("OPAL_PREFIX", None, "points at the host's Open MPI", f"{_FACTS} 4, row 33"),
    Setting("PMIX_PREFIX", None, "points at the host's PMIx", f"{_FACTS} 4, row 33"),
)  # fmt: skip


def decide_environment(site: Site, threads: int) -> tuple[Setting, ...]:
    """The settings of a run on `site` with so many threads per rank; the record's come last."""
    chosen = {setting.name: setting for setting in _decisions(site, threads)}
    for name, value in site.environment:
        chosen[name] = Setting(name, value, "the site's record says so", f"site {site.name}")
    return tuple(chosen.values())


def _decisions(site: Site, threads: int) -> Iterator[Setting]:
    yield Setting(
        "OMP_NUM_THREADS", str(threads),
        "NEST takes its threads from the model; other OpenMP code must not take more",
        "docs of NEST 3.10, parallel computing",
    )  # fmt: skip
    yield from _ALWAYS
    if site.launcher.kind == "mpirun":
        yield Setting(
            "OMPI_MCA_plm", "isolated",
            "one node: no ssh or srun is needed, and the image has none",
            "Open MPI 4.1, orte/mca/plm/isolated",
        )  # fmt: skip
    elif not site.launcher.sharens or site.launcher.plugin == "pspmix":
        # Ranks in namespaces of their own: with pspmix always, --sharens groups by parent process.
        yield Setting(
            "OMPI_MCA_btl_vader_single_copy_mechanism", "none",
            "ranks of a node may be in different user namespaces, where CMA is refused and big "
            "messages hang",
            f"{_FACTS} 2.3 and 4, row 17",
        )  # fmt: skip


def shell_lines(settings: Iterable[Setting]) -> list[str]:
    """POSIX sh lines that make the settings, each with its reason."""
    import shlex

    lines = []
    for setting in settings:
        reason = f"  # {setting.why} ({setting.source})"
        if setting.value is None:
            lines.append(f"unset {setting.name}{reason}")
        else:
            lines.append(f"export {setting.name}={shlex.quote(setting.value)}{reason}")
    return lines
