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
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.registry import resolve
from tests.integration.faulty_registry import (
    RETRY_AFTER,
    Answer,
    FaultyRegistry,
    Repository,
    digest,
    faulty_registry,
)

if TYPE_CHECKING:
    from imagefactory.image import Apptainer

PULLS = int(os.environ.get("IMAGEFACTORY_PULLS", "20"))
FIRST = 5000
SIDE_BY_SIDE = 10
SCRIPT = Path(__file__).parents[2] / "imagefactory" / "run" / "stage_one.sh"
DISK_BYTES = 24_000_000  # of the disk that fills up: more than the script asks for, at first
SECONDS = 240


class Kind(StrEnum):
    """What happens in a life."""

    GOOD = "nothing wrong"
    CUT = "cut at a random byte, no curl"
    RESUMED = "cut at a random byte, curl"
    WHOLE = "cut, and no parts are served"
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


CUTS = {Kind.CUT, Kind.RESUMED, Kind.WHOLE, Kind.TWO_CUT}
PASSING = {Kind.BUSY, Kind.BROKEN}
ANSWERED = {*PASSING, Kind.REFUSED, Kind.MISSING}
PULLERS = {Kind.TWO: 2, Kind.TEN: 10, Kind.TWO_CUT: 2}
# As often do curl (stage_one.sh) and then Apptainer 1.5.3 (tried) ask a registry that is busy.
CURL_ASKS, APPTAINER_ASKS = 4, 3


@dataclass
class World:
    """What all lives share."""

    folder: Path
    apptainer: Path
    registry: FaultyRegistry
    sifs: list[bytes]


@dataclass(frozen=True)
class Draw:
    """What was drawn for a life: how often the fault is met, by what, and whether there is curl."""

    kind: Kind
    times: int
    curl: bool
    on_manifest: bool

    @classmethod
    def of(cls, seed: int, chance: random.Random) -> Draw:
        kinds = [kind for kind in Kind if kind is not Kind.FULL or is_root()]
        kind = kinds[seed % len(kinds)]
        curl = chance.random() < 0.5 if kind not in CUTS else kind is not Kind.CUT
        times = chance.randint(1, 3 if kind in CUTS else 8)
        return cls(kind, times, curl, kind in ANSWERED and chance.random() < 0.3)

    @property
    def right(self) -> set[int]:
        """Exit statuses of stage_one.sh that are right: 0 with the image, the others without."""
        if self.on_manifest and self.curl:
            return {0}  # curl asks for the SIF alone, by its digest
        if self.kind is Kind.WHOLE:  # the third answer is Apptainer's
            return {0} if self.times < 3 else {13}
        if self.kind in PASSING:
            return {0} if self.times < APPTAINER_ASKS + CURL_ASKS * self.curl else {13}
        bad = {
            Kind.CUT: 13, Kind.REFUSED: 15, Kind.MISSING: 14, Kind.ALTERED: 16, Kind.SHORT: 16,
            Kind.FULL: 12,
        }  # fmt: skip
        return {-9, 0} if self.kind is Kind.KILLED else {bad.get(self.kind, 0)}


@dataclass
class Life:
    """One life: how its pulls ended, and what is wrong with that, if anything."""

    seed: int
    draw: Draw
    statuses: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@dataclass
