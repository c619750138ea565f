"""Lives of runs through a faulty UNICORE: what goes wrong in one is drawn from its seed.

The server is the double of the sandbox, without a socket; the client is ours with the real
PyUNICORE. A client is killed between two of its calls and gone on with by another one, with a
newer token; requests fail in every way that the double knows; jobs fail by themselves.
"""

from __future__ import annotations

import io
import random
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from imagefactory.base.errors import FactoryError, ServiceAway, TrustRefused
from imagefactory.base.files import write_json
from imagefactory.base.report import Silent
from imagefactory.base.tokens import Surroundings
from imagefactory.run import RunRecord, cancel, read_record, resume
from imagefactory.run.description import Mode, job_name
from imagefactory.run.job import FOLDER, Via
from imagefactory.run.plan import RunPlan
from imagefactory.run.remote import Link, finish_run, open_link, submit_run
from imagefactory.run.states import JobState
from imagefactory.sandbox.unicore import (
    FakeLogin,
    FaultKind,
    Outcome,
    PlannedFault,
    Unicore,
    start_unicore,
)
from imagefactory.sandbox.unicore.engine import Engine
from imagefactory.site import Site, UnicoreAccess
from tests.unit.run.fake_site import (
    launch_line,
    make_plan,
    rank_file,
    rank_output,
    slurm_site,
)

if TYPE_CHECKING:
    import httpx

SITE = "bookworm"
RESUMES = 12  # by then the faults are over, and a client that is not killed comes
# What hits a request; on which, is a regular expression on "METHOD /path".
PASSING = (
    FaultKind.SESSION_GONE, FaultKind.REFUSED, FaultKind.UNAUTHORISED, FaultKind.UNAVAILABLE,
    FaultKind.BROKEN, FaultKind.ERROR_BODY, FaultKind.ERROR_PAGE, FaultKind.SLOW, FaultKind.CUT,
    FaultKind.LOST_REPLY, FaultKind.CUT_BODY, FaultKind.UNKNOWN_STATUS,
)  # fmt: skip
PLACES = (
    "", "POST .*/jobs$", r"GET .*/jobs\b", "PUT .*/files/", "GET .*/files/", "/actions/",
    "GET .*/core$", "GET .*registr",
)  # fmt: skip
# What a job does by itself, and the words that the record must then have.
ENDS = {
    FaultKind.PRECOMMAND_FAILS: ("FAILED", "stage one"),
    FaultKind.EXIT_CODE_LOST: ("FAILED", "without a result"),
    FaultKind.JOB_GONE: ("FAILED", "does not have the job any more"),
}


class Killed(BaseException):
    """The client's process ends here: no except clause of ours may see it."""


@dataclass
class Killer:
    """Ends the client at the call with the number `at`, before it or when it is done.

    A call is a request, or the writing of a record.
    """

    at: int | None = None
    after: bool = False
    calls: int = 0

    def around(self, call: Callable[..., Any], *arguments: Any) -> Any:
        self.calls += 1
        hit = self.calls == self.at
        if hit and not self.after:
            raise Killed
        done = call(*arguments)
        if hit:
            raise Killed
        return done


@dataclass
class Life:
    """One run: what was drawn for it, and what came of it."""

    seed: int
    record: RunRecord | None = None
    drawn: list[str] = field(default_factory=list)
    fired: Counter[FaultKind] = field(default_factory=Counter)
    kills: int = 0
    errors: list[FactoryError] = field(default_factory=list)
    end: FaultKind | None = None
    cancelled: bool = False


