"""Runs through UNICORE, by PyUNICORE against the double: each end, each fault, each resume."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from imagefactory.base.errors import (
    FactoryError,
    NoVerdict,
    ServiceAway,
    ToolFailed,
    TrustRefused,
    UsageFault,
)
from imagefactory.base.report import Silent
from imagefactory.base.tokens import FILE_VARIABLE, VARIABLE, Surroundings, TokenRefused
from imagefactory.run import later
from imagefactory.run.description import Mode
from imagefactory.run.outcome import Ending
from imagefactory.run.record import RunRecord, read_record
from imagefactory.run.remote import Link, ending_of, finish_run, open_link, submit_run
from imagefactory.run.states import JobState
from imagefactory.run.unicore import Seen, checked_name
from imagefactory.sandbox.unicore import (
    FakeLogin,
    FaultKind,
    Outcome,
    PlannedFault,
    Unicore,
    start_unicore,
)
from imagefactory.site import Site, UnicoreAccess, load_site
from tests.unit.run.fake_site import SIF, Files, rank_file, rank_output, slurm_site
from tests.unit.run.test_description import unicore_plan

RECORD = """\
schema: 1
name: bookworm
access: {{kind: unicore}}
scheduler: {{kind: slurm, partition: batch, account: proj, time_limit_minutes: 30}}
launcher: {{kind: srun, plugin: pmix, sharens: true}}
folders: {{store: /shared/store, work: /shared/runs}}
nodes: 2
unicore: {{registry: "{registry}", site: bookworm, ca: {ca}}}
"""


@dataclass
class Remote:
    """A double with one site, and what its jobs do and leave."""

    folder: Path
    unicore: Unicore = field(init=False)
    output: Files = field(default_factory=dict)
    packed: bool = True
    pre: Outcome = field(default_factory=Outcome)
    main: Outcome = field(default_factory=lambda: Outcome(0, looks=3, queued=1))
    stage_says: str = f"image /shared/store/x.sif {SIF}"
    errors: str = ""
    report: Silent = field(default_factory=Silent)
    slept: list[float] = field(default_factory=list)
    on_sleep: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        ranks = [rank_file(rank, 4) for rank in range(4)]
        self.output = rank_output(ranks) | {"job.log": b"all is well\n"}
        self.login = FakeLogin(self.folder / "site", self.behave)

    def behave(self, step: str, _command: str, folder: Path) -> Outcome:
        if step == "pre":
            assert {"stage.sh", "stage_one.sh", "job.sh", "inside"} <= {
                path.name for path in folder.iterdir()
            }
            said = folder / ".UNICORE_PRE_0"
            said.mkdir(exist_ok=True)
            (said / "stdout").write_text(f"imagefactory {self.stage_says}\n", "utf-8")
            (said / "stderr").write_text(self.errors, "utf-8")
            return self.pre
        (folder / "output").mkdir()
        for name, data in self.output.items():
            (folder / "output" / name).write_bytes(data)
        if self.packed:
            (folder / "output.tar").write_bytes(self.tar())
        (folder / "stderr").write_text(self.errors, "utf-8")
        return self.main

    def tar(self) -> bytes:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, data in self.output.items():
                member = tarfile.TarInfo(f"output/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return stream.getvalue()

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.on_sleep()

    def site(self) -> Site:
        access = UnicoreAccess("bookworm", self.unicore.registry_url, ca=self.unicore.ca_file)
        return replace(slurm_site(), unicore=access)

    def link(self, token: str | None = None) -> Link:
        given = {VARIABLE: self.unicore.token() if token is None else token}
        return open_link(self.site(), self.report, Surroundings(given, sleep=self.sleep))

    def submit(self, mode: Mode = Mode.BATCH, link: Link | None = None) -> RunRecord:
        return submit_run(unicore_plan(self.site()), mode, link or self.link(), self.report)

    def go(self, mode: Mode = Mode.BATCH) -> RunRecord:
        link = self.link()
        return finish_run(self.submit(mode, link), link, self.report)

    def fail(self, kind: type[FactoryError]) -> FactoryError:
        with pytest.raises(kind) as caught:
            self.go()
        return caught.value

    def fault(self, kind: FaultKind, on: str, **options: int) -> None:
        times: int | None = options.get("times", 1)
        self.unicore.faults.add(
            PlannedFault(kind, on=on, skip=options.get("skip", 0), times=times or None)
        )


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    found = Remote(tmp_path)
    with start_unicore(tmp_path, {"bookworm": found.login}, listen=False) as unicore:
        found.unicore = unicore
        monkeypatch.setattr("httpx._client.HTTPTransport", lambda **_: unicore.transport())
        sites = tmp_path / "settings" / "sites"
        sites.mkdir(parents=True)
        text = RECORD.format(registry=unicore.registry_url, ca=unicore.ca_file)
        (sites / "bookworm.yaml").write_text(text, "utf-8")
        yield found


RUN = "bookworm-net"
CRASH_LOG = "1: ValueError: a defect\nsrun: error: c2: task 1: Exited with exit code 3\n"


def posted(remote: Remote) -> int:
    return remote.unicore.requests["POST jobs"]


def mains(remote: Remote) -> int:
    return [step for step, _ in remote.login.started].count("main")


@pytest.mark.parametrize("mode", [Mode.BATCH, Mode.RAW, Mode.LOGIN])
def test_a_finished_run(remote: Remote, mode: Mode) -> None:
    record = remote.go(mode)
    assert read_record(RUN) == record
    assert record.state == "FINISHED"
    assert record.image["verified"] == str(SIF)
    assert record.spikes is not None
    assert record.spikes["count"] == 4
    assert record.job["via"] == "unicore"
    assert (record.folder / "log.txt").read_text("utf-8") == "all is well\n"
    assert remote.login.started[0] == ("pre", "sh stage.sh")
    assert (posted(remote), mains(remote)) == (1, 1)


def test_the_site_record_of_the_file_is_that_of_the_test(remote: Remote) -> None:
    assert load_site("bookworm").unicore == remote.site().unicore


def test_without_a_parcel_the_files_come_one_by_one(remote: Remote) -> None:
    remote.packed = False
    assert remote.go().state == "FINISHED"


def test_a_wait_backs_off_and_is_bounded(remote: Remote) -> None:
    remote.main = Outcome(0, looks=30)
    remote.go()
    assert remote.slept == sorted(remote.slept)
    assert remote.slept[-1] == 30
    assert remote.unicore.requests["GET job"] == len(remote.slept) + 2, "one request a look"


# --- ends -----------------------------------------------------------------------------------------


def test_stage_one_fails_as_it_does_through_ssh(remote: Remote) -> None:
    remote.pre = Outcome(12)
    remote.errors = "the store's disk is too full: 9 bytes are needed\n"
    error = remote.fail(ToolFailed)
    assert "stage one: the store's disk is too full" in str(error)
    assert "folders.store" in str(error)
    assert read_record(RUN).state == "FAILED"
    assert mains(remote) == 0


def test_the_pull_is_seen_while_it_goes_on(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(
        remote.report, "progress", lambda what, done, total: told.append((what, done, total))
    )
    remote.pre = Outcome(0, looks=3)
    says = remote.stage_says
    remote.stage_says = "takeover login1 77\nimagefactory bytes 100 4000\n"
    remote.fault(FaultKind.UNAVAILABLE, "GET .*PRE_0/stdout", times=1)  # told of at the next look
    written = remote.folder / "site" / "jobs"

    def go_on() -> None:
        if told:  # stage one ends
            for path in written.glob("*/.UNICORE_PRE_0/stdout"):
                path.write_text(f"imagefactory {says}\n", "utf-8")

    remote.on_sleep = go_on
    assert remote.go().state == "FINISHED"
    assert set(told) == {("pulling the image", 100, 4000)}
    assert not remote.report.warnings


def test_a_registry_that_was_away_ends_the_job(remote: Remote) -> None:
    remote.pre, remote.errors = Outcome(13), "the registry cannot be reached from login\n"
    assert "the registry cannot be reached" in str(remote.fail(ServiceAway))
    assert read_record(RUN).state == "FAILED", "this job is over: there is nothing to resume"


def test_another_image_is_refused(remote: Remote) -> None:
    remote.stage_says = f"image /shared/store/x.sif sha256:{'0' * 64}"
    assert "another image" in str(remote.fail(TrustRefused))
    assert read_record(RUN).state == "FAILED"


def test_success_without_stage_ones_word_is_none(remote: Remote) -> None:
    remote.stage_says = "nothing"
    assert "did not say where" in str(remote.fail(ToolFailed))


def test_success_without_results_is_no_success(remote: Remote) -> None:
    remote.output, remote.packed = {}, False
    remote.fail(NoVerdict)
    assert read_record(RUN).state == "FAILED"


def test_a_main_that_fails(remote: Remote) -> None:
    remote.main = Outcome(3)
    remote.output = {"job.log": CRASH_LOG.encode()}
    assert "rank 1 of 4" in str(remote.fail(ToolFailed))
    assert read_record(RUN).state == "FAILED"


def test_slurms_time_limit(remote: Remote) -> None:
    remote.main = Outcome(None)
    remote.errors = "*** JOB 7 ON c1 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***\n"
    remote.packed = False
    assert "time limit" in str(remote.fail(ToolFailed))
    assert read_record(RUN).state == "TIMEOUT"


@pytest.mark.parametrize(
    ("message", "errors", "code", "state"),
    [
        ("Job aborted.", "", None, JobState.CANCELLED),
        ("did not complete", "*** JOB 1 ON c1 CANCELLED AT 2026 ***", None, JobState.CANCELLED),
        ("did not complete", "", None, JobState.FAILED),
        ("x", "CANCELLED AT, says the program", 3, JobState.FAILED),
    ],
)
def test_what_failed_means(message: str, errors: str, code: int | None, state: JobState) -> None:
    seen = Seen("FAILED", JobState.FAILED, message, code)
    assert ending_of(seen, errors) == Ending(state, message, code)


def test_a_job_that_was_deleted(remote: Remote) -> None:
    remote.fault(FaultKind.JOB_GONE, "", times=0)
    error = remote.fail(FactoryError)
    assert "deleted" in str(error) or "404" in str(error)
    assert read_record(RUN).state == "FAILED"


# --- faults ---------------------------------------------------------------------------------------

PASSING = [
    (FaultKind.UNAVAILABLE, r"GET .*/jobs/\w"), (FaultKind.BROKEN, r"GET .*/jobs/\w"),
    (FaultKind.CUT, r"GET .*/jobs/\w"), (FaultKind.ERROR_PAGE, r"GET .*/jobs/\w"),
    (FaultKind.SESSION_GONE, r"GET .*/jobs/\w"), (FaultKind.UNKNOWN_STATUS, r"GET .*/jobs/\w"),
    (FaultKind.CUT_BODY, r"GET .*/jobs/\w"),
    (FaultKind.UNAVAILABLE, r"PUT "), (FaultKind.CUT, r"PUT "), (FaultKind.LOST_REPLY, r"PUT "),
    (FaultKind.CUT, r"POST .*/start"), (FaultKind.LOST_REPLY, r"POST .*/start"),
    (FaultKind.UNAVAILABLE, r"POST .*/start"), (FaultKind.ERROR_PAGE, r"POST .*/start"),
    (FaultKind.CUT, r"POST .*/jobs$"), (FaultKind.LOST_REPLY, r"POST .*/jobs$"),
    (FaultKind.UNAVAILABLE, r"POST .*/jobs$"), (FaultKind.ERROR_PAGE, r"GET .*output.tar"),
    (FaultKind.ERROR_BODY, r"GET .*output.tar"), (FaultKind.CUT_BODY, r"GET .*output.tar"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "on"), PASSING)
def test_what_passes_is_got_over(remote: Remote, kind: FaultKind, on: str) -> None:
    remote.fault(kind, on, times=2)
    assert remote.go().state == "FINISHED"
    assert mains(remote) == 1, "no job is done twice"
    assert sum(remote.unicore.faults.fired.values()) > 0, "the fault was there"


def test_a_lost_reply_posts_once(remote: Remote) -> None:
    remote.fault(FaultKind.LOST_REPLY, r"POST .*/jobs$")
    assert remote.go().state == "FINISHED"
    assert posted(remote) == 1


@pytest.mark.parametrize(
    ("kind", "on"),
    [
        (FaultKind.LOST_REPLY, r"POST .*/jobs$"), (FaultKind.CUT, r"POST .*/jobs$"),
        (FaultKind.CUT, r"PUT .*job.sh"), (FaultKind.CUT, r"POST .*/start"),
        (FaultKind.UNAVAILABLE, r"GET .*/jobs/\w"), (FaultKind.REFUSED, r"GET .*/jobs/\w"),
        (FaultKind.UNAUTHORISED, r"GET .*output.tar"), (FaultKind.CUT, r"GET .*output.tar"),
    ],
)  # fmt: skip
def test_a_client_that_gives_up_is_resumed_by_another(
    remote: Remote, kind: FaultKind, on: str
) -> None:
    link = remote.link()
    remote.fault(kind, on, times=0)
    remote.fault(FaultKind.UNAVAILABLE, r"GET .*/jobs$", times=0)  # nor can it look for its job
    with pytest.raises((ServiceAway, TokenRefused)):
        finish_run(remote.submit(link=link), link, remote.report)
    record = read_record(RUN)
    assert record.failure is None
    assert not JobState(record.state).is_final
    remote.unicore.faults.clear()
    assert later.resume(RUN, remote.report, remote.link()).state == "FINISHED"
    assert mains(remote) == 1


def test_a_client_that_is_killed_after_the_post_finds_its_job(remote: Remote) -> None:
    class Killed(BaseException):
        pass

    def die() -> None:
        raise Killed

    remote.fault(FaultKind.LOST_REPLY, r"POST .*/jobs$")
    remote.on_sleep = die
    with pytest.raises(Killed):
        remote.go()
    assert read_record(RUN).job["submitting"]
    assert "id" not in read_record(RUN).job
    remote.on_sleep = lambda: None
    assert later.resume(RUN, remote.report, remote.link()).state == "FINISHED"
    assert (posted(remote), mains(remote)) == (1, 1)


# --- from another process -------------------------------------------------------------------------


def test_detached_then_watched(remote: Remote) -> None:
    remote.submit()
    assert later.watch(RUN, remote.report, remote.link()).state == "FINISHED"


def test_fetch_does_not_wait(remote: Remote) -> None:
    remote.main = Outcome(0, looks=3)
    remote.submit()
    with pytest.raises(UsageFault, match="not over"):
        later.fetch(RUN, remote.report, remote.link())
    for _ in range(20):
        remote.unicore.turn()
    assert later.fetch(RUN, remote.report, remote.link()).state == "FINISHED"
    with pytest.raises(UsageFault, match="nothing to wait for"):
        later.fetch(RUN, remote.report, remote.link())


@pytest.mark.parametrize("lost", [0, 1])
def test_cancel(remote: Remote, lost: int) -> None:
    remote.main = Outcome(0, looks=50)
    remote.submit()
    for _ in range(6):
        remote.unicore.turn()
    if lost:
        remote.fault(FaultKind.ABORT_LOST, "", times=lost)
    assert later.cancel(RUN, remote.report, remote.link()).state == "CANCELLED"
    assert remote.login.cancelled


def test_a_finished_job_is_not_cancelled(remote: Remote) -> None:
    remote.submit()
    for _ in range(20):
        remote.unicore.turn()
    with pytest.raises(UsageFault, match="nothing to cancel"):
        later.cancel(RUN, remote.report, remote.link())
    assert later.fetch(RUN, remote.report, remote.link()).state == "FINISHED"


def test_a_token_source_that_goes_away_leaves_the_run(remote: Remote, tmp_path: Path) -> None:
    now, path = [1_800_000_000.0], tmp_path / "token"
    remote.unicore.issuer.clock = lambda: now[0]
    path.write_text(remote.unicore.token(lifetime=4000))
    path.chmod(0o600)
    around = Surroundings({FILE_VARIABLE: str(path)}, sleep=remote.sleep, clock=lambda: now[0])
    link = open_link(remote.site(), remote.report, around)
    record = remote.submit(link=link)
    path.unlink()
    now[0] += 3950
    assert link.unicore.look(record.job["id"], remote.report).word, "it holds for 50 s yet"
    now[0] += 50
    with pytest.raises(TokenRefused):
        finish_run(record, link, remote.report)
    assert read_record(RUN).failure is None
    assert later.resume(RUN, remote.report, remote.link()).state == "FINISHED"


def test_an_abort_that_does_nothing_is_told(remote: Remote) -> None:
    remote.main = Outcome(0, looks=500)
    remote.submit()
    remote.fault(FaultKind.ABORT_LOST, "", times=0)
    with pytest.raises(ToolFailed, match="could not be cancelled"):
        later.cancel(RUN, remote.report, remote.link())
    assert read_record(RUN).state != "CANCELLED"


def test_the_user_stops_it(remote: Remote) -> None:
    def stop() -> None:
        remote.on_sleep = lambda: None
        raise KeyboardInterrupt

    remote.main = Outcome(0, looks=500)
    link = remote.link()
    record = remote.submit(link=link)
    remote.on_sleep = stop
    with pytest.raises(KeyboardInterrupt):
        finish_run(record, link, remote.report)
    assert read_record(RUN).state == "CANCELLED"


# --- who may --------------------------------------------------------------------------------------


def test_an_unknown_site_shows_the_nearest(remote: Remote) -> None:
    access = replace(remote.site().unicore or UnicoreAccess(), site="bockworm")
    site = replace(remote.site(), unicore=access)
    around = Surroundings({VARIABLE: remote.unicore.token()})
    with pytest.raises(UsageFault, match="did you mean 'bookworm'"):
        open_link(site, remote.report, around)


def test_tokens_that_the_site_does_not_take(remote: Remote) -> None:
    for token in (remote.unicore.foreign_token(), remote.unicore.token("stranger"), "opaque"):
        with pytest.raises(TokenRefused):
            remote.link(token)
    with pytest.raises(TokenRefused, match="has ended"):
        remote.link(remote.unicore.token(lifetime=-5))
    assert posted(remote) == 0


def test_a_token_that_ends_before_the_job_may(remote: Remote) -> None:
    remote.link(remote.unicore.token(lifetime=600))
    assert any("ends in" in warning for warning in remote.report.warnings)


def test_no_token_in_anything_that_is_written_or_told(
    remote: Remote, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = remote.unicore.token()
    told: list[str] = []
    faults = (
        (None, ""), (FaultKind.REFUSED, "GET .*/jobs/"), (FaultKind.BROKEN, "PUT "),
        (FaultKind.ERROR_BODY, "GET .*output.tar"), (FaultKind.CUT, "POST "),
    )  # fmt: skip
    for kind, on in faults:
        remote.unicore.faults.clear()
        if kind:
            remote.fault(kind, on, times=0)
        try:
            link = Link(remote.link(token).unicore, remote.sleep)
            told.append(repr(finish_run(remote.submit(link=link), link, remote.report)))
        except FactoryError as err:
            told += [str(err), repr(err), repr(err.__cause__), err.detail]
        told += [path.read_text("utf-8", "replace") for path in remote.folder.rglob("*")
                 if path.is_file()]  # fmt: skip
    told += [*remote.report.warnings, caplog.text, json.dumps(remote.report.commands)]
    secrets_ = {token, token.rpartition(".")[2]}
    assert len(told) > 100, "something was looked at"
    assert not [text for text in told if any(secret in text for secret in secrets_)]


@pytest.mark.parametrize("path", ["/output/../x", "output/a/b", "/etc/passwd", "output/a\nb", ".."])
def test_names_that_climb(path: str) -> None:
    with pytest.raises(TrustRefused):
        checked_name(path, "output")


def test_a_parcel_that_climbs(remote: Remote) -> None:
    remote.output = {"../../../evil": b"x"}
    remote.packed = False
    member = tarfile.TarInfo("output/../../evil")
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(member, io.BytesIO())
    remote.output = {}
    remote.packed = True
    remote.tar = stream.getvalue  # type: ignore[method-assign]
    assert "do not take" in str(remote.fail(TrustRefused))
    assert read_record(RUN).state == "FAILED"
