"""The login node of a real site, through the room `run`'s own door to it."""

from __future__ import annotations

import base64
import re
import secrets
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from imagefactory.base.errors import ToolFailed
from imagefactory.sandbox.unicore.login import BATCH, PROCESS, FileFacts, Seen, Watch
from imagefactory.sandbox.unicore.scripts import expand, parameter, slurm_script

if TYPE_CHECKING:
    from imagefactory.run import SiteShell

CALL_SECONDS = 60.0
PIECE = 4 << 20
GROUP = 100  # watches in one command line
# slurm/BSS.py of the TSI, c311a52; a word that is in no list changes nothing.
SLURM_STATES = {
    "QUEUED": {"CONFIGURING", "PENDING", "RESV_DEL_HOLD", "REQUEUE_FED", "REQUEUE_HOLD"},
    "RUNNING": {"COMPLETING", "RUNNING", "SIGNALING", "STAGE_OUT"},
    "COMPLETED": {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL",
                  "OUT_OF_MEMORY", "REVOKED", "TIMEOUT"},
}  # fmt: skip
_WHO = 'id -un; id -gn; printf "%s\\n" "$HOME"'
_COMMAND = """
umask 0027
mkdir -p "$2" || exit 1
setsid bash -l -c "$1" </dev/null >/dev/null 2>&1 &
"""
_PROCESS = """
cd "$1" || exit 1
printf '%s' "$3" > "$2" && chmod u+rwx "$2" || exit 1
setsid bash -l -c "./$2 > $1/$4 2> $1/$5" </dev/null >/dev/null 2>&1 &
printf '%s\\n' "$!"
"""
_SUBMIT = """
cd "$1" || exit 1
umask 0002
printf '%s' "$3" > "UNICORE_Job_$2" && printf '%s' "$4" > "bss_submit_$2" || exit 1
chmod ug+rwx "UNICORE_Job_$2" "bss_submit_$2"
exec bash -l -c "sbatch ./bss_submit_$2" </dev/null 2>&1
"""
_TERMINATE = 'sid=$(ps -o sid= -p "$1" | tr -d " "); [ -z "$sid" ] || pkill -s "$sid"; :'
_FIND = 'find -L "$1" -mindepth "$2" -maxdepth "$2" -printf "%y\\t%s\\t%M\\t%u\\t%g\\t%T@\\t%f\\0"'
_READ = '[ -r "$1" ] || exit 3; tail -c "+$2" "$1" | head -c "$3" | base64'


@dataclass(frozen=True)
class ShellLogin:
    """Made by `open_login`. `folder` is where the jobs' folders are, with a `/` at its end."""

    shell: SiteShell
    user: str
    group: str
    home: str
    folder: str

    def make_folder(self, path: str) -> None:
        self._run('umask 0027; mkdir -p "$1"', path)

    def start_command(self, script: str, folder: str) -> None:
        self._run(_COMMAND, script, folder)

    def start_process(self, message: str, folder: str) -> int:
        message = expand(message, self.home.rstrip("/"), self.user)
        streams = [parameter(message, name) or name.lower() for name in ("STDOUT", "STDERR")]
        said = self._run(_PROCESS, folder, f"UNICORE_Job_{_unique()}", message, *streams)
        return int(said)

    def submit(self, message: str, folder: str) -> str:
        message = expand(message, self.home.rstrip("/"), self.user)
        unique = _unique()
        script = slurm_script(message, f"UNICORE_Job_{unique}")
        if parameter(message, "JOB_MODE") == "raw":
            script = self._raw_script(message, folder, unique)
        said = self._run(_SUBMIT, folder, unique, message, script, what="sbatch refused the job")
        found = re.search(r"Submitted\D*(\d+)\D*", said)
        if not found:
            raise ToolFailed(f"Submit failed? Submission result:{said}", where=self.shell.where)
        return found[1]

    def look(self, watches: Sequence[Watch]) -> dict[str, Seen]:
        seen: dict[str, Seen] = {}
        for start in range(0, len(watches), GROUP):
            group = watches[start : start + GROUP]
            words = [
                word
                for watch in group
                for word in (watch.key, watch.pid_file or "/dev/null", watch.exit_file)
            ]
            seen |= read_look(self._run(_look_script(), *words), group)
        return seen

    def cancel(self, job: str) -> None:
        self._run('scancel "$1"', job)

    def terminate(self, pid: int) -> None:
        self._run(_TERMINATE, str(pid))

    def details(self, job: str) -> str:
        return self._run('scontrol show jobid "$1"', job, what="Slurm does not know the job")

    def free_bytes(self, path: str) -> int:
        return int(self._run('df -P -k "$1" | tail -n 1', path).split()[3]) * 1024

    def stat(self, path: str) -> FileFacts | None:
        said = self._run(f'[ -e "$1" ] || exit 0; {_FIND}', path.rstrip("/") or "/", "0")
        return next(iter(read_listing(said).values()), None)

    def listing(self, path: str) -> dict[str, FileFacts]:
        return read_listing(self._run(_FIND, path, "1"))

    def read(self, path: str, first: int, count: int) -> Iterator[bytes]:
        while count > 0:
            piece = min(count, PIECE)
            said = self._run(_READ, path, str(first + 1), str(piece))
            content = base64.b64decode(said)
            if not content:
                return
            yield content
            first, count = first + len(content), count - len(content)

    def write(self, path: str, content: bytes) -> None:
        place = PurePosixPath(path)
        entry = tarfile.TarInfo(place.name)
        entry.size, entry.mode, entry.mtime = len(content), 0o640, int(time.time())
        with tempfile.NamedTemporaryFile(prefix="imgf-", suffix=".tar") as parcel:
            with tarfile.open(fileobj=parcel, mode="w") as tar:
                tar.addfile(entry, BytesIO(content))
            parcel.flush()
            self.shell.send(Path(parcel.name), str(place.parent))

    def remove(self, path: str) -> None:
        self._run('rm -rf -- "$1"', path)

    def rename(self, source: str, target: str) -> None:
        self._run('mv -f -- "$1" "$2"', source, target)

    def copy(self, source: str, target: str) -> None:
        self._run('cp -r -- "$1" "$2"', source, target)

    def _raw_script(self, message: str, folder: str, unique: str) -> str:
        """RAW: the file as it is, then a call of the job's script."""
        name = parameter(message, "JOB_FILE") or ""
        said = self._run('cat -- "$1/$2"', folder, name)
        return f"{said}\n{folder}/UNICORE_Job_{unique}\n"

    def _run(self, script: str, *words: str, what: str = "the site did not do it") -> str:
        done = self.shell.run(script, *words, timeout=CALL_SECONDS)
        if done.status:
            raise ToolFailed(
                f"{what}: {done.tail or f'exit status {done.status}'}", where=self.shell.where
            )
        return done.output


