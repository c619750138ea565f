"""Many lives of runs through a faulty UNICORE, counted and printed: `IMAGEFACTORY_LIVES=600 pytest
-s tests/integration/test_lives.py`, as `make bench` does. A life is its seed: `live(world, SEED)`.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from imagefactory.sandbox.unicore import FaultKind
from tests.unit.run.lives import Life, find_fault, live, open_world

LIVES = int(os.environ.get("IMAGEFACTORY_LIVES", "40"))
FIRST = 1000


def test_every_run_ends_or_goes_on_and_none_is_begun_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CACHE", "DATA", "SETTINGS"):
        monkeypatch.setenv(f"IMAGEFACTORY_{name}", str(tmp_path / name.lower()))
    lives, faults = [], {}
    with open_world(tmp_path) as world:
        for seed in range(FIRST, FIRST + LIVES):
            lives.append(live(world, seed))
            faults[seed] = find_fault(world, lives[-1])
    print(summary(lives))
    assert not {seed: fault for seed, fault in faults.items() if fault}
    assert sum(life.kills for life in lives) > LIVES / 2, "the lives were too easy"


def summary(lives: list[Life]) -> str:
    """What was tried, with the seeds, and how it ended."""
    ends = Counter(life.record.state if life.record else "LOST" for life in lives)
    fired = sum((life.fired for life in lives), Counter[FaultKind]())
    return "\n".join(
        (
            f"{len(lives)} lives, seeds {lives[0].seed} to {lives[-1].seed}: "
            f"{sum(life.kills for life in lives)} clients killed, {fired.total()} faults, "
            f"{sum(len(life.errors) for life in lives)} errors told",
            "ends: " + ", ".join(f"{count} {state}" for state, count in ends.most_common()),
            "faults: " + ", ".join(f"{count} {kind}" for kind, count in fired.most_common()),
        )
    )
