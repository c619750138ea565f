"""A network on sPyNNaker's virtual board: where it would stand, and never what it would do."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import ToolFailed, UsageFault, VerdictAgainst
from imagefactory.base.files import digest_of, write_json
from imagefactory.base.ordinary import give, ordinary_cache, ordinary_folder
from imagefactory.base.report import Report, size
from imagefactory.base.settings import load_schema, read_json
from imagefactory.model.backends import find_backend
from imagefactory.model.capability import check_capability, needs_of
from imagefactory.model.models import Model, freeze

if TYPE_CHECKING:
    from imagefactory.image import Apptainer

INSIDE = Path(str(files("imagefactory.model").joinpath("inside")))
# The settings with which sPyNNaker asks for no board; in the home and in the working folder.
VIRTUAL_BOARD = INSIDE / "virtual_board.cfg"
SCRIPT, RESULT, LOG = "map_network.py", "mapping.json", "log"
WORK = "/home/mapping"
MAP_SECONDS = 1200
CANNOT_MAP = 3  # of map_network.py
WORDS = "mapped on a virtual board; nothing was simulated, and no SpiNNaker took part"
TABLE_ENTRIES = 1023  # of a chip's router, for the network


@dataclass(frozen=True)
class NetworkMapping:
    """What sPyNNaker mapped; counts of cores, chips and table entries, memory in bytes.

    `digest` is of `digests`: of placements, routing tables, keys and what is written to each core
    of the network. `drawn` has those of start values and input spikes, which are not in it.
    """

    model: str
    parameters: Mapping[str, Any]
    image: str
    digest: str
    digests: Mapping[str, str]
    drawn: Mapping[str, str | None]
    machine: Mapping[str, int]
    populations: tuple[Mapping[str, Any], ...]
    routing: Mapping[str, int]
    keys: Mapping[str, int | None]
    memory: Mapping[str, int]
    versions: Mapping[str, str]
    kind: str = "virtual board"

    @property
    def fits(self) -> bool:
        """Whether one SpiNN-5 board is enough."""
        return self.machine["boards"] == 1

    @property
    def answer(self) -> str:
        """Whether one SpiNN-5 board is enough, in words."""
        if self.fits:
            return "fits one SpiNN-5 board"
        return f"does not fit one SpiNN-5 board, sPyNNaker took {self.machine['boards']}"

    def lines(self) -> list[str]:
        """For people; the last line is the digest."""
        machine, memory, routing, keys = self.machine, self.memory, self.routing, self.keys
        ends = (keys["lowest"], keys["highest"])
        low, high = ("-" if end is None else f"{end:#x}" for end in ends)
        return [
            f"{self.model}: {WORDS}",
            f"{self.answer}: {machine['cores_used']} of {machine['cores']} cores, "
            f"{machine['chips_used']} of {machine['chips']} chips; "
            f"{machine['monitors']} more cores are monitors",
            *self._shares(),
            f"memory       {size(memory['bytes'])}, on one chip at most "
            f"{size(memory['fullest_chip'])} of {size(memory['a_chip'])}",
            f"routing      {routing['entries']} entries, on one chip at most "
            f"{routing['most_on_a_chip']} of {TABLE_ENTRIES}, before compression",
            f"keys         {keys['blocks']} blocks, {low} to {high}",
            f"input        {self.drawn.get('input') or 'no frozen trains'}",
            f"sPyNNaker    {self.versions['spynnaker']}",
            f"mapping      {self.digest}",
        ]

    def _shares(self) -> Iterator[str]:
        for each in self.populations:
            cores = f"{each['cores']} core{'' if each['cores'] == 1 else 's'}"
            yield f"  {each['population']:22} {each['neurons']:6} neurons, {cores} ({each['kind']})"


def map_model(
    model: Model, parameters: Mapping[str, Any], sif: Path, report: Report
) -> NetworkMapping:
    """Map a model on the virtual board of the sPyNNaker in an image (recipes/spynnaker).

    Raises UsageFault where SpiNNaker cannot run it, VerdictAgainst where sPyNNaker cannot map it,
    ToolFailed where the image has no sPyNNaker.
    """
    from imagefactory.image import find_apptainer, reachable

    require_spinnaker(model, parameters)
    apptainer = find_apptainer(report)
    folder = Path(tempfile.mkdtemp(dir=ordinary_folder(ordinary_cache() / "mappings")))
    try:
        prepare(model, parameters, folder)
        with report.step(f"map {model.name} on a virtual board"), reachable(sif, apptainer) as path:
            _run_inside(apptainer, path, folder)
        return read_mapping(folder / RESULT, model, parameters, str(digest_of(sif)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_spinnaker(model: Model, parameters: Mapping[str, Any]) -> None:
    """Raises UsageFault with all that SpiNNaker has not, or where the time is not its own."""
    capability = check_capability(
        model.name, needs_of(model, parameters), find_backend("spinnaker")
    )
    if capability.faults:
        raise UsageFault.from_faults(capability.faults)
    if parameters["dt_ms"] != 1.0:
        what = f"a mapping is made for real time, 1 ms, not for dt_ms={parameters['dt_ms']:g}"
        raise UsageFault(what, fix="--set dt_ms=1")


def prepare(model: Model, parameters: Mapping[str, Any], folder: Path) -> None:
    """Fill the folder that the image sees: the model's files, the script, the job, the draws."""
    for path in (*model.files, INSIDE / SCRIPT, VIRTUAL_BOARD):
        shutil.copyfile(path, folder / path.name)
    write_json(folder / "job.json", {"model": model.name, "parameters": dict(parameters)})
    if parameters.get("frozen"):
        freeze(model, parameters, folder / "frozen.npz")
    for path in (folder, *folder.iterdir()):
        give(path)


def read_mapping(
    path: Path, model: Model, parameters: Mapping[str, Any], image: str
) -> NetworkMapping:
    """What the script wrote; raises VerdictAgainst where sPyNNaker could not map."""
    found = read_json(path, load_schema("imagefactory.model", "mapping.schema.json"))
    if "error" in found:
        raise VerdictAgainst(
            f"sPyNNaker cannot map {model.name}: {found['error']}",
            where="virtual board",
            fix=f"make it smaller; imagefactory model check {model.name} --backend spinnaker",
        )
    populations = tuple(found.pop("populations"))
    return NetworkMapping(model.name, dict(parameters), image, populations=populations, **found)


def _run_inside(apptainer: Apptainer, sif: Path, folder: Path) -> None:
    """Run the script in the image; of the machine it sees the folder alone, and no network."""
    options = [
        "--containall", "--net", "--network", "none",
        "--home", f"{folder}:{WORK}", "--pwd", WORK,
    ]  # fmt: skip
    done = apptainer.execute(
        sif, ["python3", SCRIPT, "job.json"], timeout=MAP_SECONDS, options=options, check=False
    )
    if done.status not in {0, CANNOT_MAP} or not (folder / RESULT).is_file():
        raise ToolFailed(
            "the image did not map the network", where=str(sif),
            fix="imagefactory image build recipes/spynnaker", detail=done.tail,
        )  # fmt: skip
