"""The report: well-formed, nothing from outside, nothing unescaped."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.base.report import Silent
from imagefactory.equivalence import (
    Comparison,
    compare,
    compare_all,
    load_margins,
    with_calibration,
    write_figure,
    write_report,
)
from imagefactory.equivalence.charts import choose_window, mean_rates
from imagefactory.equivalence.html import render
from imagefactory.equivalence.statement import state
from imagefactory.run import RunRecord
from tests.conftest import Golden
from tests.unit.equivalence.conftest import DURATION, MakeRun, random_pairs, spikes_from

VOID = {"meta", "br", "line", "path", "rect", "polyline", "circle"}
EVIL = '<script>alert("x")</script>&'


def compare_runs(a: RunRecord, b: RunRecord) -> Comparison:
    return compare([a], [b])


class Checker(HTMLParser):
    """Keeps the open elements; fails where one is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        given = dict(attrs)
        self.links += [given[name] or "" for name in ("href", "src") if name in given]
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag


def parse(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


def three(make_run: MakeRun) -> list[Comparison]:
    a = make_run("run-a")
    different = make_run("run-c", spikes_from(random_pairs(2)), parameters__weight_scale=1.02)
    return [
        compare_runs(a, make_run("run-b", site="bookworm")),
        compare_runs(a, different),
        compare_runs(a, make_run("run-d", machine__cpu=None, geometry__virtual_processes=4)),
    ]


def test_report_is_well_formed_and_self_contained(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(three(make_run), path)
    text = path.read_text(encoding="utf-8")
    checker = parse(text)
    assert checker.links == ["#c1", "#c2", "#c3"]
    assert checker.ids == ["c1", "c2", "c3"]
    assert "script" not in checker.seen
    assert not re.search(r"https?://|url\(|@import", text)
    assert [text.count(f"<h2>{word}") for word in ("IDENTICAL", "DIFFERENT", "INVALID")] == [1] * 3


def test_report_says_what_the_verdict_says(make_run: MakeRun) -> None:
    text = render(three(make_run))
    assert "first divergence" in text
    assert "expected" in text
    assert "weight_scale 1 and 1.02" in text
    assert "the record does not tell the CPU model" in text
    assert "= differs" in text
    assert "srun --mpi=pmix apptainer exec image.sif" in text


def test_everything_of_a_record_is_escaped(make_run: MakeRun) -> None:
    a = make_run("run-a", machine__cpu=EVIL, site=EVIL, commands=[[EVIL]])
    b = make_run("run-b", spikes_from(random_pairs(2)), parameters__note=EVIL, versions__nest=EVIL)
    c = make_run("run-c", state="FAILED", failure={"what": EVIL, "where": EVIL, "fix": EVIL})
    text = render([compare_runs(a, b), compare_runs(a, c)])
    parse(text)
    assert "<script" not in text
    assert text.count("&lt;script&gt;") >= 7


def test_report_without_spikes_has_no_drawing(make_run: MakeRun) -> None:
    text = render([compare_runs(make_run("run-a"), make_run("run-b", spikes__file=None))])
    parse(text)
    assert "<svg" not in text


def test_window_shows_the_neuron_that_diverges(make_run: MakeRun) -> None:
    pairs = [pair for pair in random_pairs(1) if pair[1] != 43]
    a, b = spikes_from(pairs), spikes_from([*pairs, (1990, 43)])
    comparison = compare_runs(make_run("run-a", a), make_run("run-b", b))
    window = choose_window(a, comparison.divergence)
    assert 43 in window.rows
    assert window.start <= 199.0 <= window.end <= DURATION
    assert set(choose_window(a, None).rows) <= set(range(50))


def test_mean_rates_leave_the_warm_up_out() -> None:
    pairs = [(step, 0) for step in range(100, 2001, 100)] + [(700, 45)]
    (_, excitatory, cv), (_, inhibitory, none) = mean_rates(spikes_from(pairs), 50.0)
    assert excitatory == 15 / 40 / 0.15
    assert inhibitory == 1 / 10 / 0.15
    assert cv == 0.0
    assert none != none


def statistical(make_run: MakeRun) -> list[Comparison]:
    """Three sides of four runs each, every pair compared; the last fires more."""
    sides = [
        [
            make_run(
                f"run-{letter}{seed}", spikes_from(random_pairs(seed, count)), site=letter,
                parameters__seed=seed,
            )
            for seed in range(first, first + 4)
        ]
        for letter, first, count in (("a", 1, 3000), ("b", 5, 3000), ("<c>", 9, 6000))
    ]  # fmt: skip
    return compare_all(sides)


def test_report_of_ensembles(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagefactory.equivalence.calibration.calibrate.__defaults__", (20,))
    found = statistical(make_run)
    found[0] = with_calibration(found[0], Silent())
    text = render(found)
    checker = parse(text)
    assert checker.ids == ["c1", "c2", "c3"]
    assert checker.links.count("#c1") == 3  # the list, and the matrix on both sides of its diagonal
    assert text.count("Differences against their margins") == 3
    assert text.count("Distribution functions over neurons") == 3
    assert text.count("<h3>Error rates") == 1
    assert text.count("Difference: grey") == 0
    assert 'class="interval beyond"' in text
    assert "<c>" not in text
    for comparison in found:
        assert html.escape(state(comparison)) in text


def test_figure_is_a_file_of_its_own(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "figure.svg"
    comparison = statistical(make_run)[1]
    write_figure(comparison, path)
    root = ElementTree.parse(path).getroot()  # noqa: S314 - our own file
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    names = [each.tag.rpartition("}")[2] for each in root.iter()]
    # A thin line for each run, and a thick one for each side, in 2 x 3 panels, CV aside.
    assert names.count("polyline") >= 4 * (8 + 2)
    assert names.count("style") == 1
    assert comparison.outcome.statistics is not None
    labels = [each.text for each in root.iter() if each.tag.endswith("text")]
    assert sum(label is not None and ": " in label for label in labels) == len(
        comparison.outcome.statistics.intervals
    )


def test_no_figure_without_statistics(make_run: MakeRun, tmp_path: Path) -> None:
    comparison = compare_runs(make_run("run-a"), make_run("run-b"))
    with pytest.raises(UsageFault, match="there is no figure"):
        write_figure(comparison, tmp_path / "figure.svg")


def test_what_may_be_cited(make_run: MakeRun, golden: Golden) -> None:
    wide = replace(
        load_margins(), least_runs=3, least_warmup_ms=0, least_correlation_difference=2.0,
        means=dict.fromkeys(load_margins().means, 0.99),
        frozen_excess=dict.fromkeys(load_margins().frozen_excess, 0.99),
    )  # fmt: skip
    a, b, c = make_run("run-a"), make_run("run-b"), make_run("run-c", spikes_from(random_pairs(2)))
    more = statistical(make_run)
    found = [
        compare_runs(a, b),
        compare_runs(a, c),
        compare_runs(a, make_run("run-d", machine__cpu=None)),
        compare_runs(
            a,
            make_run(
                "run-e",
                spikes_from(random_pairs(3)),
                parameters__seed=8,
                parameters__weight_scale=1.02,
            ),
        ),
        more[1],
        compare(more[0].a, more[0].b),
        compare(more[0].a, more[0].b, wide),
    ]
    lines = [f"{each.verdict}: {state(each)}" for each in found]
    golden.check("equivalence/statements.txt", "\n\n".join(lines) + "\n")
    assert [each.verdict for each in found[-3:]] == ["DIFFERENT", "INCONCLUSIVE", "EQUIVALENT"]