def open_login(shell: SiteShell, folder: str) -> ShellLogin:
    """Ask who we are at the site. Raises FactoryError if it does not answer."""
    done = shell.run(_WHO, timeout=CALL_SECONDS)
    words = done.output.splitlines()
    if done.status or len(words) != 3:
        raise ToolFailed("the site does not say who we are", where=shell.where, detail=done.tail)
    return ShellLogin(shell, words[0], words[1], f"{words[2]}/", folder)


def read_look(said: str, watches: Sequence[Watch]) -> dict[str, Seen]:
    """What look.sh printed. Batch jobs are left out where Slurm did not answer."""
    jobs, processes, written = {}, set(), {}
    for line in said.splitlines():
        kind, *words = line.split()
        if kind == "job" and len(words) == 3:
            jobs[words[0].partition("_")[0]] = (words[1], words[2])
        elif kind == "process" and len(words) == 2 and not words[1].startswith("Z"):
            processes.add(words[0])
        elif kind == "watch" and len(words) == 3:
            written[words[0]] = (words[1], words[2])
    slurm_answers = said.startswith("slurm answers\n")
    return {
        watch.key: _seen(watch, jobs, processes, written[watch.key])
        for watch in watches
        if watch.key in written and (watch.kind != BATCH or slurm_answers)
    }


def read_listing(said: str) -> dict[str, FileFacts]:
    """What find printed: name to facts."""
    found = {}
    for entry in said.split("\0"):
        if entry.count("\t") < 6:
            continue
        kind, size, letters, owner, group, modified, name = entry.split("\t", 6)
        moment = datetime.fromtimestamp(float(modified), UTC)
        found[name] = FileFacts(kind == "d", int(size), letters[1:], owner, group, moment)
    return found


def slurm_state(word: str) -> str | None:
    """UNICORE's word for one of Slurm's; None: it is over; the word itself if it is in no list."""
    for state, known in SLURM_STATES.items():
        if word in known:
            return None if state == "COMPLETED" else state
    return word


def _seen(
    watch: Watch,
    jobs: dict[str, tuple[str, str]],
    processes: set[str],
    written: tuple[str, str],
) -> Seen:
    pid, code = (int(text) if re.fullmatch(r"\d+", text) else None for text in written)
    if watch.kind == BATCH:
        word, queue = jobs.get(watch.id, ("COMPLETED", None))
        return Seen(slurm_state(word), code, queue)
    number = watch.id if watch.kind == PROCESS else str(pid)
    return Seen("RUNNING" if number in processes else None, code, pid=pid)


def _look_script() -> str:
    place = files("imagefactory.sandbox.unicore").joinpath("look.sh")
    return place.read_text(encoding="utf-8")


def _unique() -> str:
    """Six letters or digits, as the TSI's file names have."""
    return "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") for _ in range(6))
