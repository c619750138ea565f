"""A few lives of runs through a faulty UNICORE; the many are in tests/integration."""

from __future__ import annotations

from pathlib import Path

from tests.unit.run.lives import find_fault, live, open_world


def test_every_life_has_an_end_and_no_job_is_posted_twice(tmp_path: Path) -> None:
    with open_world(tmp_path) as world:
        for seed in range(12):
            life = live(world, seed)
            assert not find_fault(world, life), (seed, life.drawn)
