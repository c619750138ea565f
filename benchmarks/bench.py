"""make bench: how fast, as ratios against the alternative in the same run; writes docs/bench.md.

Run from the checkout after `imagefactory setup`. Nothing here is asserted: a noisy machine is no
defect. The goals are those of the issue that asked for the table.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from imagefactory.base.files import digest_of, write_text
from imagefactory.base.ordinary import ordinary_cache, ordinary_folder, ordinary_user
from imagefactory.base.report import Console
from imagefactory.base.values import ImageRef
from imagefactory.equivalence.measures import Window, choose_cells, measure, measure_pieces
from imagefactory.image import build, find_apptainer, plan_build, rebuild
from imagefactory.launch import GUARD
from imagefactory.model import Population, Spikes, find_model, resolve_parameters
from imagefactory.recipe import load_recipe
from imagefactory.registry import pull, push
from imagefactory.run import Mode, RunPlan, Via, cancel, execute, open_shell, plan_run
from imagefactory.run.job import parcel_of
from imagefactory.run.parcel import pack
from imagefactory.run.remote import open_link, submit_run
from imagefactory.sandbox import down, issue_token, load_sandbox, load_unicore, up

TOP = Path(__file__).parents[1]
PAGE = TOP / "docs" / "bench.md"
BIN = Path(sys.executable).parent
# The same files without Apptainer. Arguments: root, user, command. MPI needs what is mounted.
OUTSIDE = """
mount --rbind /dev "$0/dev"; mount --rbind /sys "$0/sys"
mount -t proc proc "$0/proc"; mount -t tmpfs tmpfs "$0/tmp"
user=$1; root=$0; shift
exec chroot --userspec="$user" "$root" "$@"
"""
BY_HAND = 'cd "$1" && mkdir -p output && sbatch --wait job.sh </dev/null >/dev/null'
PYTHONPATH = "/opt/nest/lib/python3.11/site-packages"


@dataclass(frozen=True)
class Row:
    """One line of the table; seconds, ours and the alternative's."""

    what: str
    ours: float
    alternative: str
    other: float
    goal: str

    def line(self) -> str:
        ratio = self.ours / self.other
        return (
            f"| {self.what} | {self.ours:.2f} s | {self.alternative} | {self.other:.2f} s "
            f"| {ratio:.2f} | {self.goal} |"
        )


