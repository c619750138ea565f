"""Equivalence on real parts: Elephant's measures, and real runs of NEST."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest

from imagefactory.base.process import Runner
from imagefactory.base.report import Silent
from imagefactory.equivalence import compare, compare_all, explain, write_report
from imagefactory.equivalence.distances import measure_distances
from imagefactory.equivalence.measures import LEAST_SPIKES, Window, measure
from imagefactory.model import open_spikes, write_gdf, write_spikes
from imagefactory.run import execute, plan_run
from tests.unit.equivalence.conftest import DURATION, MakeRun, make_run
from tests.unit.equivalence.trains import make_trains

__all__ = ["make_run"]  # a fixture of the unit tests


@pytest.mark.filterwarnings("ignore")
def test_equal_to_elephant() -> None:
    import elephant.statistics as statistics
    import neo
    import quantities as pq
    from elephant.conversion import BinnedSpikeTrain
    from elephant.spike_train_correlation import correlation_coefficient

    spikes = make_trains(3, sizes=(12, 4), shared=0.3, cv=0.7, spread=0.6)
    found = measure(spikes, Window(200.0, 2000.0))
    for population, ours in zip(spikes.populations, found, strict=True):
        trains = []
        for neuron in range(population.first, population.first + population.size):
            step = spikes.step[(spikes.neuron == neuron) & (spikes.step > 2000)]
            # Half a step earlier: Elephant's bins hold their left edge, ours their right one.
            times = (step - 0.5) * spikes.dt_ms * pq.ms
            trains.append(neo.SpikeTrain(times, t_start=200 * pq.ms, t_stop=2000 * pq.ms))
        kept = [len(train) >= LEAST_SPIKES for train in trains]
        assert any(kept)
        rates = [statistics.mean_firing_rate(each).rescale("Hz").item() for each in trains]
        pairs = correlation_coefficient(BinnedSpikeTrain(trains, bin_size=2 * pq.ms))
        histogram = statistics.time_histogram(trains, bin_size=5 * pq.ms, output="counts")
        counts = histogram.magnitude.ravel()
        close(ours.rate, rates)
        close(ours.cv, _of(statistics.cv, trains, kept))
        close(ours.lv, _of(statistics.lv, trains, kept))
        close(ours.correlation, pairs[np.triu_indices(len(trains), 1)])
        close(ours.fano, counts.var() / counts.mean())


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def _of(function: Any, trains: list[Any], kept: list[bool]) -> Any:
    import elephant.statistics as statistics

    return np.array([
        float(function(statistics.isi(train))) if keep else np.nan
        for train, keep in zip(trains, kept, strict=True)
    ])  # fmt: skip


def test_distances_are_those_of_scipy() -> None:
    from scipy.stats import ks_2samp, wasserstein_distance

    rng = np.random.default_rng(3)
    samples = [rng.normal(place / 4, 1, 200 + place).round(2) for place in range(4)]
    largest, moved = measure_distances(samples)
    for a in range(4):
        for b in range(4):
            assert largest[a, b] == pytest.approx(ks_2samp(samples[a], samples[b]).statistic)
            assert moved[a, b] == pytest.approx(wasserstein_distance(samples[a], samples[b]))


def test_single_cells_tell_what_spinnakers_arithmetic_changes(
    nest_sif: Path, report: Silent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The height of an EPSP and nothing else: docs/backends.md says how much, and why."""
    monkeypatch.setenv("IMAGEFACTORY_DATA", str(tmp_path))
    nest, emulated = (
        execute(
            plan_run(
                str(nest_sif), "here", "few-cells", report=report, ranks=1,
                overrides={"dt_ms": 1.0}, backend=backend,
            ),
            report,
        )
        for backend in ("nest", "spinnaker-emulated")
    )  # fmt: skip
    found = explain(compare([nest], [emulated]))
    assert found.startswith("DIFFERENT")
    assert "no SpiNNaker took part" in found
    assert "1 of its parts differ" in found
    assert "the heights of an EPSP differ by +0.6 %" in found


