"""Many staged pulls by the real Apptainer from a faulty registry onto a faulty disk, counted and
printed: `IMAGEFACTORY_PULLS=2000 pytest -s tests/integration/test_staged_pulls.py`, as `make bench`
does. A life is its seed: `live(world, SEED)`. After each, the image is there whole, or not at all,
the exit status is one that the faults allow, and a next pull gives the image.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.registry import resolve
from tests.integration.faulty_registry import (
    Answer,
    FaultyRegistry,
    Repository,
    digest,
    faulty_registry,
)

if TYPE_CHECKING:
    from imagefactory.image import Apptainer

PULLS = int(os.environ.get("IMAGEFACTORY_PULLS", "40"))
FIRST = 5000
SIDE_BY_SIDE = 10
SCRIPT = Path(__file__).parents[2] / "imagefactory" / "run" / "stage_one.sh"
DISK_BYTES = 20_000_000  # of the disk that fills up: more than the script asks for, at first
SECONDS = 240


class Kind(StrEnum):
    """What happens in a life."""

    GOOD = "nothing wrong"
    CUT = "cut at a random byte"
    BUSY = "429 with Retry-After"
    BROKEN = "500, 502, 503 or 504"
    REFUSED = "401 or 403"
    MISSING = "404"
    ALTERED = "other bytes, as many"
    SHORT = "other bytes, fewer"
    FULL = "the disk fills up"
    KILLED = "kill -9"
    TWO = "two pullers"
    TEN = "ten pullers"
    TWO_CUT = "two pullers, cut at a random byte"
    MOVED = "the tag moves"


# stage_one.sh, "Exit status"; 0 with the image, the others without. What a registry says once or
# twice Apptainer tries again by itself.
RIGHT: dict[Kind, set[int]] = {
    Kind.GOOD: {0},
    Kind.CUT: {0, 13},
    Kind.BUSY: {0, 13},
    Kind.BROKEN: {0, 13},
    Kind.REFUSED: {15},
    Kind.MISSING: {14},
    Kind.ALTERED: {16},
    Kind.SHORT: {16},
    Kind.FULL: {12},
    Kind.KILLED: {-9, 0},
    Kind.TWO: {0},
    Kind.TEN: {0},
    Kind.TWO_CUT: {0, 13},
    Kind.MOVED: {0},
}
PULLERS = {Kind.TWO: 2, Kind.TEN: 10, Kind.TWO_CUT: 2}


@dataclass
class World:
    """What all lives share."""

    folder: Path
    apptainer: Path
    registry: FaultyRegistry
    sifs: list[bytes]


@dataclass
class Life:
    """One life: how its pulls ended, and what is wrong with that, if anything."""

    seed: int
    kind: Kind
    statuses: list[int] = field(default_factory=list)
    pulls: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass
class Site:
    """The store of one life, and the image that is pulled into it."""

    world: World
    folder: Path
    reference: str
    repository: Repository

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def final(self) -> Path:
        return self.store / f"sha256-{digest(self.repository.sif).partition(':')[2]}.sif"

    @property
    def is_whole(self) -> bool:
        return self.final.is_file() and self.final.read_bytes() == self.repository.sif

    @property
    def leftovers(self) -> list[str]:
        if not self.store.is_dir():
            return []
        kept = {self.final, self.store / ".used"}
        return sorted(path.name for path in self.store.iterdir() if path not in kept)

    def start(self) -> subprocess.Popen[bytes]:
        hex_ = digest(self.repository.sif).partition(":")[2]
        size = str(len(self.repository.sif))
        words = [str(self.store), self.reference, hex_, size, str(self.world.apptainer), "a-run"]
        return subprocess.Popen(
            ["sh", SCRIPT, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
        )  # fmt: skip


def live(world: World, seed: int) -> Life:
    """One life, from its seed alone."""
    chance = random.Random(seed)  # noqa: S311
    life = Life(seed, chance.choice([kind for kind in Kind if kind is not Kind.FULL or is_root()]))
    name = f"lives/{seed}"
    repository = Repository(chance.choice(world.sifs))
    world.registry.repositories[name] = repository
    repository.answers = answers(life.kind, repository.sif, chance)
    reference = f"oras://{world.registry.host}/{name}@{digest(repository.manifest)}"
    site = Site(world, world.folder / str(seed), reference, repository)
    site.folder.mkdir()
    try:
        play(life, site, chance)
    finally:
        if life.kind is Kind.FULL:
            subprocess.run(["umount", site.store], check=True)
        shutil.rmtree(site.folder)
        del world.registry.repositories[name]
    return life


def answers(kind: Kind, sif: bytes, chance: random.Random) -> list[Answer]:
    """What the registry says to the requests for the SIF, one after the other."""
    times = chance.randint(1, 8)
    if kind in {Kind.CUT, Kind.TWO_CUT}:
        return [Answer(cut=chance.randrange(len(sif))) for _ in range(min(times, 3))]
    place = chance.randrange(len(sif))
    altered = sif[:place] + bytes([sif[place] ^ 1]) + sif[place + 1 :]
    one = {
        Kind.BUSY: Answer(429),
        Kind.BROKEN: Answer(chance.choice([500, 502, 503, 504])),
        Kind.REFUSED: Answer(chance.choice([401, 403])),
        Kind.MISSING: Answer(404),
        Kind.ALTERED: Answer(content=altered),
        Kind.SHORT: Answer(content=sif[:place]),
    }.get(kind)
    # What does not pass is said to every one of Apptainer's requests.
    return [] if one is None else [one] * (times if kind in {Kind.BUSY, Kind.BROKEN} else 50)


def play(life: Life, site: Site, chance: random.Random) -> None:
    """The pulls of a life, each looked at, and the healthy one at its end."""
    if life.kind is Kind.FULL:
        fill_up(site)
    if life.kind is Kind.MOVED:
        move_tag(site, chance)
    running = [site.start() for _ in range(PULLERS.get(life.kind, 1))]
    if life.kind is Kind.KILLED:
        time.sleep(chance.uniform(0, 1.5))
        running[0].kill()
    life.statuses = [one.wait(SECONDS) for one in running]
    life.pulls = len(running) + 1
    look(life, site)
    site.repository.answers, site.repository.before = [], lambda: None
    (site.store / "filler").unlink(missing_ok=True)
    last = site.start().wait(SECONDS)
    if last or not site.is_whole or site.leftovers:
        life.faults.append(f"the next pull: status {last}, {site.leftovers}")


def look(life: Life, site: Site) -> None:
    """Note what is not as it must be."""
    wrong = set(life.statuses) - RIGHT[life.kind]
    if wrong:
        life.faults.append(f"status {sorted(wrong)}")
    if site.final.exists() and not site.is_whole:
        life.faults.append("a file that is not the image has its name")
    if (0 in life.statuses) != site.final.exists() and life.kind is not Kind.KILLED:
        life.faults.append("success and the image do not go together")
    if life.kind in {Kind.GOOD, Kind.TWO, Kind.TEN, Kind.MOVED} and site.repository.served != 1:
        life.faults.append(f"{site.repository.served} downloads")
    allowed = {"filler"} if life.kind is Kind.FULL else set()
    if life.kind is not Kind.KILLED and set(site.leftovers) - allowed:
        life.faults.append(f"left behind: {site.leftovers}")


def is_root() -> bool:
    """May we mount a disk that fills up?"""
    return os.geteuid() == 0


def fill_up(site: Site) -> None:
    """The store is a small disk, on which no byte is left as soon as the pull has begun."""
    site.store.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", site.store], check=True
    )

    def fill() -> None:
        with (site.store / "filler").open("wb", buffering=0) as stream:
            try:
                while stream.write(bytes(1 << 16)):
                    pass
            except OSError:
                return

    site.repository.before = fill


def move_tag(site: Site, chance: random.Random) -> None:
    """The tag is resolved as `imagefactory run` does it, and then it names something else."""
    host, _, name = site.reference.removeprefix("oras://").partition("@")[0].partition("/")
    artifact = resolve(ImageRef.parse(f"oras://{host}/{name}:1"), Silent())
    site.reference = str(artifact.reference)
    other = Repository(chance.choice(site.world.sifs) + b"other")
    site.repository.tags["1"] = other.manifest


@pytest.fixture
def world(apptainer: Apptainer, tmp_path: Path) -> Iterator[World]:
    """A registry, and three SIFs, which hold noise: nobody runs them."""
    noise = random.Random(FIRST)  # noqa: S311
    sifs = []
    for number, size in enumerate((1_000, 150_000, 4_000_000)):
        sif, data = tmp_path / f"{number}.sif", tmp_path / f"{number}.data"
        data.write_bytes(noise.randbytes(size))
        words = ["--datatype", "4", "--parttype", "1", "--partfs", "4", "--partarch", "2"]
        for argv in (["new", str(sif)], ["add", *words, str(sif), str(data)]):
            subprocess.run([apptainer.program, "sif", *argv], check=True, capture_output=True)
        sifs.append(sif.read_bytes())
    with faulty_registry() as registry:
        yield World(tmp_path, Path(apptainer.program), registry, sifs)


def test_the_image_is_there_whole_or_not_at_all(world: World) -> None:
    lives: list[Life] = []
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for seed in count(FIRST, SIDE_BY_SIDE):
            lives += pool.map(lambda one: live(world, one), range(seed, seed + SIDE_BY_SIDE))
            if sum(life.pulls for life in lives) >= PULLS:
                break
    print(summary(lives))
    assert not {life.seed: (life.kind, life.faults) for life in lives if life.faults}
    ends = {status == 0 for life in lives for status in life.statuses}
    assert ends == {True, False}, "the lives were too few"


def summary(lives: list[Life]) -> str:
    """What was tried, with the seeds, and how it ended."""
    rows = []
    for kind in Kind:
        ended = [life for life in lives if life.kind is kind]
        statuses = Counter(status for life in ended for status in life.statuses)
        told = ", ".join(f"{times} x {status}" for status, times in sorted(statuses.items()))
        wrong = sum(bool(life.faults) for life in ended)
        rows.append(f"{kind:34} {len(ended):4} lives, exit status {told or 'none'}; wrong: {wrong}")
    pulls = sum(life.pulls for life in lives)
    return "\n".join((f"{pulls} pulls, seeds {lives[0].seed} to {lives[-1].seed}", *rows))
