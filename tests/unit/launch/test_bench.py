"""The micro-benchmark: its script, what is read of its output, floors and plot."""

from __future__ import annotations

import json

import pytest

from imagefactory.base.errors import ConfigurationFault
from imagefactory.launch import GUARD
from imagefactory.launch.bench import (
    LARGE,
    Bench,
    Floor,
    bench_path,
    draw,
    floors_of,
    judge_bench,
    read_floors,
    read_parts,
)
from imagefactory.launch.bench_script import bench_script
from imagefactory.launch.facts import ImageSide, SiteSide
from imagefactory.launch.rules import Verdict
from tests.conftest import Golden
from tests.unit.run.fake_site import slurm_site

IMAGE = ImageSide(mpi="Open MPI", mpi_version="4.1.4")
LANE = "0: [1.2] [c1:7:0] x.c:1 UCX INFO ctx_0 intra-node cfg#1 tag(sysv/memory cma/memory)\n"


def said(rank: int, latency: float, size: int = 2) -> str:
    seen = {
        "rank": rank, "size": size, "host": "c1", "start_s": 0.5 + rank, "import_s": 0.1,
        "init_s": 0.02, "one_way_s": {"8": latency, str(LARGE): latency * 1000},
    }  # fmt: skip
    return f"{rank}: IMAGEFACTORY-BENCH {json.dumps(seen)}\n"


def part(name: str, body: str, status: int = 0) -> str:
    return f"IMAGEFACTORY-PART {name}\n{body}IMAGEFACTORY-STATUS {status}\n"


def answer(latency: float = 1e-6) -> str:
    return (
        "motd\n"
        + part("image one node", LANE + said(0, latency) + said(1, latency))
        + part("osu one node", "", 127)
        + part("host one node", "0: OSError: libmpi.so.40: cannot open\n", 1)
    )


def test_what_is_read() -> None:
    image, host = read_parts(answer())
    assert (image.latency, image.start, image.tool) == (1e-6, 1.5, "built in")
    assert image.bandwidth == pytest.approx(LARGE / 1e-3)
    assert image.lanes == ("UCX, intra-node: sysv cma",)
    assert "exit status 1: 0: OSError: libmpi.so.40" in host.why


def test_osu_takes_the_place_of_the_built_in() -> None:
    osu = part("osu one node", f"0: # OSU MPI Latency\n0: 8     0.50\n0: {LARGE}   400.25\n")
    (image,) = read_parts(part("image one node", said(0, 1e-6) + said(1, 1e-6)) + osu)
    assert image.tool == "osu_latency"
    assert image.latency == pytest.approx(5e-7)
    assert image.init == 0.02


@pytest.mark.parametrize(
    "body", [said(0, 1e-6, size=1) + said(0, 1e-6, size=1), said(0, 1e-6), said(0, 1e-6)[:60]]
)
def test_singletons_and_cut_output_are_no_measurement(body: str) -> None:
    (image,) = read_parts(part("image one node", body))
    assert image.one_way is None
    assert image.why


def test_the_first_benchmark_sets_the_floor_and_a_slow_transport_is_below_it() -> None:
    first = judge_bench("alps", "x.sif", answer())
    assert first.verdict is Verdict.PASS
    assert read_floors("alps") == {"one node": Floor(5 * 1e-6, LARGE / 1e-3 / 5)}
    assert judge_bench("alps", "x.sif", answer(3e-6)).verdict is Verdict.PASS
    slow = judge_bench("alps", "x.sif", answer(3e-5))
    assert slow.verdict is Verdict.FAIL
    assert read_floors("alps") == first.floors
    assert judge_bench("alps", "x.sif", answer(3e-5), reset=True).verdict is Verdict.PASS


def test_nothing_measured_is_no_verdict_and_is_not_kept() -> None:
    nothing = judge_bench("alps", "x.sif", part("image one node", "srun: error: no\n", 1))
    assert nothing.verdict is Verdict.UNKNOWN
    assert not bench_path("alps").exists()


def test_a_floor_that_somebody_spoiled_is_an_error() -> None:
    kept = judge_bench("alps", "x.sif", answer()).file
    assert kept is not None
    kept.write_text(kept.read_text().replace('"latency": ', '"latency": -', 1))
    with pytest.raises(ConfigurationFault):
        read_floors("alps")


def test_the_plot(golden: Golden) -> None:
    measured = read_parts(answer() + part("image two nodes", said(0, 9e-6) + said(1, 9e-6)))
    golden.check("launch/bench.svg", draw(Bench("<alps>", "2026-11-23", "x", measured, {})))


def test_the_lines(golden: Golden) -> None:
    measured = read_parts(answer())
    shown = Bench("alps", "2026-11-23", "x", measured, floors_of(measured))
    golden.check("launch/bench.txt", "\n".join(shown.lines()) + "\n")


def test_the_script(golden: Golden) -> None:
    text = bench_script(
        IMAGE, slurm_site(), SiteSide(launcher="slurm"), "/s/x.sif", "/w/a b", "numpy", "bench-1"
    )
    program = GUARD.with_name("pingpong.py").read_text("utf-8")
    assert program in text
    golden.check("launch/bench_script.txt", text.replace(program, "PROGRAM\n"))