@dataclass
class World:
    """A server with its site, and clients that come and go."""

    unicore: Unicore
    login: FakeLogin
    site: Site
    killer: Killer = field(default_factory=Killer)
    posted: Counter[str] = field(default_factory=Counter)  # jobs that the server took, by run
    begun: Counter[str] = field(default_factory=Counter)  # jobs that "Slurm" took, by run

    def link(self, life: Life) -> Link:
        """A new client's way to the server, with a token made for it."""
        around = Surroundings(
            environment={"IMAGEFACTORY_TOKEN": self.unicore.token()}, sleep=lambda _: None
        )
        return replace(open_link(self.site, Silent(), around), sleep=lambda _: None)

    def all_over(self) -> bool:
        """True when no job goes on at the server."""
        return all(job.is_final for job in self.unicore.service.engines[SITE].jobs())


@contextmanager
def open_world(folder: Path) -> Iterator[World]:
    """A server without a socket, whose login node writes what a whole run writes."""
    begun: Counter[str] = Counter()
    login = FakeLogin(folder / "site", lambda step, _, place: behave(step, place, begun))
    with start_unicore(folder, {SITE: login}, listen=False, grace=2) as unicore:
        site = replace(
            slurm_site(),
            unicore=UnicoreAccess(SITE, unicore.registry_url, ca=unicore.ca_file),
        )
        world = World(unicore, login, site, begun=begun)
        transport, add = unicore.transport(), Engine.add

        def take(engine: Engine, document: dict[str, Any], owner: Any) -> Any:
            world.posted.update(document["Tags"])
            return add(engine, document, owner)

        def answer(asked: httpx.Request) -> httpx.Response:
            found: httpx.Response = world.killer.around(transport.handler, asked)
            return found

        import httpx

        with (
            mock.patch("httpx._client.HTTPTransport", return_value=httpx.MockTransport(answer)),
            mock.patch.object(Engine, "add", take),
            mock.patch(
                "imagefactory.run.record.write_json",
                lambda *words: world.killer.around(write_json, *words),
            ),
            # No TLS is spoken here, and reading the system's authorities takes long.
            mock.patch("imagefactory.run.remote.verification", return_value=True),
            mock.patch("imagefactory.run.later.load_site", return_value=site),
        ):
            yield world


