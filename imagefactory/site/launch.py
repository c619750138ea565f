"""The launch line: how ranks are started inside an image on a site. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from imagefactory.site.record import Site


def launch_argv(
    site: Site,
    image: str,
    program: Sequence[str],
    *,
    ranks: int,
    nodes: int = 1,
    threads: int = 1,
    binds: Sequence[str] = (),
    folder: str | None = None,
) -> list[str]:
    """The words that start `ranks` processes of `program` in the SIF `image`.

    `binds` are folders of the site that are seen under the same path inside; `folder` is where the
    program starts. No --cleanenv, --contain or --no-mount: each hides the PMIx server, and then N
    ranks run as N singletons (facts/pmix-containers.md 0.4, 0.5; facts/building-blocks.md 5).
    """
    inside = [part for bind in binds for part in ("--bind", f"{bind}:{bind}")]
    if folder is not None:
        inside += ["--pwd", folder]
    if site.launcher.kind == "mpirun":
        # All ranks in one container, hence in one namespace.
        return [site.apptainer, "exec", *inside, image, *_mpirun(ranks), *program]
    sharens = ["--sharens"] if site.launcher.sharens else []
    start = _srun(site.launcher.plugin, nodes, ranks, threads)
    return [*start, site.apptainer, "exec", *sharens, *inside, image, *program]


def _mpirun(ranks: int) -> list[str]:
    # bind-to none: with 2 ranks or fewer Open MPI 4 binds each to one core, with its threads.
    spread = ["--bind-to", "none", "--map-by", ":OVERSUBSCRIBE"]
    return ["mpirun", "--tag-output", *spread, "-n", str(ranks)]


def _srun(plugin: str | None, nodes: int, ranks: int, threads: int) -> list[str]:
    return [
        "srun",
        f"--mpi={plugin}",
        f"--nodes={nodes}",
        f"--ntasks={ranks}",
        # srun no longer takes it from sbatch: Slurm 22.05 release notes.
        f"--cpus-per-task={threads}",
        # A rank that dies must end the others, which wait for it in MPI.
        "--kill-on-bad-exit=1",
        "--label",
    ]