def seconds(work: Callable[[], object]) -> float:
    """How long one call takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def paired(
    ours: Callable[[], object], other: Callable[[], object], times: int
) -> tuple[float, float]:
    """Medians of two calls, taken by turns so that both meet the same noise."""
    pairs = [(seconds(ours), seconds(other)) for _ in range(times)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def command(*argv: str | Path) -> Callable[[], object]:
    """A program as a call."""
    return lambda: subprocess.run([str(word) for word in argv], check=True, capture_output=True)


def measure_start() -> Row:
    ours, other = paired(
        command(BIN / "imagefactory", "--help"), command(sys.executable, "-c", "import click"), 15
    )
    return Row("`imagefactory --help`", ours, '`python -c "import click"`', other, "<= 1.5")


def measure_diff(folder: Path) -> Row:
    """Two large real locks compared, start of the program included, against reading their JSON."""
    locks = []
    for packed in sorted((TOP / "tests" / "data" / "locks").glob("large-*.lock.gz")):
        locks.append(folder / packed.stem)
        locks[-1].write_bytes(gzip.decompress(packed.read_bytes()))
    locks = locks or [
        TOP / "spack-envs" / name / "spack.lock" for name in ("esd-24.10", "esd-25.04")
    ]
    nodes = max(len(json.loads(path.read_text())["concrete_specs"]) for path in locks)
    read = "import json, sys; [json.load(open(path)) for path in sys.argv[1:]]"
    ours, other = paired(
        command(BIN / "imagefactory", "release", "diff", *locks),
        command(sys.executable, "-c", read, *locks),
        9,
    )
    what = f"`imagefactory release diff`, {nodes} packages"
    return Row(what, ours, "`json.load` of both locks", other, "< 1 s")


def measure_measures() -> Row:
    """All measures of 2 x 10 runs of 1250 neurons and 10 s; Elephant does one of them, times 20."""
    populations = (Population("excitatory", 0, 1000), Population("inhibitory", 1000, 250))
    runs = []
    for seed in range(20):
        keys = np.random.default_rng(seed).choice(1250 * 100_000, 220_000, replace=False)
        step, neuron = np.divmod(np.sort(keys), 1250)
        runs.append(Spikes(neuron, step + 1, 0.1, 10_000.0, populations))
    window = Window(0.0, 10_000.0)
    measure(runs[0], window)  # SciPy's import is not what is measured
    ours = seconds(lambda: [measure(run, window) for run in runs])
    other = 20 * seconds(elephant_work(runs[0]))
    return Row("measures of 20 runs, 1250 neurons, 10 s", ours, "Elephant", other, "<= 0.05")


def measure_memory() -> str:
    """What the measures hold at their peak: of a run, and of one of twenty times its spikes.

    NumPy tells its memory to tracemalloc; the spikes are drawn piece by piece, as a file is read.
    """
    populations = (Population("excitatory", 0, 1000), Population("inhibitory", 1000, 250))
    peaks = []
    for count in (1, 20):
        pieces = (draw_piece(place) for place in range(count))
        tracemalloc.start()
        measure_pieces(pieces, populations, 0.1, 10_000.0 * count, Window(0.0, 10_000.0 * count))
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    return (
        f"Memory of the measures at their peak: {peaks[0]:.0f} MB for 1 million spikes of 1250 "
        f"neurons, {peaks[1]:.0f} MB for 20 million."
    )


def draw_piece(place: int) -> tuple[np.ndarray, np.ndarray]:
    """Almost 2^20 spikes in order, of the `place`-th stretch of 10 s."""
    keys = np.random.default_rng(place).integers(0, 1250 * 100_000, 1 << 20)
    step, neuron = np.divmod(np.unique(keys), 1250)
    return neuron, step + 1 + place * 100_000


def elephant_work(spikes: Spikes) -> Callable[[], object]:
    """The same measures by Elephant, from Neo's spike trains, which are made before."""
    import elephant.statistics as statistics
    import neo
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import correlation_coefficient
    from quantities import ms

    trains = [
        neo.SpikeTrain((spikes.step[spikes.neuron == one] - 0.5) * 0.1 * ms, t_stop=10_000 * ms)
        for one in range(spikes.size)
    ]

    def work() -> None:
        warnings.simplefilter("ignore")  # of trains with few spikes
        for population in spikes.populations:
            members = trains[population.first : population.first + population.size]
            for train in members:
                statistics.mean_firing_rate(train)
                intervals = statistics.isi(train)
                statistics.cv(intervals)
                statistics.lv(intervals)
            chosen = [members[place] for place in choose_cells(population) - population.first]
            correlation_coefficient(BinnedSpikeTrain(chosen, bin_size=2 * ms))
            counts = BinnedSpikeTrain(members, bin_size=5 * ms).sparse_matrix.sum(axis=0)
            counts.var() / counts.mean()

    return work


def measure_rebuild(report: Console) -> Row:
    record = build(plan_build(load_recipe(TOP / "recipes" / "nest"), report), report)
    ours = seconds(command(BIN / "imagefactory", "image", "build", TOP / "recipes" / "nest"))
    return Row("build, nothing changed", ours, "the build itself", record.seconds, "<= 2 s")


def measure_check(sif: Path) -> Row:
    """The verdict on an image that was read before, start of the program included."""
    check = command(BIN / "imagefactory", "site", "check", sif, "--site", "here")
    check()
    ours, other = paired(check, command(BIN / "imagefactory", "image", "inspect", sif), 7)
    return Row("`imagefactory site check`, image known", ours, "`image inspect`", other, "< 2 s")


def measure_leaf(folder: Path, report: Console) -> list[Row]:
    """An image from a lock when one leaf is to be built, against all packages from source."""
    if not any(os.environ.get(name) for name in ("SPACK_ROOT", "IMAGEFACTORY_SPACK")):
        report.warn("build from a lock: left out, no Spack here (SPACK_ROOT is not set)")
        return []
    recipe = Path(shutil.copytree(TOP / "recipes" / "nest-spack", folder / "recipe"))
    text = (recipe / "recipe.yaml").read_text(encoding="utf-8")
    build(plan_build(load_recipe(recipe), report), report)  # its packages are kept now
    write_text(recipe / "recipe.yaml", text.replace("version: ", f"version: bench-{os.getpid()} #"))
    for kept in (ordinary_cache() / "spack" / "kept").rglob("py-pynn-*.spec.manifest.json"):
        kept.unlink()
    plan = plan_build(load_recipe(recipe), report)
    leaf = build(plan, report).seconds
    cold = rebuild(plan, report).seconds
    what = "image from a lock, one leaf to build"
    return [Row(what, leaf, "all its packages to build", cold, "<= 0.05")]


