"""The login node behind the double: what is sent to it, and how its answers are read."""

from __future__ import annotations

import base64
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Done
from imagefactory.sandbox.unicore.description import granted_resources, read_work
from imagefactory.sandbox.unicore.login import BACKGROUND, BATCH, PROCESS, FileFacts, Seen, Watch
from imagefactory.sandbox.unicore.scripts import Place, batch_message, expand, slurm_script
from imagefactory.sandbox.unicore.shell_login import (
    ShellLogin,
    open_login,
    read_listing,
    read_look,
    slurm_state,
)
from imagefactory.sandbox.unicore.start import PARTITION

if TYPE_CHECKING:
    from tests.conftest import Golden

PLACE = Place("/jobs/abc/", "UID=scientist@sandbox.test")


@dataclass
class FakeShell:
    """Answers from a function of script and words; keeps what was sent."""

    answer: Callable[[str, tuple[str, ...]], tuple[int, str]]
    where: str = "login"
    asked: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    sent: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    def run(
        self,
        script: str,
        *arguments: str,
        timeout: float,
        on_line: Callable[[str], None] | None = None,
        log: Path | None = None,
    ) -> Done:
        self.asked.append((script, arguments))
        status, output = self.answer(script, arguments)
        return Done(("sh",), status, output, "", 0.0)

    def send(self, parcel: Path, folder: str) -> None:
        with tarfile.open(parcel) as tar:
            for member in tar.getmembers():
                stream = tar.extractfile(member)
                assert stream is not None
                self.sent[f"{folder}/{member.name}"] = (member.mode, stream.read())

    def fetch(self, folder: str, parcel: Path, limit: int) -> None:
        raise AssertionError


def login(
    answer: Callable[[str, tuple[str, ...]], tuple[int, str]],
) -> tuple[ShellLogin, FakeShell]:
    shell = FakeShell(answer)
    return ShellLogin(shell, "scientist", "users", "/home/scientist/", "/jobs/"), shell


def message(**document: object) -> str:
    work = read_work({"Executable": "date", **document})
    granted = {} if work.kind == "RAW" else granted_resources(work, PARTITION)
    return batch_message(work, PLACE, granted)


def test_the_script_for_sbatch(golden: Golden) -> None:
    text = message(
        Resources={"Nodes": 2, "CPUsPerNode": 2, "Runtime": "90", "Memory": "2G", "QoS": "high",
                   "Reservation": "res", "NodeConstraints": "gpu", "Exclusive": True},
        Project="paying", Name="two stage",
    )  # fmt: skip
    golden.check("unicore/sbatch.sh", slurm_script(text, "UNICORE_Job_ABC123"))


def test_tasks_without_nodes() -> None:
    script = slurm_script(message(Resources={"TotalCPUs": 3}), "job")
    assert "#SBATCH --ntasks=3\n" in script
    assert "--nodes" not in script


def test_home_is_replaced_everywhere() -> None:
    text = message(Arguments=["'$HOME/$USER'"])
    assert "date '/home/me/me'\n" in expand(text, "/home/me", "me")


def test_a_precommand_off_the_login_node_is_pasted_in() -> None:
    text = message(RunUserPrecommandOnLoginNode="false", **{"User precommand": "(exit 3)"})
    assert "# user defined pre-command\n(exit 3)\ndate\n" in text


def test_who_we_are() -> None:
    found = open_login(FakeShell(lambda *_: (0, "scientist\nusers\n/home/scientist\n")), "/jobs/")
    assert (found.user, found.group, found.home) == ("scientist", "users", "/home/scientist/")
    with pytest.raises(ToolFailed, match="who we are"):
        open_login(FakeShell(lambda *_: (1, "")), "/jobs/")


def test_submit_gives_the_id_of_slurm() -> None:
    site, shell = login(lambda *_: (0, "Submitted batch job 4711\n"))
    assert site.submit(message(), PLACE.folder) == "4711"
    folder, unique, text, script = shell.asked[0][1]
    assert folder == PLACE.folder
    assert text.startswith("#!/bin/bash -l\n#TSI_SUBMIT\n")
    assert script.endswith(f"/jobs/abc//UNICORE_Job_{unique}\n")


def test_submit_tells_what_sbatch_said() -> None:
    site, _ = login(lambda *_: (1, "sbatch: error: invalid account\n"))
    with pytest.raises(ToolFailed, match="invalid account"):
        site.submit(message(), PLACE.folder)
    silent, _ = login(lambda *_: (0, "what?\n"))
    with pytest.raises(ToolFailed, match="Submission result:what"):
        silent.submit(message(), PLACE.folder)


