"""Runs of many seeds: one staging, one array, a record each; and the same runs at several sites."""

from __future__ import annotations

import io
import json
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from imagefactory.base.errors import ToolFailed, UsageFault
from imagefactory.base.files import cache_folder, digest_of
from imagefactory.base.report import Silent
from imagefactory.model import resolve_parameters
from imagefactory.run import RunRecord, execute_ensemble, list_records, read_record
from imagefactory.run.at_sites import SitesPlan, execute_at_sites, look_for
from imagefactory.run.ensemble import EnsemblePlan, spread
from imagefactory.run.frozen import find_drawn
from tests.conftest import Golden
from tests.unit.run.fake_site import FakeSite, Files, make_plan, rank_file, rank_output, slurm_site

OUTPUT = rank_output([rank_file(rank, 2) for rank in range(2)])


@dataclass
class ArraySite(FakeSite):
    """A site that takes the files of several runs at once; `broken` tasks end with status 3."""

    words: list[str | Exception] = field(default_factory=list)
    output: Files = field(default_factory=lambda: dict(OUTPUT))
    broken: tuple[str, ...] = ()
    polled: list[str] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)

    def send(self, parcel: Path, folder: str) -> None:
        super().send(parcel, folder)
        for name, content in self.folders.pop(folder).items():
            run, _, rest = name.partition("/")
            self.folders.setdefault(f"{folder}/{run}", {})[rest] = content

    def _submit(self, folder: str) -> tuple[int, str, str]:
        self.submitted.append(folder)
        return super()._submit(folder)

    def _poll(self, job: str, folder: str) -> tuple[int, str, str]:
        self.polled.append(job)
        if job in self.broken:
            return 0, "slurm 0 FAILED|NonZeroExitCode\nexit 3\n", ""
        return super()._poll(job, folder)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> ArraySite:
    """The site behind every shell that is opened."""
    fake = ArraySite()
    for module in ("ensemble", "later"):
        monkeypatch.setattr(f"imagefactory.run.{module}.open_shell", lambda *_: nullcontext(fake))
    monkeypatch.setattr("imagefactory.run.later.load_site", lambda _: slurm_site())
    return fake


def plan_of(*seeds: int, **overrides: object) -> EnsemblePlan:
    plan = make_plan(slurm_site())
    given = {"duration_ms": 200, "warmup_ms": 50, **overrides}
    return spread(replace(plan, parameters=resolve_parameters(plan.model, given)), seeds)


def test_one_staging_one_parcel_one_array(site: ArraySite) -> None:
    records = execute_ensemble(plan_of(5, 6, 7), Silent())
    assert [record.id for record in records] == ["r1-5", "r1-6", "r1-7"]
    assert [record.state for record in records] == ["FINISHED"] * 3
    assert [record.job["id"] for record in records] == ["42_0", "42_1", "42_2"]
    assert [record.parameters["seed"] for record in records] == [5, 6, 7]
    assert records == list_records()
    assert (site.stagings, site.submitted) == (1, ["/shared/runs/r1"])
    for seed in (5, 6, 7):
        sent = site.folders[f"/shared/runs/r1-{seed}"]
        assert json.loads(sent["parameters.json"])["parameters"]["seed"] == seed
        assert f"cd /shared/runs/r1-{seed} ".encode() in sent["job.sh"]
        assert b"/shared/runs/r1 " not in sent["job.sh"]


def test_the_script_of_the_array(golden: Golden) -> None:
    golden.check("run/array.sh", plan_of(5, 6).job)


def test_the_plan_says_that_it_is_an_array() -> None:
    assert plan_of(5, 6).lines()[-1] == "the same for seeds 5, 6: 2 runs, one job array"


def test_a_run_that_fails_takes_no_other_with_it(site: ArraySite) -> None:
    site.broken = ("42_0", "42_2")
    with pytest.raises(ToolFailed) as caught:
        execute_ensemble(plan_of(5, 6, 7), Silent())
    assert str(caught.value).count("exit status 3") == 2
    assert [record.state for record in list_records()] == ["FAILED", "FINISHED", "FAILED"]


def test_no_image_no_run(site: ArraySite) -> None:
    site.stage = (12, "no space")
    with pytest.raises(ToolFailed, match="no space"):
        execute_ensemble(plan_of(5, 6), Silent())
    assert [record.state for record in list_records()] == ["FAILED", "FAILED"]
    assert not site.submitted


def test_an_interrupt_cancels_the_array(site: ArraySite) -> None:
    def interrupt() -> None:
        if site.polled[-1] == "42_1":
            raise KeyboardInterrupt

    site.on_poll = interrupt
    with pytest.raises(KeyboardInterrupt):
        execute_ensemble(plan_of(5, 6, 7), Silent())
    assert site.cancelled[-1] == "42"
    assert [r.state for r in list_records()] == ["FINISHED", "CANCELLED", "CANCELLED"]


@pytest.mark.parametrize(("seeds", "said"), [((), "no seed"), ((1, 2, 1), "seed 1 is there twice")])
def test_seeds_that_are_no_ensemble(seeds: tuple[int, ...], said: str) -> None:
    with pytest.raises(UsageFault, match=said):
        plan_of(*seeds)


@pytest.mark.parametrize(
    ("overrides", "shared"),
    [({}, 0), ({"frozen": True, "seed": 5}, 5), ({"frozen": True, "network_seed": 9}, 9)],
)
def test_frozen_runs_share_a_network(overrides: dict[str, object], shared: int) -> None:
    runs = plan_of(5, 6, **overrides).runs
    assert [run.parameters["network_seed"] for run in runs] == [shared, shared]
    assert [run.parameters["seed"] for run in runs] == [5, 6]


