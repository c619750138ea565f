"""Run records: written, read again, and refused when they are damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory.base.errors import ConfigurationFault, UsageFault
from imagefactory.run import RunRecord, read_record
from imagefactory.run.record import list_records, runs_folder, write_record


def record(name: str) -> RunRecord:
    return RunRecord(
        id=name,
        state="FINISHED",
        site="here",
        model="balanced-random",
        backend="nest",
        image={"reference": "x.sif", "manifest": None, "sif": "sha256:" + "0" * 64, "size": 1},
        geometry={"nodes": 1, "ranks": 2, "threads": 1, "virtual_processes": 2},
        parameters={"seed": 1},
        timings={"run_s": 0.5},
        created="2026-01-01T00:00:00Z",
        job={"folder": "/x"},
        folder=runs_folder() / name,
    )


def test_round_trip() -> None:
    written = record("20260101T000000Z-here-m-0001")
    write_record(written)
    assert read_record(written.id) == written
    assert read_record(written.folder) == written
    assert read_record(written.folder / "record.json") == written


def test_unknown_run_names_the_nearest() -> None:
    write_record(record("20260101T000000Z-here-m-0001"))
    with pytest.raises(UsageFault, match="did you mean '20260101T000000Z-here-m-0001'"):
        read_record("20260101T000000Z-here-m-0002")


def test_oldest_first() -> None:
    for name in ("b", "a"):
        write_record(record(name))
    assert [found.id for found in list_records()] == ["a", "b"]


def test_a_damaged_record_tells_every_fault() -> None:
    path: Path = write_record(record("a"))
    document = json.loads(path.read_text("utf-8"))
    document["state"] = "FINISHD"
    document["geometry"]["ranks"] = "two"
    document["color"] = "blue"
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(ConfigurationFault) as caught:
        read_record("a")
    assert len(caught.value.faults) == 3