def test_a_raw_job_brings_its_own_directives() -> None:
    directives = "#!/bin/bash\n#SBATCH --nodes=2\n"

    def answer(script: str, words: tuple[str, ...]) -> tuple[int, str]:
        if script.startswith("cat"):
            assert words == ("/jobs/abc/", "job.bss")
            return 0, directives
        return 0, "Submitted batch job 5\n"

    site, shell = login(answer)
    text = message(**{"Job type": "RAW", "BSS file": "job.bss"})
    assert site.submit(text, PLACE.folder) == "5"
    unique, script = shell.asked[1][1][1], shell.asked[1][1][3]
    assert script == f"{directives}\n/jobs/abc//UNICORE_Job_{unique}\n"


LOOK = """\
slurm answers
job 11 RUNNING batch
job 12 PENDING batch
job 13 SPECIAL_EXIT batch
process 100 S
process 101 Z
watch a - -
watch b - -
watch c - 3
watch d - -
watch e 100 -
watch f 101 7
watch g - -
"""
WATCHES = [
    Watch("a", BATCH, "11", "", "x"),
    Watch("b", BATCH, "12", "", "x"),
    Watch("c", BATCH, "9", "", "x"),
    Watch("d", BATCH, "13", "", "x"),
    Watch("e", BACKGROUND, "", "p", "x"),
    Watch("f", BACKGROUND, "", "p", "x"),
    Watch("g", PROCESS, "100", "", "x"),
]


def test_a_look_is_read() -> None:
    assert read_look(LOOK, WATCHES) == {
        "a": Seen("RUNNING", None, "batch"),
        "b": Seen("QUEUED", None, "batch"),
        "c": Seen(None, 3, None),
        "d": Seen("SPECIAL_EXIT", None, "batch"),
        "e": Seen("RUNNING", None, pid=100),
        "f": Seen(None, 7, pid=101),
        "g": Seen("RUNNING", None, pid=None),
    }


def test_when_slurm_is_silent_no_job_is_taken_for_gone() -> None:
    silent = LOOK.replace("slurm answers\n", "").replace("job ", "nothing ")
    assert set(read_look(silent, WATCHES)) == {"e", "f", "g"}


@pytest.mark.parametrize(
    ("word", "state"),
    [("CONFIGURING", "QUEUED"), ("COMPLETING", "RUNNING"), ("TIMEOUT", None), ("NEW", "NEW")],
)
def test_words_of_slurm(word: str, state: str | None) -> None:
    assert slurm_state(word) == state


def test_many_watches_are_asked_in_parts() -> None:
    site, shell = login(lambda _script, words: (0, "slurm answers\n"))
    site.look([Watch(str(number), BATCH, "1", "", "x") for number in range(250)])
    assert [len(words) // 3 for _, words in shell.asked] == [100, 100, 50]


def test_a_listing_is_read() -> None:
    entry = "f\t28\t-rw-r-----\tme\tus\t1800000000.5\ta b\tc\0d\t9\tdrwx------\tme\tus\t1.0\tx\0"
    moment = datetime(2027, 1, 15, 8, 0, 0, 500000, tzinfo=UTC)
    found = read_listing(entry)
    assert found["a b\tc"] == FileFacts(False, 28, "rw-r-----", "me", "us", moment)
    assert found["x"].is_folder
    assert read_listing("") == {}


def test_a_file_is_read_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imagefactory.sandbox.unicore.shell_login.PIECE", 1000)
    content = bytes(range(256)) * 6

    def answer(_script: str, words: tuple[str, ...]) -> tuple[int, str]:
        first, count = int(words[1]) - 1, int(words[2])
        return 0, base64.encodebytes(content[first : first + count]).decode()

    site, shell = login(answer)
    assert b"".join(site.read("/x", 0, len(content))) == content
    assert len(shell.asked) == 2
    assert b"".join(site.read("/x", 5, 10)) == content[5:15]


def test_a_file_that_became_shorter_ends() -> None:
    site, _ = login(lambda *_: (0, ""))
    assert list(site.read("/x", 0, 100)) == []


def test_a_file_that_may_not_be_read() -> None:
    site, _ = login(lambda *_: (3, ""))
    with pytest.raises(ToolFailed):
        next(site.read("/x", 0, 1))


def test_a_file_is_written_with_mode_640() -> None:
    site, shell = login(lambda *_: (0, ""))
    site.write("/jobs/abc/sub/in.txt", b"\0bytes")
    assert shell.sent == {"/jobs/abc/sub/in.txt": (0o640, b"\0bytes")}
