"""The controls: what is tried, how trials are drawn and counted, and what is made of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imagefactory.base.errors import UsageFault
from imagefactory.base.report import Silent
from imagefactory.cli import main
from imagefactory.equivalence import Verdict, control_runs, control_trials, load_margins
from imagefactory.equivalence import plan_controls as plan
from imagefactory.equivalence.control_page import (
    explain_controls,
    list_failings,
    upper_bound,
    write_up,
)
from imagefactory.equivalence.control_runs import CHANGES, RunCache, change_runs
from imagefactory.equivalence.control_trials import try_control
from imagefactory.equivalence.controls import (
    TINY,
    Control,
    Ensemble,
    Tried,
    Truth,
    key_of,
    list_groups,
)
from imagefactory.model import find_model, resolve_parameters
from imagefactory.run import RunRecord, read_record
from imagefactory.run.record import write_record
from tests.conftest import Golden
from tests.unit.equivalence.conftest import MakeRun, records_of

NETWORK = find_model("balanced-random")
ONE, OTHER = Ensemble(TINY, 1), Ensemble(TINY, 101)
EQUIVALENT, DIFFERENT = Verdict.EQUIVALENT, Verdict.DIFFERENT


def every_control() -> list[Control]:
    return [control for group in list_groups() for control in group.controls]


# --- the list --------------------------------------------------------------------------------


def test_the_parameters_of_every_control_can_be_run() -> None:
    for control in every_control():
        for side in (control.a, control.b):
            for seed in (side.seeds[0], side.seeds[-1]):
                assert resolve_parameters(NETWORK, side.overrides(seed))["seed"] == seed
            assert resolve_parameters(NETWORK, side.probe.overrides(1))


def test_the_list_has_what_must_be_there() -> None:
    names = {control.name for control in every_control()}
    assert names >= {
        "other seeds", "other random numbers (Philox)", "weights +2 %", "time step 1 ms",
        "2 % of synapses lost", "5 % of synapses lost", "delivery guard off, 2 ranks",
        "silent network", "run cut at its half", "spikes one step later", "two neurons swapped",
        "no spikes in the file",
    }  # fmt: skip
    assert all(control.change in CHANGES for control in every_control() if control.change)


def test_two_sides_of_a_control_share_no_run_unless_they_are_pairs() -> None:
    for control in every_control():
        shared = set(control.a.seeds) & set(control.b.seeds)
        assert bool(shared) is (control.paired or control.a == control.b), control.name
        if control.a == control.b and not control.paired:
            assert control.a.count >= 20


@pytest.mark.parametrize(
    "changed", [{"ranks": 2}, {"threads": 2}, {"parameters": {**TINY, "n_exc": 121}}], ids=str
)
def test_what_decides_the_spikes_is_in_the_key(changed: dict[str, Any]) -> None:
    other = replace(ONE, **changed)
    keys = {
        key_of(image, model, ensemble, ensemble.overrides(seed))
        for image in ("i", "j") for model in ("m", "n") for ensemble in (ONE, other)
        for seed in (1, 2)
    }  # fmt: skip
    assert len(keys) == 16


# --- the cache -------------------------------------------------------------------------------


class FakeSite:
    """Stands in for runs: each gives a record with spikes of its seed, in a folder of its own."""

    def __init__(self, make: MakeRun, folder: Path) -> None:
        self.make, self.folder, self.made = make, folder, 0

    def plan_run(self, image: str, site: str, model: str, **options: Any) -> dict[str, Any]:
        return {"overrides": options["overrides"], "ranks": options["ranks"]}

    def execute(self, plan: dict[str, Any], report: Silent) -> RunRecord:
        self.made += 1
        seed = plan["overrides"]["seed"]
        (record,) = records_of(f"{self.made}-", [seed], self.make)
        write_record(record)
        return record


@pytest.fixture
def site(make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSite:
    fake = FakeSite(make_run, tmp_path)
    monkeypatch.setattr(control_runs, "plan_run", fake.plan_run)
    monkeypatch.setattr(control_runs, "execute", fake.execute)
    return fake


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.sif"
    path.write_bytes(b"an image")
    return path


def test_runs_are_made_once(site: FakeSite, image: Path, tmp_path: Path) -> None:
    cache = RunCache({"nest": image}, tmp_path / "controls")
    two = [replace(ONE, count=2), replace(OTHER, count=2)]
    assert cache.count(two) == (5, 5)
    cache.fill(two, Silent())
    assert site.made == 5  # the probe of both, and two runs each
    assert cache.count(two) == (0, 5)
    cache.fill(two, Silent())
    assert site.made == 5
    assert [record.parameters["seed"] for record in cache.read(two[1])] == [101, 102]


def test_changed_files_keep_the_runs_if_the_probe_is_as_before(
    site: FakeSite, image: Path, tmp_path: Path
) -> None:
    one = [replace(ONE, count=2)]
    cache = RunCache({"nest": image}, tmp_path / "controls")
    cache.fill(one, Silent())
    cache.files = "others"
    assert cache.count(one)[0] == 3
    cache.fill(one, Silent())
    assert site.made == 4  # the probe again, and nothing else


def test_another_image_has_runs_of_its_own(site: FakeSite, image: Path, tmp_path: Path) -> None:
    one = [replace(ONE, count=2)]
    RunCache({"nest": image}, tmp_path / "controls").fill(one, Silent())
    image.write_bytes(b"another image")
    assert RunCache({"nest": image}, tmp_path / "controls").count(one)[0] == 3


# --- changes after the fact ------------------------------------------------------------------


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_changed_run_is_whole_but_for_its_change(
    make_run: MakeRun, tmp_path: Path, change: str
) -> None:
    from imagefactory.equivalence import compare

    run = make_run("run-a", network__use_compressed_spikes=True, parameters__delivery_guard=False)
    sound = make_run("run-b")
    (changed,) = change_runs([run], change, tmp_path / "changed")
    changed = replace(changed, network={**changed.network, "use_compressed_spikes": False})
    found = compare([sound], [changed])
    words = {
        "shift": DIFFERENT, "swap": DIFFERENT, "empty": Verdict.INVALID,
        "truncate": Verdict.INVALID, "cut file": Verdict.INVALID,
        "hide compression": Verdict.IDENTICAL,
    }  # fmt: skip
    assert found.verdict is words[change]
    assert len(found.outcome.faults) <= 1


# --- trials ----------------------------------------------------------------------------------


class Shelf:
    """A cache that has the runs it is given."""

    def __init__(self, *sides: Sequence[RunRecord]) -> None:
        self.sides = dict(zip((1, 101), sides, strict=False))

    def read(self, ensemble: Ensemble) -> Sequence[RunRecord]:
        return self.sides[ensemble.first]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_trials, "TRIALS", 6)
    monkeypatch.setattr(control_trials, "RUNS", 4)


MARGINS = replace(load_margins(), least_runs=3, least_warmup_ms=0.0)


@pytest.mark.usefixtures("few")
def test_statistical_trials_are_drawn_and_counted(make_run: MakeRun) -> None:
    shelf: Any = Shelf(records_of("a", range(1, 10), make_run))
    found = try_control(Control("other seeds", Truth.SAME, (), ONE, ONE), shelf, MARGINS)
    assert found.trials == 6
    assert found.share(Verdict.INCONCLUSIVE) == 1.0
    assert found.needed is None or found.needed > 4


@pytest.mark.usefixtures("few")
def test_one_unequal_pair_decides_a_trial(make_run: MakeRun) -> None:
    a = records_of("a", range(1, 6), make_run)
    b = records_of("b", range(1, 6), make_run)
    control = Control("pairs", Truth.OTHER, ("DIFFERENT",), ONE, OTHER, paired=True)
    shelf: Any = Shelf(a, b)
    assert try_control(control, shelf, MARGINS).counts == {Verdict.IDENTICAL: 6}
    shelf = Shelf(a, [replace(b[0], spikes=None), *b[1:]])
    counts = try_control(control, shelf, MARGINS).counts
    # Four of five pairs are drawn: the bad one is in most trials, not in all.
    assert set(counts) == {Verdict.INVALID, Verdict.IDENTICAL}
    assert counts[Verdict.INVALID] > counts[Verdict.IDENTICAL]


def test_draws_have_no_run_twice() -> None:
    own, none = np.arange(20), np.arange(0)
    for a, b in control_trials._draw(own, none):
        assert len(set(a) | set(b)) == 20


def tried(counts: dict[Verdict, int], truth: Truth, *wanted: str) -> Tried:
    return Tried(Control("name", truth, wanted, ONE, OTHER), counts, "because")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (tried({EQUIVALENT: 190, DIFFERENT: 10}, Truth.SAME, "EQUIVALENT"), []),
        (tried({EQUIVALENT: 189, DIFFERENT: 11}, Truth.SAME, "EQUIVALENT"), ["5.5 % false alarms"]),
        (
            tried({EQUIVALENT: 179, Verdict.INCONCLUSIVE: 21}, Truth.SAME, "EQUIVALENT"),
            ["89.5 % EQUI"],
        ),
        (tried({EQUIVALENT: 2, DIFFERENT: 198}, Truth.OTHER, "DIFFERENT"), []),
        (tried({EQUIVALENT: 3, DIFFERENT: 197}, Truth.OTHER, "DIFFERENT"), ["1.5 % false passes"]),
        (tried({DIFFERENT: 200}, Truth.OTHER, "INVALID"), ["most trials end DIFFERENT"]),
        (tried({EQUIVALENT: 100, DIFFERENT: 100}, Truth.ASKED), []),
    ],
)
def test_the_goals(found: Tried, said: list[str]) -> None:
    failings = list(found.failings())
    assert len(failings) == len(said)
    assert all(text in failing for text, failing in zip(said, failings, strict=True))


@pytest.mark.parametrize(("passed", "bound"), [(0, 0.01487), (2, 0.03113), (200, 1.0)])
def test_the_bound_of_a_rate(passed: int, bound: float) -> None:
    """0 of 200: 1 - 0.05 ** (1 / 200), the rule of three."""
    found = tried({EQUIVALENT: passed, DIFFERENT: 200 - passed}, Truth.OTHER, "DIFFERENT")
    assert upper_bound(found) == pytest.approx(bound, abs=2e-5)


# --- what is shown ---------------------------------------------------------------------------


def results() -> dict[str, tuple[Tried, ...]]:
    asked = tried({EQUIVALENT: 200}, Truth.ASKED)
    good = tried({EQUIVALENT: 195, Verdict.INCONCLUSIVE: 5}, Truth.SAME, "EQUIVALENT")
    bad = replace(tried({EQUIVALENT: 4, DIFFERENT: 196}, Truth.OTHER, "DIFFERENT"), needed=31)
    return {"one network": (good, bad, asked)}


def test_the_table(golden: Golden) -> None:
    golden.check("equivalence/controls.txt", explain_controls(results()) + "\n")
    golden.check("equivalence/controls.md", write_up(results(), "NEST 3.10.0", [load_margins()]))
    assert list_failings(results()) == ["one network, name: 2.0 % false passes, at most 1 % are "
                                        "allowed"]  # fmt: skip


def test_controls_are_chosen_by_a_word(image: Path) -> None:
    chosen = plan(image, ["silent"])
    assert [[each.name for each in group.controls] for group in chosen.groups] == [
        ["silent network"]
    ]
    assert len(plan(image, []).groups) == 9
    assert [each.name for each in plan(image, ["emulated"]).margins] == ["spinnaker"]
    assert [each.name for each in plan(image, []).margins] == ["nest", "spinnaker"]
    assert any("runs are to be made" in line for line in chosen.lines())


def test_bad_choices(image: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageFault, match="no control has the word 'silnt'"):
        plan(image, ["silnt"])
    with pytest.raises(UsageFault, match="no such image"):
        plan(tmp_path / "none.sif", [])


def test_a_kept_run_can_be_read(site: FakeSite, image: Path, tmp_path: Path) -> None:
    cache = RunCache({"nest": image}, tmp_path / "controls")
    cache.fill([replace(ONE, count=1)], Silent())
    (record,) = cache.read(replace(ONE, count=1))
    assert read_record(record.folder).id == record.id
    assert record.folder.parent == tmp_path / "controls"


# --- the verb --------------------------------------------------------------------------------


def call(*words: object) -> int | str | None:
    with pytest.raises(SystemExit) as ending:
        main(["controls", *map(str, words)])
    return ending.value.code


def test_a_plan_changes_nothing(
    image: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    main(["controls", str(image), "--only", "silent", "--dry-run"])
    text = capsys.readouterr().out
    assert "run by run, equal seeds: silent network" in text
    assert "25 of 25 runs are to be made at most" in text
    assert not (tmp_path / "controls").exists()


@pytest.mark.usefixtures("site")
def test_a_control_that_fails_ends_with_3(
    image: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # The fake network is not silent: equal spikes pass, and that must be seen.
    page = tmp_path / "page.md"
    assert call(image, "--only", "silent", "--page", page) == 3
    text = capsys.readouterr().out
    assert "NOT AS WANTED: run by run, equal seeds, silent network: 100.0 % false passes" in text
    assert "| silent network | other | 100.0 % |" in page.read_text("utf-8")
    assert call(image, "--only", "silent", "--json") == 3
    (control,) = json.loads(capsys.readouterr().out)["controls"]
    assert control["verdicts"] == {"IDENTICAL": 200}