def measure_transfer(sif: Path, registry: str, report: Console, folder: Path) -> list[Row]:
    """Push and pull against the oras client and a copy on the same disk."""
    from oras.client import OrasClient

    client = OrasClient(hostname=registry, insecure=True)
    local = folder / "nest.sif"
    shutil.copyfile(sif, local)
    stamp = str(time.time_ns())
    copy = seconds(lambda: shutil.copyfile(local, folder / "copy.sif"))
    # Other bytes for each: a registry takes a blob once.
    other_sif = folder / "other.sif"
    shutil.copyfile(local, other_sif)
    for path, text in ((local, f"a{stamp}"), (other_sif, f"b{stamp}")):
        with path.open("ab") as stream:
            stream.write(text.encode())
    ours_ref = ImageRef.parse(f"oras://{registry}/bench/ours:{stamp}")
    their_name = f"{registry}/bench/theirs:{stamp}"
    pushed = seconds(lambda: push(local, ours_ref, report))
    theirs = seconds(
        lambda: client.push(
            target=their_name, files=[str(other_sif)], disable_path_validation=True, quiet=True
        )
    )
    again = seconds(lambda: push(local, ours_ref, report))
    pulled = seconds(lambda: pull(ours_ref, folder / "pulled.sif", report))
    their_pull = seconds(lambda: client.pull(target=their_name, outdir=str(folder / "theirs")))
    assert digest_of(folder / "pulled.sif") == digest_of(local)
    size = local.stat().st_size / 1e6
    return [
        Row(f"push, {size:.0f} MB", pushed, "oras-py push", theirs, ""),
        Row("push again, nothing changed", again, "first push", pushed, ""),
        Row(f"pull, {size:.0f} MB, hashed", pulled, "oras-py pull, not hashed", their_pull, ""),
        Row(f"pull, {size:.0f} MB, hashed", pulled, "copy on the same disk", copy, ""),
    ]


def measure_unicore(sif: Path, registry: str, report: Console) -> list[Row]:
    """A run through UNICORE (the double) against the same sbatch by hand, the image being there;
    and what our side of a submission takes."""
    from imagefactory.run.execute import fetching
    from imagefactory.run.keeping import new_record

    ref = f"oras://{registry}/bench/nest:unicore"
    push(sif, ImageRef.parse(ref), report)
    address = load_unicore()
    assert address is not None
    os.environ["IMAGEFACTORY_TOKEN"] = issue_token(address, "scientist", 3600).reveal()
    asked: dict[str, Any] = {"ranks": 1, "overrides": {"duration_ms": 300, "warmup_ms": 100}}

    def plan(via: Via) -> RunPlan:
        return plan_run(ref, "bookworm", "balanced-random", report=report, via=via, **asked)

    def through_unicore() -> None:
        execute(plan(Via.UNICORE), report)

    def by_hand() -> None:
        planned = plan(Via.SHELL)
        with (
            open_shell(planned.site.access, report) as shell,
            tempfile.TemporaryDirectory() as name,
        ):
            folder = Path(name)
            pack(parcel_of(planned.model, planned.parameters_text, planned.job), folder / "in.tar")
            shell.send(folder / "in.tar", planned.folder)
            done = shell.run(BY_HAND, planned.folder, timeout=600)
            assert done.status == 0, done.tail
            record = replace(new_record(planned), folder=folder)
            fetching(record, shell)(folder / "output")

    through_unicore()
    ours, other = paired(through_unicore, by_hand, 5)
    beyond, http = submission(plan(Via.UNICORE), report)
    return [
        Row(
            "a run through UNICORE, image there",
            ours,
            "the same `sbatch --wait` by hand, with its own pauses",
            other,
            "",
        ),
        Row("submission, all but its HTTP calls", beyond, "its HTTP calls", http, "< 0.05 s"),
    ]