def test_a_frozen_run_takes_its_network_along(site: ArraySite) -> None:
    execute_ensemble(plan_of(5, 6, frozen=True, n_exc=20, n_inh=10), Silent())
    drawn = [
        dict(np.load(io.BytesIO(site.folders[f"/shared/runs/r1-{seed}"]["inside/frozen.npz"])))
        for seed in (5, 6)
    ]
    rows, trains = "rows/excitatory to inhibitory", "trains/excitatory"
    assert np.array_equal(drawn[0][rows], drawn[1][rows])
    assert not np.array_equal(drawn[0][trains], drawn[1][trains])


def test_a_network_is_drawn_once_and_named_by_its_digest(
    site: ArraySite, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"frozen": True, "n_exc": 20, "n_inh": 10}
    execute_ensemble(plan_of(5, **small), Silent())
    (kept,) = (cache_folder() / "drawn").glob("sha256-*.npz")
    assert kept.name == f"sha256-{digest_of(kept).hex}.npz"
    assert (read_record("r1-5").folder / "frozen.npz").samefile(kept)
    calls: list[Path] = []
    monkeypatch.setattr("imagefactory.run.frozen.freeze", lambda *words: calls.append(words[2]))
    execute_ensemble(plan_of(5, **small), Silent())
    assert not calls


def test_a_damaged_network_is_drawn_again(site: ArraySite) -> None:
    plan = plan_of(5, frozen=True, n_exc=20, n_inh=10).runs[0]
    kept = find_drawn(plan)
    whole = kept.read_bytes()
    kept.chmod(0o644)
    kept.write_bytes(whole[:100])
    assert find_drawn(plan).read_bytes() == whole
    assert find_drawn(replace(plan, parameters={**plan.parameters, "seed": 6})) != kept


# --- several sites ---------------------------------------------------------------------------


def test_what_is_there_is_not_made_again(site: ArraySite) -> None:
    execute_ensemble(plan_of(5, 6), Silent())
    plan = SitesPlan((look_for(plan_of(5, 6, 7), list_records()),))
    assert [run.parameters["seed"] for run in plan.sites[0].missing.runs] == [7]
    assert plan.lines()[:4] == [
        "1 of 3 runs are missing", "bookworm: 2 of 3 runs are there",
        "seed 5: FINISHED, r1-5", "seed 6: FINISHED, r1-6",
    ]  # fmt: skip
    (records,) = execute_at_sites(plan, Silent())
    assert [(record.parameters["seed"], record.state) for record in records] == [
        (5, "FINISHED"), (6, "FINISHED"), (7, "FINISHED"),
    ]  # fmt: skip
    assert len(site.submitted) == 2
    assert len(list_records()) == 3


def test_nothing_missing_is_nothing_done(site: ArraySite) -> None:
    made = execute_ensemble(plan_of(5, 6), Silent())
    site.submitted.clear()
    plan = SitesPlan((look_for(plan_of(5, 6), list_records()),))
    assert execute_at_sites(plan, Silent()) == [made]
    assert not site.submitted


def test_a_run_in_the_queue_is_waited_for(site: ArraySite) -> None:
    execute_ensemble(plan_of(5, 6), Silent(), detach=True)
    plan = SitesPlan((look_for(plan_of(5, 6), list_records()),))
    assert plan.lines()[2] == "seed 5: SUBMITTED, r1-5"
    (records,) = execute_at_sites(plan, Silent())
    assert [record.state for record in records] == ["FINISHED", "FINISHED"]
    assert len(site.submitted) == 1


def test_every_site_has_started_before_one_is_waited_for(site: ArraySite) -> None:
    plans = [plan_of(5), plan_of(6)]
    order: list[int] = []
    site.on_poll = lambda: order.append(len(site.submitted))
    execute_at_sites(SitesPlan(tuple(look_for(plan, []) for plan in plans)), Silent())
    assert order == [2, 2]


def changed(record: RunRecord, name: str) -> RunRecord:
    changes: dict[str, RunRecord] = {
        "another site": replace(record, site="trixie"),
        "another image": replace(record, image={**record.image, "sif": "sha256:00"}),
        "another geometry": replace(record, geometry={**record.geometry, "ranks": 1}),
        "another parameter": replace(record, parameters={**record.parameters, "dt_ms": 0.2}),
        "another backend": replace(record, backend="neuron"),
        "the model's files before an edit": replace(record, model_code="sha256:00"),
        "files that nobody noted": replace(record, model_code=None),
        "failed": replace(record, state="FAILED"),
        "never submitted": replace(record, state="PREPARED", job={}),
        "no spikes": replace(record, spikes=None),
    }
    return changes[name]


@pytest.mark.parametrize(
    "name",
    [
        "another site", "another image", "another geometry", "another parameter", "another backend",
        "failed", "never submitted", "no spikes", "the model's files before an edit",
        "files that nobody noted",
    ],
)  # fmt: skip
def test_a_run_of_something_else_is_not_taken(site: ArraySite, name: str) -> None:
    execute_ensemble(plan_of(5), Silent())
    record = read_record("r1-5")
    assert look_for(plan_of(5), [record]).there == {5: record}
    assert not look_for(plan_of(5), [changed(record, name)]).there