def behave(step: str, folder: Path, begun: Counter[str]) -> Outcome:
    """Stage one says where the image is; the job leaves the parcel of a whole run."""
    if step == "pre":
        plan = make_plan(slurm_site())
        said = ["apptainer apptainer version 1.5.3", f"image {plan.image.path} {plan.image.sif}"]
        text = "".join(f"imagefactory {line}\n" for line in said)
        (folder / ".UNICORE_PRE_0" / "stdout").write_text(text, encoding="utf-8")
        return Outcome(looks=2)
    begun.update(re.findall(r"^# Run (\S+),", (folder / "job.sh").read_text("utf-8"), re.MULTILINE))
    with tarfile.open(folder / "output.tar", "w") as tar:
        ranks = [rank_file(rank, 2) for rank in range(2)]
        for name, content in {**rank_output(ranks), "job.log": b"a log\n"}.items():
            member = tarfile.TarInfo(f"output/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return Outcome(looks=3, queued=1)


def unicore_plan(site: Site, run: str) -> RunPlan:
    """The plan of a run through UNICORE; the launch line binds the folder that the server makes."""
    plan = make_plan(site)
    geometry = plan.geometry
    made = launch_line(site, plan.image.path, geometry.ranks, geometry.nodes, FOLDER)
    return replace(plan, id=run, via=Via.UNICORE, folder=FOLDER, launch=made.argv)


def live(world: World, seed: int) -> Life:
    """One run from its plan to its end: a client that submits, others that go on, a last one that
    nothing disturbs."""
    dice = random.Random(seed)  # noqa: S311 - no secret is made of it
    life, run = Life(seed), f"life-{seed}"
    plan_faults(world, life, dice, run)
    begin(world, life, dice, lambda: _first(world, life, run))
    for _ in range(RESUMES):
        if is_over(run):
            break
        begin(world, life, dice, lambda: _next(world, life, run, dice))
    life.fired = Counter(world.unicore.faults.fired)
    keep_job_faults(world, life, run)
    world.killer = Killer()
    for _ in range(2):
        if not is_over(run):
            _trying(life, lambda: _next(world, life, run, None))
    life.record = read_record(run) if known(run) else None
    world.unicore.faults.clear()
    return life


def plan_faults(world: World, life: Life, dice: random.Random, run: str) -> None:
    """Up to five faults that pass, and in one life of four an end of the job's own."""
    planned = [
        PlannedFault(
            dice.choice(PASSING), on=dice.choice(PLACES), skip=dice.randrange(6),
            times=dice.choice((1, 1, 2, 3, 9)), seconds=90.0,
        )
        for _ in range(dice.randrange(6))
    ]  # fmt: skip
    if dice.random() < 0.25:
        life.end = dice.choice(list(ENDS))
        planned.append(_own_end(life.end, run, dice.randrange(9)))
    life.drawn = [f"{fault.kind} {fault.on} +{fault.skip} x{fault.times}" for fault in planned]
    world.unicore.faults.set(planned, life.seed)


def _own_end(kind: FaultKind, run: str, skip: int = 0) -> PlannedFault:
    skip = skip if kind is FaultKind.JOB_GONE else 0
    return PlannedFault(kind, f"^{re.escape(job_name(run))}$", skip, times=None)


def keep_job_faults(world: World, life: Life, run: str) -> None:
    """The requests are answered again; what the job does by itself it goes on to do."""
    world.unicore.faults.set([_own_end(life.end, run)] if life.end else [], life.seed)


def begin(world: World, life: Life, dice: random.Random, work: Callable[[], object]) -> None:
    """A client's process, which in two of three cases is killed at some call of its."""
    killed = dice.random() < 0.66
    world.killer = Killer(dice.randrange(1, 45) if killed else None, dice.random() < 0.5)
    try:
        _trying(life, work)
    except Killed:
        life.kills += 1


def _trying(life: Life, work: Callable[[], object]) -> None:
    try:
        work()
    except FactoryError as err:
        life.errors.append(err)


def _first(world: World, life: Life, run: str) -> None:
    link = world.link(life)
    finish_run(
        submit_run(unicore_plan(world.site, run), Mode.BATCH, link, Silent()), link, Silent()
    )


def _next(world: World, life: Life, run: str, dice: random.Random | None) -> None:
    if not known(run):  # killed before there was a record: the user begins anew
        _first(world, life, run)
    elif dice is not None and dice.random() < 0.05:
        life.cancelled = True
        cancel(run, Silent(), world.link(life))
    else:
        resume(run, Silent(), world.link(life))


def known(run: str) -> bool:
    from imagefactory.run.record import runs_folder

    return (runs_folder() / run / "record.json").is_file()


def is_over(run: str) -> bool:
    return known(run) and JobState(read_record(run).state).is_final


def find_fault(world: World, life: Life) -> str:
    """What is wrong with a life; empty where nothing is."""
    run, record = f"life-{life.seed}", life.record
    if record is None:
        return "the run is lost: there is no record"
    # A job that the server forgot cannot be found again: then a second one is right.
    if (world.posted[run] > 1 and life.end is not FaultKind.JOB_GONE) or world.begun[run] > 1:
        return f"{world.posted[run]} jobs were posted, {world.begun[run]} were begun"
    wrong = [err for err in life.errors if not isinstance(err, ServiceAway | TrustRefused)]
    if life.cancelled and record.state == "CANCELLED":
        return ""
    if life.end is None or record.state == "FINISHED":
        late = life.end is None and record.state != "FINISHED"
        if late or record.spikes is None or record.spikes["count"] != 2:
            return f"the run is {record.state}: {record.failure}; {list(map(str, wrong))}"
        return ""
    state, words = ENDS[life.end]
    what = (record.failure or {}).get("what", "")
    if record.state != state or words not in what:
        return f"the run is {record.state}: {what!r}, not {words!r}"
    return ""
