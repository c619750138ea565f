"""stage_one.sh as a real process, with an apptainer of our own on PATH and no curl: cut, altered,
full disk, two pullers, a puller that is killed. (With the real ones: test_staged_pulls.py.)"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "imagefactory" / "run" / "stage_one.sh"
CONTENT = b"a whole image\n" * 5000
HEX = hashlib.sha256(CONTENT).hexdigest()
# What the real one writes: facts/building-blocks.md 6 and trials with Apptainer 1.5.3.
APPTAINER = """\
#!/bin/sh
[ "$1" != --version ] || { echo "apptainer version 1.5.3"; exit 0; }
[ "$1" = pull ] && [ "$2" = --disable-cache ] && [ -d "$APPTAINER_TMPDIR" ] || exit 99
echo "$$" >>"$FAKE/pulls"
head -c 20000 "$FAKE/image" >"$APPTAINER_TMPDIR/part"
while [ -e "$FAKE/hold" ]; do sleep 0.05; done
say() { echo "FATAL:   While pulling image from oci registry: $*" >&2; exit 255; }
case $(cat "$FAKE/behaviour") in
good) cp "$FAKE/image" "$3" ;;
cut) head -c 30000 "$FAKE/image" >"$3" ;;
noticed) say 'error verifying sha256 checksum after reading 5 bytes; got "x", want "y"' ;;
full) say "write $3: no space left on device" ;;
away) say 'Get "https://r/v2/": dial tcp 127.0.0.1:1: connect: connection refused' ;;
missing) say "GET http://r/v2/m: MANIFEST_UNKNOWN: manifest unknown" ;;
refused) say "GET http://r/v2/m: UNAUTHORIZED: authentication required" ;;
odd) say "something new" ;;
esac
"""


@dataclass
class Stage:
    """A store, and an apptainer that behaves as told."""

    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "bin").mkdir()
        self.program("apptainer", APPTAINER)
        self.program("curl", "#!/bin/sh\nexit 127\n")
        (self.folder / "image").write_bytes(CONTENT)
        self.behave("good")

    def program(self, name: str, text: str) -> None:
        """Put a program of our own on PATH."""
        (self.folder / "bin" / name).write_text(text, encoding="utf-8")
        (self.folder / "bin" / name).chmod(0o755)

    @property
    def store(self) -> Path:
        return self.folder / "a store"

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {"PATH": path, "FAKE": str(self.folder)}

    @property
    def final(self) -> Path:
        return self.store / f"sha256-{HEX}.sif"

    @property
    def pulls(self) -> list[str]:
        log = self.folder / "pulls"
        return log.read_text("utf-8").split() if log.exists() else []

    def behave(self, how: str) -> None:
        (self.folder / "behaviour").write_text(how, encoding="utf-8")

    def hold(self) -> None:
        (self.folder / "hold").touch()

    def let_go(self) -> None:
        (self.folder / "hold").unlink()

    def start(self, size: int = len(CONTENT), **environment: str) -> subprocess.Popen[str]:
        image = ["oras://r/a@sha256:" + "0" * 64, HEX, str(size)]
        words = [str(self.store), *image, "apptainer", "a-run"]
        script = SCRIPT.open()
        process = subprocess.Popen(
            # A CI job in the background has INT ignored, and a shell cannot trap that again.
            ["env", "--default-signal=INT", "sh", "-s", "--", *words],
            stdin=script,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment | environment,
        )
        script.close()
        self.started.append(process)
        return process

    def stop(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)
        for process in self.started:
            process.kill()
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def run(self, size: int = len(CONTENT)) -> tuple[int, str, str]:
        return ended(self.start(size))

    def wait_for_pull(self, count: int = 1) -> None:
        wait_until(lambda: len(self.pulls) >= count)

    def leftovers(self) -> list[str]:
        """Everything in the store but the image itself and the marks of its users."""
        kept = {self.final, self.store / ".used"}
        return sorted(path.name for path in self.store.iterdir() if path not in kept)

    def clean(self, days: int, act: str = "remove", scheduler: str = "slurm") -> list[str]:
        """What `clean` says of each image, without the digest; raises for another exit status."""
        words = ["clean", str(self.store), str(days), scheduler, act]
        done = subprocess.run(
            ["sh", SCRIPT, *words], capture_output=True, text=True, check=True, env=self.environment
        )
        return [line.replace(HEX, "HEX") for line in done.stdout.splitlines()]

    def queue(self, script: str) -> None:
        """What squeue does from now on."""
        self.program("squeue", f"#!/bin/sh\n{script}\n")

    def age(self, days: float) -> str:
        """Let the image and the marks be so old; returns the day of their last use."""
        then = time.time() - days * 86400
        for path in (self.final, *(self.store / ".used").iterdir()):
            os.utime(path, (then, then))
        return time.strftime("%Y-%m-%d", time.localtime(then))


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


def wait_until(true: object) -> None:
    assert callable(true)
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not happen within 30 s")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.stop()


def test_pulls_once_and_then_finds_it(stage: Stage) -> None:
    status, output, errors = stage.run()
    assert (status, errors) == (0, "")
    assert stage.final.read_bytes() == CONTENT
    assert f"imagefactory pulled {stage.final}" in output
    assert output.endswith(f"imagefactory image {stage.final} sha256:{HEX}\n")
    status, output, _ = stage.run()
    assert status == 0
    assert "pulled" not in output
    assert len(stage.pulls) == 1
    assert stage.leftovers() == []


def test_progress_is_said_in_bytes(stage: Stage) -> None:
    stage.hold()
    process = stage.start()
    stage.wait_for_pull()
    assert process.stdout is not None
    while not (line := process.stdout.readline()).startswith("imagefactory bytes"):
        assert line
    done, total = map(int, line.split()[2:])
    assert done > 0
    assert total == len(CONTENT)
    stage.let_go()
    assert ended(process)[0] == 0


@pytest.mark.parametrize(
    ("behaviour", "status", "said"),
    [
        ("cut", 16, "the image that came has the sha256"),
        ("noticed", 16, "the registry has wrong bytes"),
        ("full", 12, "no space in"),
        ("away", 13, "the registry cannot be reached"),
        ("missing", 14, "the registry has no such image"),
        ("refused", 15, "the registry refused us"),
        ("odd", 18, "apptainer pull failed"),
    ],
)
def test_failed_pulls_leave_nothing(stage: Stage, behaviour: str, status: int, said: str) -> None:
    stage.behave(behaviour)
    found, output, errors = stage.run()
    assert found == status
    assert said in errors.splitlines()[-1]
    assert "imagefactory image" not in output
    assert not stage.final.exists()
    assert stage.leftovers() == []


def test_a_disk_that_is_too_small_is_seen_before_the_pull(stage: Stage) -> None:
    status, _, errors = stage.run(size=10**15)
    assert status == 12
    assert "the store's disk is too full" in errors
    assert stage.pulls == []
    assert stage.leftovers() == []


def test_an_altered_image_is_pulled_again(stage: Stage) -> None:
    assert stage.run()[0] == 0
    stage.final.chmod(0o644)
    stage.final.write_bytes(CONTENT[:-1] + b"X")
    status, output, _ = stage.run()
    assert status == 0
    assert f"imagefactory altered {stage.final}" in output
    assert stage.final.read_bytes() == CONTENT
    assert len(stage.pulls) == 2


def test_two_pullers_download_once(stage: Stage) -> None:
    stage.hold()
    first = stage.start()
    stage.wait_for_pull()
    second = stage.start()
    assert second.stdout is not None
    while "waiting" not in (line := second.stdout.readline()):
        assert line
    stage.let_go()
    assert [ended(process)[0] for process in (first, second)] == [0, 0]
    assert len(stage.pulls) == 1
    assert stage.leftovers() == []


def test_five_at_once_download_once(stage: Stage) -> None:
    processes = [stage.start() for _ in range(5)]
    assert [ended(process)[0] for process in processes] == [0] * 5
    assert len(stage.pulls) == 1
    assert stage.leftovers() == []


def test_a_killed_puller_does_not_block_the_next(stage: Stage) -> None:
    stage.hold()
    first = stage.start()
    stage.wait_for_pull()
    first.kill()
    first.wait()
    pid = int(stage.pulls[0])
    wait_until(lambda: not Path(f"/proc/{pid}").exists())  # its apptainer goes with it
    second = stage.start()
    stage.wait_for_pull(2)
    stage.let_go()
    status, output, _ = ended(second)
    assert status == 0
    assert f"{first.pid}" in output.split("imagefactory takeover ")[1].splitlines()[0]
    assert stage.final.read_bytes() == CONTENT
    assert stage.leftovers() == []


def test_a_silent_puller_on_another_node_is_buried(stage: Stage) -> None:
    lock = stage.store / f".lock-{HEX}"
    lock.mkdir(parents=True)
    (lock / "owner").write_text("1.1.other-node\n", encoding="utf-8")
    (lock / "beat").write_text("7\n", encoding="utf-8")
    status, output, _ = ended(stage.start(IMAGEFACTORY_STALE="3"))
    assert status == 0
    assert "imagefactory takeover other-node 1" in output
    assert stage.leftovers() == []


def test_a_puller_on_another_node_that_beats_is_waited_for(stage: Stage) -> None:
    lock = stage.store / f".lock-{HEX}"
    lock.mkdir(parents=True)
    (lock / "owner").write_text("1.1.other-node\n", encoding="utf-8")
    process = stage.start(IMAGEFACTORY_STALE="4")
    for beat in range(40):
        (lock / "beat").write_text(f"{beat}\n", encoding="utf-8")
        time.sleep(0.1)
    assert process.poll() is None
    assert stage.pulls == []
    lock.rename(stage.folder / "released")
    assert ended(process)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stopped_puller_cleans_up(stage: Stage, number: signal.Signals) -> None:
    stage.hold()
    process = stage.start()
    stage.wait_for_pull()
    process.send_signal(number)
    assert ended(process)[0] == 128 + number
    assert not stage.final.exists()
    assert stage.leftovers() == []


def test_a_lost_connection_stops_the_puller(stage: Stage) -> None:
    stage.hold()
    process = stage.start()
    stage.wait_for_pull()
    assert process.stdout is not None
    process.stdout.close()  # what ssh's server does when the client is gone
    process.wait(timeout=30)
    assert stage.leftovers() == []


def test_no_apptainer(stage: Stage) -> None:
    (stage.folder / "bin" / "apptainer").rename(stage.folder / "bin" / "other")
    status, _, errors = ended(stage.start(PATH=f"{stage.folder / 'bin'}:/usr/bin:/bin"))
    assert status == 11
    assert "there is no program apptainer" in errors


def test_a_store_that_cannot_be_made(stage: Stage) -> None:
    stage.store.write_text("a file", encoding="utf-8")
    assert stage.run()[0] == 17


# ------------------------------------------------------------------------- the store, cleaned


def test_what_no_run_needs_is_removed(stage: Stage) -> None:
    stage.queue("echo another-run")
    assert stage.run()[0] == 0
    day = stage.age(31)
    assert stage.clean(30, "show") == [f"imagefactory unused HEX {len(CONTENT)} {day}"]
    assert stage.final.exists()
    assert stage.clean(30) == [f"imagefactory removed HEX {len(CONTENT)} {day}"]
    assert not stage.final.exists()
    assert not list((stage.store / ".used").iterdir())
    assert stage.leftovers() == []


@pytest.mark.parametrize("name", ["a-run", "a.run"])
def test_what_a_job_in_the_queue_needs_is_kept(stage: Stage, name: str) -> None:
    stage.queue(f"echo other; echo {name}; echo more")
    assert stage.run()[0] == 0
    day = stage.age(400)
    assert stage.clean(0) == [f"imagefactory kept HEX {len(CONTENT)} {day} job a-run"]
    assert stage.final.exists()


def test_what_was_staged_lately_is_kept(stage: Stage) -> None:
    stage.queue("true")
    assert stage.run()[0] == 0
    stage.age(31)
    assert stage.run()[0] == 0  # found, not pulled: a use all the same
    day = time.strftime("%Y-%m-%d")
    assert stage.clean(30) == [f"imagefactory kept HEX {len(CONTENT)} {day} recent"]


def test_nothing_is_removed_when_slurm_cannot_be_asked(stage: Stage) -> None:
    stage.queue("exit 1")
    assert stage.run()[0] == 0
    stage.age(400)
    with pytest.raises(subprocess.CalledProcessError) as caught:
        stage.clean(0)
    assert caught.value.returncode == 19
    assert stage.final.exists()
    stage.clean(0, scheduler="none")
    assert not stage.final.exists()


def test_a_run_that_is_staged_while_the_store_is_cleaned(stage: Stage) -> None:
    """Its mark is older than its look at the image: the image is put back."""
    assert stage.run()[0] == 0
    day = stage.age(400)
    # The second question comes when the image has been set aside.
    mark, gone = stage.store / ".used" / f"{HEX}.late-run", stage.store / f".gone-{HEX}-*"
    stage.queue(f"ls {str(gone).replace(' ', '?')} 2>/dev/null && touch '{mark}'; true")
    said = stage.clean(30)
    assert said == [f"imagefactory kept HEX {len(CONTENT)} {time.strftime('%Y-%m-%d')} recent"]
    assert day != time.strftime("%Y-%m-%d")
    assert stage.final.read_bytes() == CONTENT
    assert stage.leftovers() == []


def test_a_cleaner_that_was_killed_half_way(stage: Stage) -> None:
    stage.queue("true")
    assert stage.run()[0] == 0
    stage.final.rename(stage.store / f".gone-{HEX}-999999999.1.{os.uname().nodename}")
    assert stage.clean(30)[0].startswith(f"imagefactory kept HEX {len(CONTENT)}")
    assert stage.final.read_bytes() == CONTENT
    assert stage.leftovers() == []


def test_a_store_of_somebody_else_is_used_as_it_is(stage: Stage) -> None:
    """As a user who may read only; an altered image is refused, not replaced."""
    assert stage.run()[0] == 0
    reader = ["setpriv", "--reuid", "65534", "--clear-groups"] if os.geteuid() == 0 else []
    for folder in (stage.folder, *stage.folder.parents):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    stage.store.chmod(0o555)
    words = [str(stage.store), "oras://r/a@sha256:0", HEX, str(len(CONTENT)), "apptainer", "theirs"]
    found = []
    for content in (CONTENT, b"other bytes"):
        stage.final.chmod(0o644)
        stage.final.write_bytes(content)
        found.append(
            subprocess.run(
                [*reader, "sh", "-s", "--", *words], input=SCRIPT.read_text("utf-8"),
                capture_output=True, text=True, env=stage.environment, check=False,
            )
        )  # fmt: skip
    stage.store.chmod(0o755)
    assert found[0].returncode == 0, found[0].stderr
    assert found[0].stdout.endswith(f"imagefactory image {stage.final} sha256:{HEX}\n")
    assert (stage.store / ".used" / f"{HEX}.theirs").exists()
    assert found[1].returncode == 17
    assert "was altered" in found[1].stderr


def test_a_quota_is_seen_before_the_pull(stage: Stage) -> None:
    """`fallocate` is asked for the blocks; here a stand-in answers as it does under a quota."""
    said = "fallocate: fallocate failed: Disk quota exceeded"
    stage.program("fallocate", f"#!/bin/sh\necho {said} >&2; exit 1\n")
    status, _, errors = stage.run()
    assert status == 12
    assert "Disk quota exceeded" in errors
    assert stage.pulls == []