# --- the report, in a real browser ------------------------------------------------------------


@pytest.fixture
def browser() -> str:
    found = which("chromium") or which("chromium-browser") or which("google-chrome")
    if found is None:
        pytest.skip("no browser here: imagefactory setup --tests")
    return str(found)


def test_the_report_in_a_browser(browser: str, make_run: MakeRun, tmp_path: Path) -> None:
    """Everything is inside the page, is drawn, and has its place."""
    sides = [
        [
            make_run(
                f"run-{letter}{seed}", make_trains(seed, duration_ms=DURATION, rate_hz=rate),
                parameters__seed=seed, network__digest=f"{seed:032x}",
            )
            for seed in range(first, first + 4)
        ]
        for letter, first, rate in (("a", 1, 60.0), ("b", 5, 60.0), ("c", 9, 120.0))
    ]  # fmt: skip
    page = tmp_path / "report.html"
    write_report(compare_all(sides), page)
    # The page's own elements tell where the browser has put them.
    probe = page.read_text("utf-8").replace("</body>", f"<script>{MEASURE}</script></body>")
    page.write_text(probe, encoding="utf-8")
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1100,900"]
    seen = Runner(Silent()).run(
        *words, "--dump-dom", page.as_uri(), timeout=120, extra={"HOME": str(tmp_path)}
    )
    found = json.loads(re.findall(r'<meta name="seen" content="([^"]+)"', seen.output)[0]
                       .replace("&quot;", '"'))  # fmt: skip
    assert found["wide"] == [], "nothing is wider than the page"
    assert found["flat"] == [], "every drawing has its place"
    assert found["drawings"] == 3 * (2 + 2 + 2)  # intervals, distributions, rasters, rates
    assert found["requests"] == 0
    assert found["headings"][:2] == ["INCONCLUSIVE", "DIFFERENT"]


MEASURE = """
const boxes = [...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect());
const wide = [...document.querySelectorAll('body *')].filter(
  e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1);
const meta = document.createElement('meta');
meta.name = 'seen';
meta.content = JSON.stringify({
  drawings: boxes.length,
  flat: boxes.filter(b => b.width < 200 || b.height < 60).map(b => b.height),
  wide: wide.slice(0, 5).map(e => e.tagName + ' ' + e.textContent.slice(0, 40)),
  requests: performance.getEntriesByType('resource').length,
  headings: [...document.querySelectorAll('h2')].map(e => e.textContent),
});
document.head.append(meta);
"""


# --- other tools ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_neo_reads_our_spikes(tmp_path: Path) -> None:
    import quantities as pq
    from elephant.statistics import mean_firing_rate
    from neo.io import NestIO

    spikes = make_trains(3, sizes=(12, 4), duration_ms=DURATION)
    write_spikes(spikes, tmp_path / "spikes.npz")
    write_gdf(open_spikes(tmp_path / "spikes.npz"), tmp_path / "spikes.gdf")
    segment = NestIO(filenames=str(tmp_path / "spikes.gdf")).read_segment(
        gid_list=list(range(16)), t_start=0 * pq.ms, t_stop=DURATION * pq.ms,
        id_column_gdf=0, time_column_gdf=1, time_unit=pq.ms,
    )  # fmt: skip
    assert len(segment.spiketrains) == 16
    rates = measure(spikes, Window(0.0, DURATION))
    for neuron, train in enumerate(segment.spiketrains):
        steps = np.rint(train.rescale("ms").magnitude / spikes.dt_ms)
        assert steps.tolist() == spikes.step[spikes.neuron == neuron].tolist()
        place = rates[0].rate if neuron < 12 else rates[1].rate
        rate = mean_firing_rate(train).rescale("Hz").item()
        assert place[neuron if neuron < 12 else neuron - 12] == pytest.approx(rate)
