"""The launch line: made from image and site, not typed. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from imagefactory.launch.derived import PARASTATION
from imagefactory.launch.facts import ImageSide, Launch, SiteSide
from imagefactory.launch.settings import decide_settings
from imagefactory.site import Setting, Site

# --cleanenv done right: what launcher and libraries told this rank is handed on, name by name.
# Apptainer gives APPTAINERENV_NAME to the inside as NAME (pmix-containers.md 8).
_HAND_ON = r"""for name in $(env | sed -n \
's/^\(\(PMIX\|PMI\|SLURM\|PS\|PSP\|OMPI\|UCX\|OMP\)_[A-Za-z0-9_]*\)=.*/\1/p'); do
eval "export APPTAINERENV_$name=\"\$$name\""; done"""
# The first rank of a node starts the instance, the others wait for it. By name, not by parent:
# under pspmix every rank has a parent of its own (pmix-containers.md 2.3 and 10).
_JOIN = """here={flags}
if mkdir "$here" 2>/dev/null; then
{start} >"$here/log" 2>&1 && : >"$here/up" || : >"$here/failed"
fi
until test -e "$here/up"; do
test -e "$here/failed" && {{ cat "$here/log" >&2; exit 1; }}
sleep 0.05; done"""


@dataclass(frozen=True)
class LaunchLine:
    """How a run is started: `launch` is what the rules judge, `argv` the words, `after` the
    sh lines that clean up."""

    launch: Launch
    settings: tuple[Setting, ...]
    argv: tuple[str, ...]
    after: tuple[str, ...] = ()
    reason: str = ""  # of the sharing that was chosen

    @property
    def text(self) -> str:
        """The line for people, with the variables that are set before it."""
        names = [f"{one.name}={shlex.quote(one.value)}" for one in self.settings if one.value]
        return " ".join([*names, shlex.join(self.argv)])


def make_launch_line(
    image: ImageSide,
    site: Site,
    place: SiteSide,
    sif: str,
    program: Sequence[str],
    *,
    ranks: int,
    nodes: int = 1,
    threads: int = 1,
    binds: Sequence[str] = (),
    folder: str | None = None,
    clean: bool = False,
    name: str = "imagefactory",
) -> LaunchLine:
    """The words that start `ranks` processes of `program` in the SIF at path `sif`.

    `binds` are folders of the site that are seen under the same path inside; `folder` is where the
    program starts. `clean` shuts the user's other variables out. `name` is that of an instance.
    No --contain, no --no-mount: each hides something that the ranks need (pmix-containers.md 0).
    """
    sharing, reason = decide_sharing(image, site, place, ranks, nodes)
    own = sharing == "container"
    options = ["--nv"] if image.cuda and place.gpus else []
    options += ["--cleanenv"] if clean and not own else []
    launch = Launch(
        site.launcher.plugin, sharing, tuple(options), ranks=ranks, nodes=nodes,
        passes=clean and not own,
    )  # fmt: skip
    settings = decide_settings(image, place, launch, site, threads)
    values = {one.name: one.value for one in settings if one.value is not None}
    launch = replace(launch, settings=values)
    mounts = [part for bind in binds for part in ("--bind", f"{bind}:{bind}")]
    inside = ["--pwd", folder] if folder is not None else []
    if own:
        # All ranks in one container, hence in one namespace.
        argv = [site.apptainer, "exec", *options, *mounts, *inside, sif, *_mpirun(ranks), *program]
        return LaunchLine(launch, settings, tuple(argv), reason=reason)
    start = _srun(site.launcher.plugin, nodes, ranks, threads)
    lines: list[str] = []
    after: tuple[str, ...] = ()
    if sharing == "instance":
        words = [site.apptainer, "exec", *options, *inside, f"instance://{name}", *program]
        begin = [site.apptainer, "instance", "start", *options, *mounts, sif, name]
        lines.append(_JOIN.format(flags=f"/tmp/{name}", start=shlex.join(begin)))  # noqa: S108
        after = (_stop(site.apptainer, name, nodes),)
    else:
        flag = ["--sharens"] if sharing == "sharens" else []
        words = [site.apptainer, "exec", *flag, *options, *mounts, *inside, sif, *program]
    lines += [_HAND_ON] if clean else []
    argv = [*start, *_wrapped(lines), *words]
    return LaunchLine(launch, settings, tuple(argv), after, reason)


def decide_sharing(
    image: ImageSide, site: Site, place: SiteSide, ranks: int, nodes: int
) -> tuple[str, str]:
    """What puts the ranks of a node into one namespace, and why; see `Launch.sharing`."""
    if site.launcher.kind == "mpirun":
        return "container", "all ranks are in one container"
    if ranks <= nodes:
        return "none", "one rank a node"
    if place.setuid:
        return "none", "Apptainer is setuid: no user namespaces"
    if place.launcher in PARASTATION or place.one_parent is False:
        # Open MPI 4 and 5 do without; UCX would silently take TCP.
        if image.ucx and place.fabric != ():
            return "instance", "each rank has a parent of its own, where --sharens joins nothing"
        return "none", "each rank has a parent of its own, and this MPI needs no common namespace"
    known = place.setuid is False and place.one_parent is True
    if known or site.launcher.sharens:
        return "sharens", "unprivileged Apptainer, ranks of one parent" if known else "site record"
    return "none", "the site record does not ask for it"


def _wrapped(lines: Sequence[str]) -> list[str]:
    return ["sh", "-c", "\n".join([*lines, 'exec "$@"']), "sh"] if lines else []


def _stop(apptainer: str, name: str, nodes: int) -> str:
    # An instance outlives its step (pmix-containers.md 10).
    once = ["srun", "--mpi=none", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    stop = f"{shlex.join([apptainer, 'instance', 'stop', name])}; rm -rf /tmp/{name}"
    return shlex.join([*once, "sh", "-c", stop])


def _mpirun(ranks: int) -> list[str]:
    # bind-to none: with 2 ranks or fewer Open MPI 4 binds each to one core, with its threads.
    spread = ["--bind-to", "none", "--map-by", ":OVERSUBSCRIBE"]
    return ["mpirun", "--tag-output", *spread, "-n", str(ranks)]


def _srun(plugin: str, nodes: int, ranks: int, threads: int) -> list[str]:
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
