"""The sh script of a micro-benchmark: two ranks on one node and on two, image and host. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from importlib.resources import files

from imagefactory.launch.bench import PART, STATUS
from imagefactory.launch.facts import ImageSide, SiteSide
from imagefactory.launch.launch_line import make_launch_line
from imagefactory.site import Site, shell_lines

PART_SECONDS = 120
# So that the libraries name their lanes: UCX, Open MPI, MPICH, ParaStation (docs/doctor.md).
LANES = (
    "UCX_LOG_LEVEL=info OMPI_MCA_btl_base_verbose=100 MPIR_CVAR_DEBUG_SUMMARY=1 PSP_DEBUG_CONTYPE=1"
)
_OSU = "command -v osu_latency >/dev/null || exit 127; exec osu_latency -m 8:4194304"


def bench_script(
    image: ImageSide, site: Site, place: SiteSide, sif: str, folder: str, module: str, name: str
) -> str:
    """What is run on the login node; `folder` is made and removed, `module` is imported first."""
    program = files("imagefactory.launch").joinpath("inside/pingpong.py").read_text("utf-8")
    lines = [
        f"mkdir -p {shlex.quote(folder)} && cd {shlex.quote(folder)} || exit 1",
        f"cat >pingpong.py <<'IMAGEFACTORY-END'\n{program}IMAGEFACTORY-END",
        *_parts(image, site, place, sif, folder, module, name),
        f"cd / && rm -rf {shlex.quote(folder)}",
    ]
    return "\n".join(lines) + "\n"


def _parts(
    image: ImageSide, site: Site, place: SiteSide, sif: str, folder: str, module: str, name: str
) -> Iterator[str]:
    library = "libmpi.so.12" if image.mpi in {"MPICH", "ParaStationMPI"} else "libmpi.so.40"
    file = f"{folder}/pingpong.py"
    two = site.nodes > 1 and site.launcher.kind == "srun"
    for nodes, where in ((1, "one node"), (2, "two nodes"))[: 2 if two else 1]:
        for side, program in (
            ("image", ["python3", file, library, module]),
            ("osu", ["sh", "-c", _OSU]),
        ):
            made = make_launch_line(
                image, site, place, sif, program,
                ranks=2, nodes=nodes, binds=[folder], folder=folder, name=name,
            )  # fmt: skip
            # In a shell of its own: the host's ranks must not see the image's settings.
            yield "("
            yield from shell_lines(made.settings)
            yield f"export {LANES}"
            yield from _part(side, where, _queued(made.argv, site))
            yield from made.after
            yield ")"
        call = f'python3 {shlex.quote(file)} "$lib" {shlex.quote(module)}'
        tried = f"for lib in libmpi.so.40 libmpi.so.12; do {call} && exit 0; done; exit 1"
        outside = [*_starter(site, nodes), "sh", "-c", tried]
        yield from _part("host", where, _queued(outside, site))


def _part(side: str, place: str, words: Sequence[str]) -> Iterator[str]:
    yield f'echo "{PART}{side} {place}"'
    yield "IMAGEFACTORY_BEGAN=$(date +%s.%N); export IMAGEFACTORY_BEGAN"
    yield f"timeout -k 5 {PART_SECONDS} {shlex.join(words)} 2>&1 </dev/null"
    yield f'echo "{STATUS}$?"'


def _starter(site: Site, nodes: int) -> list[str]:
    if site.launcher.kind != "srun":
        return ["mpirun", "-n", "2"]
    return ["srun", f"--mpi={site.launcher.plugin}", f"--nodes={nodes}", "--ntasks=2", "--label"]


def _queued(words: Sequence[str], site: Site) -> list[str]:
    """srun outside a job asks for its own allocation: with the site's partition and account."""
    if words[0] != "srun":
        return list(words)
    own = ["--time=5"]
    own += [f"--partition={site.scheduler.partition}"] if site.scheduler.partition else []
    own += [f"--account={site.scheduler.account}"] if site.scheduler.account else []
    return ["srun", *own, *words[1:]]
