"""Runs with other seeds as one job array: what is sent, what each record says, what fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from imagefactory.base.errors import NoVerdict, ToolFailed, UsageFault
from imagefactory.base.report import Silent
from imagefactory.run import EnsemblePlan, RunRecord, ensemble, list_records, read_record, spread
from imagefactory.run.ensemble import execute_ensemble
from imagefactory.run.job import Via
from tests.conftest import Golden
from tests.unit.run.fake_site import FakeSite, Files, make_plan, rank_file, rank_output, slurm_site


class ArraySite(FakeSite):
    """Takes the parcel of several runs apart; every task gives two ranks' spikes."""

    def send(self, parcel: Path, folder: str) -> None:
        super().send(parcel, folder)
        sent: Files = self.folders.pop(folder)
        for name, data in sent.items():
            run, _, rest = name.partition("/")
            self.folders.setdefault(f"{folder}/{run}", {})[rest] = data

    def __enter__(self) -> ArraySite:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def whole_site() -> ArraySite:
    return ArraySite(output=rank_output([rank_file(rank, 2) for rank in range(2)]))


def plan(count: int = 3) -> EnsemblePlan:
    return spread(make_plan(slurm_site()), range(1, count + 1))


def go(
    site: ArraySite, monkeypatch: pytest.MonkeyPatch, *, detach: bool = False
) -> list[RunRecord]:
    monkeypatch.setattr(ensemble, "open_shell", lambda *_: site)
    monkeypatch.setattr("imagefactory.run.slurm.poll_pauses", lambda: iter([0.0] * 99))
    return execute_ensemble(plan(), Silent(), detach=detach)


def test_the_script_of_the_array(golden: Golden) -> None:
    golden.check("run/array.sh", plan().job)


def test_each_run_is_one_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    site = whole_site()
    records = go(site, monkeypatch)
    assert site.stagings == 1
    assert [record.state for record in records] == ["FINISHED"] * 3
    assert [record.parameters["seed"] for record in records] == [1, 2, 3]
    assert [record.job["id"] for record in records] == ["42_0", "42_1", "42_2"]
    assert [record.id for record in list_records()] == ["r1-1", "r1-2", "r1-3"]
    assert sorted(site.folders) == [f"/shared/runs/r1{end}" for end in ("", "-1", "-2", "-3")]
    sent = json.loads(site.folders["/shared/runs/r1-2"]["parameters.json"])
    assert sent["parameters"]["seed"] == 2
    bound = [word for word in records[1].launcher["argv"] if "/shared/runs" in word]
    assert bound
    assert all("/shared/runs/r1-2" in word for word in bound)


def test_what_goes_on_without_us_can_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    records = go(whole_site(), monkeypatch, detach=True)
    assert {read_record(record.id).state for record in records} == {"SUBMITTED"}


def test_one_that_fails_does_not_hide_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    site = whole_site()
    del site.output["spikes-1.npz"]
    with pytest.raises(NoVerdict) as caught:
        go(site, monkeypatch)
    assert len(caught.value.faults) == 3
    assert [record.state for record in list_records()] == ["FAILED"] * 3


def test_an_array_that_slurm_refuses_fails_all(monkeypatch: pytest.MonkeyPatch) -> None:
    site = whole_site()
    site.submit = (1, "sbatch: error: invalid account")
    with pytest.raises(ToolFailed, match="did not take the job"):
        go(site, monkeypatch)
    assert [record.state for record in list_records()] == ["FAILED"] * 3


def test_an_interrupt_cancels_the_whole_array(monkeypatch: pytest.MonkeyPatch) -> None:
    site = whole_site()

    def stop() -> None:
        raise KeyboardInterrupt

    site.on_poll = stop
    with pytest.raises(KeyboardInterrupt):
        go(site, monkeypatch)
    assert "42" in site.cancelled
    assert [record.state for record in list_records()] == ["CANCELLED"] * 3


def test_seeds_that_are_none_or_twice() -> None:
    base = make_plan(slurm_site())
    with pytest.raises(UsageFault, match="no seed"):
        spread(base, [])
    with pytest.raises(UsageFault) as caught:
        spread(base, [1, 2, 1, 2])
    assert len(caught.value.faults) == 2


def test_the_plan_for_people(golden: Golden) -> None:
    golden.check("run/plan-array.txt", "\n".join(plan().lines()) + "\n")
    through = replace(make_plan(slurm_site()), via=Via.UNICORE)
    assert spread(through, [1, 2]).lines()[-1].endswith("2 runs, one job each")