class Site:
    """The store of one life, and the image that is pulled into it."""

    world: World
    folder: Path
    reference: str
    repository: Repository
    curl: bool = True

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

    @property
    def path(self) -> str:
        """PATH; with a curl that fails at anything where there shall be none."""
        return os.environ["PATH"] if self.curl else f"{self.world.folder}:{os.environ['PATH']}"

    def start(self) -> subprocess.Popen[bytes]:
        hex_ = digest(self.repository.sif).partition(":")[2]
        size = str(len(self.repository.sif))
        words = [str(self.store), self.reference, hex_, size, str(self.world.apptainer), "a-run"]
        return subprocess.Popen(
            ["sh", SCRIPT, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={"PATH": self.path, "HOME": str(self.folder)},
        )  # fmt: skip


def live(world: World, seed: int) -> Life:
    """One life, from its seed alone."""
    chance = random.Random(seed)  # noqa: S311
    draw = Draw.of(seed, chance)
    life, name = Life(seed, draw), f"lives/{seed}"
    repository = Repository(chance.choice(world.sifs), ranges=draw.kind is not Kind.WHOLE)
    world.registry.repositories[name] = repository
    given = answers(draw, repository.sif, chance)
    if draw.on_manifest:
        repository.manifest_answers = given
    else:
        repository.answers = given
    reference = f"oras://{world.registry.host}/{name}@{digest(repository.manifest)}"
    site = Site(world, world.folder / str(seed), reference, repository, draw.curl)
    site.folder.mkdir()
    try:
        play(life, site, chance)
    finally:
        if draw.kind is Kind.FULL:
            subprocess.run(["umount", site.store], check=False)
        shutil.rmtree(site.folder)
        del world.registry.repositories[name]
    return life


def answers(draw: Draw, sif: bytes, chance: random.Random) -> list[Answer]:
    """What the registry says to the first requests, one after the other."""
    if draw.kind in CUTS:
        return [Answer(cut=chance.randrange(1, len(sif))) for _ in range(draw.times)]
    place = chance.randrange(1, len(sif))
    altered = sif[:place] + bytes([sif[place] ^ 1]) + sif[place + 1 :]
    one = {
        Kind.BUSY: Answer(429),
        Kind.BROKEN: Answer(chance.choice([500, 502, 503, 504])),
        Kind.REFUSED: Answer(chance.choice([401, 403])),
        Kind.MISSING: Answer(404),
        Kind.ALTERED: Answer(content=altered),
        Kind.SHORT: Answer(content=sif[:place]),
    }.get(draw.kind)
    # What does not pass is said to every request.
    return [] if one is None else [one] * (draw.times if draw.kind in PASSING else 50)


def play(life: Life, site: Site, chance: random.Random) -> None:
    """The pulls of a life, looked at, and a healthy one after them."""
    kind = life.draw.kind
    if kind is Kind.FULL:
        fill_up(site)
    if kind is Kind.MOVED:
        move_tag(site, chance)
    running = [site.start() for _ in range(PULLERS.get(kind, 1))]
    if kind is Kind.KILLED:
        time.sleep(chance.uniform(0, 1.5))
        running[0].kill()
    life.statuses = [one.wait(SECONDS) for one in running]
    look(life, site)
    repository = site.repository
    repository.answers, repository.manifest_answers, repository.before = [], [], lambda: None
    (site.store / "filler").unlink(missing_ok=True)
    last = site.start().wait(SECONDS)
    if last or not site.is_whole or site.leftovers:
        life.faults.append(f"the next pull: status {last}, {site.leftovers}")


def look(life: Life, site: Site) -> None:
    """Note what is not as it must be."""
    kind = life.draw.kind
    wrong = set(life.statuses) - life.draw.right
    if wrong:
        life.faults.append(f"status {sorted(wrong)}, not {sorted(life.draw.right)}")
    if site.final.exists() and not site.is_whole:
        life.faults.append("a file that is not the image has its name")
    if (0 in life.statuses) != site.final.exists() and kind is not Kind.KILLED:
        life.faults.append("success and the image do not go together")
    if kind in {Kind.GOOD, Kind.TWO, Kind.TEN, Kind.MOVED} and site.repository.served != 1:
        life.faults.append(f"{site.repository.served} downloads")
    if kind is Kind.BUSY and life.draw.curl and not life.draw.on_manifest:
        waits = [later - now for now, later in pairwise(site.repository.asked[:CURL_ASKS])]
        if any(wait < RETRY_AFTER for wait in waits):
            life.faults.append(f"asked again after {min(waits):.2f} s")
    allowed = {"filler"} if kind is Kind.FULL else set()
    if 0 not in life.statuses:  # the next pull goes on from there
        allowed.add(f".part-{site.final.stem.removeprefix('sha256-')}")
    if kind is not Kind.KILLED and set(site.leftovers) - allowed:
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
        with suppress(OSError), (site.store / "filler").open("xb", buffering=0) as stream:
            while stream.write(bytes(1 << 16)):
                pass

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
    (tmp_path / "curl").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    (tmp_path / "curl").chmod(0o755)
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
            if sum(len(life.statuses) for life in lives) >= PULLS:
                break
    print(summary(lives))
    assert not {life.seed: (life.draw, life.faults) for life in lives if life.faults}
    ends = {status == 0 for life in lives for status in life.statuses}
    assert ends == {True, False}, "the lives were too few"


def summary(lives: list[Life]) -> str:
    """What was tried, with the seeds, and how it ended."""
    pulls = sum(len(life.statuses) for life in lives)
    rows = [
        f"{pulls} pulls, and {len(lives)} healthy ones after them; seeds {lives[0].seed} to "
        f"{lives[-1].seed}",
        "",
        "| what happens | lives | exit statuses | wrong |",
        "|---|---|---|---|",
    ]
    for kind in Kind:
        ended = [life for life in lives if life.draw.kind is kind]
        statuses = Counter(status for life in ended for status in life.statuses)
        told = ", ".join(f"{times} x {status}" for status, times in sorted(statuses.items()))
        wrong = sum(bool(life.faults) for life in ended)
        rows.append(f"| {kind} | {len(ended)} | {told or 'not tried'} | {wrong} |")
    return "\n".join(rows)