def submission(planned: RunPlan, report: Console) -> tuple[float, float]:
    """Seconds of a submission beyond PyUNICORE's calls, and within them: medians of ten, which are
    all cancelled."""
    from pyunicore.client import Transport

    link, inside, rows = open_link(planned.site, report), [0.0], []
    real = Transport.run_method

    def timed(self: Transport, *words: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return real(self, *words, **options)
        finally:
            inside[0] += time.perf_counter() - began

    with mock.patch.object(Transport, "run_method", timed):
        for number in range(10):
            inside[0] = 0.0
            one = replace(planned, id=f"{planned.id}-{number}")
            took = seconds(lambda: submit_run(one, Mode.BATCH, link, report))  # noqa: B023
            rows.append((took - inside[0], inside[0]))
            cancel(one.id, report, link)
    return statistics.median(a for a, _ in rows), statistics.median(b for _, b in rows)


def measure_run(sif: Path, report: Console) -> list[Row]:
    """One rank of the model in the image, against the same files outside it (chroot; root only)."""
    if os.geteuid() != 0:
        report.warn("run in the image against outside: left out, chroot needs root")
        return []
    apptainer = find_apptainer(report)
    folder = ordinary_folder(ordinary_cache() / f"bench-{os.getpid()}")
    try:
        root = folder / "root"
        apptainer.runner.run(
            apptainer.program, "build", "--sandbox", root, sif, timeout=600, cwd=folder
        )
        work = write_model(root / "bench")
        script = "cd /bench && python3 inside/start.py parameters.json"
        within = apptainer.exec_argv(sif, ["sh", "-c", script], ["--bind", f"{work}:/bench"])
        user = ordinary_user()
        # Without HOME libpmix 4.2.2 crashes, for this user has no entry in the image.
        outside = [
            "unshare", "--mount", "sh", "-ec", OUTSIDE, root, f"{user.pw_uid}:{user.pw_gid}",
            "env", "-i", "PATH=/usr/bin:/bin", "HOME=/tmp", f"PYTHONPATH={PYTHONPATH}",
            "sh", "-c", script,
        ]  # fmt: skip
        ours, other = paired(
            lambda: apptainer.runner.run(*within, timeout=600, cwd=Path("/")),
            command(*outside),
            3,
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return [Row("one rank, 1 s of the model, in the image", ours, "same files, chroot", other, "")]


def measure_guard(sif: Path, report: Console) -> Row:
    """What the guard adds to a rank's start, against the imports of the program; of two ranks the
    slower one."""
    small = {"duration_ms": 10.0, "warmup_ms": 0.0}
    plan = plan_run(str(sif), "here", "balanced-random", report=report, overrides=small)
    timings = execute(plan, report).timings
    spent = timings["guard_s"] + timings["guard_exchange_s"]
    what = (
        f"guard of a rank ({1000 * timings['guard_s']:.1f} ms of its own, "
        f"{1000 * timings['guard_exchange_s']:.1f} ms with the other)"
    )
    return Row(what, spent, "the rank's imports", timings["import_s"], "ms, not seconds")


def write_model(folder: Path) -> Path:
    """A run folder of the model for one rank."""
    model = find_model("balanced-random")
    for place in (folder, folder / "inside", folder / "output"):
        ordinary_folder(place)
    for path in (*model.files, GUARD):
        shutil.copyfile(path, folder / "inside" / path.name)
    parameters = resolve_parameters(model, {"duration_ms": 1000.0})
    document = {
        "schema": 1, "model": model.name, "backend": "nest", "ranks": 1, "threads": 1,
        "parameters": parameters,
    }  # fmt: skip
    write_text(folder / "parameters.json", json.dumps(document))
    return folder


def write_page(rows: list[Row], memory: str) -> None:
    """The table as a page of the docs."""
    cpu = next(
        (line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), "unknown CPU",
    )  # fmt: skip
    head = [
        "# Speed: against the alternative, in the same run",
        "",
        f"Written by `make bench` on {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {cpu}.",
        "Ratios carry the information; seconds are those of one machine, and a noisy one.",
        "",
        "| what | ours | alternative | alternative | ratio | goal |",
        "|---|---|---|---|---|---|",
    ]
    write_text(PAGE, "\n".join([*head, *(row.line() for row in rows), "", memory]) + "\n")


def main() -> None:
    """Measure everything; the sandbox is taken down again if it was not up."""
    report = Console()
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure_start(), measure_diff(Path(folder)), measure_measures()]
        rows.append(measure_rebuild(report))
        rows += measure_leaf(Path(folder), report)
    sif = build(plan_build(load_recipe(TOP / "recipes" / "nest"), report), report).sif
    rows += [measure_check(sif), measure_guard(sif, report)]
    was_up = load_sandbox() is not None
    try:
        registry = up(report).registry
        with tempfile.TemporaryDirectory() as folder:
            rows += measure_transfer(sif, registry, report, Path(folder))
        rows += measure_unicore(sif, registry, report)
    finally:
        if not was_up:
            down(report)
    rows += measure_run(sif, report)
    write_page(rows, measure_memory())
    print(PAGE.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
