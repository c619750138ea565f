"""The guard in real ranks of the image, and what it says where something is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imagefactory.base.ordinary import give, ordinary_cache, ordinary_folder
from imagefactory.launch import GUARD

if TYPE_CHECKING:
    from imagefactory.image import Apptainer

TRIAL = """
import json, os, sys
announced = {"namespace": os.environ.get("PMIX_NAMESPACE"), "server": "one"}
from mpi4py import MPI
import guard
found = guard.guard(MPI.COMM_WORLD, json.loads(sys.argv[1]), announced, MPI.Get_library_version())
sys.stdout.write("GUARD" + json.dumps(found | {"size": MPI.COMM_WORLD.Get_size()}) + "\\n")
"""
Try = Callable[..., list[dict[str, Any]]]
# One user namespace for each rank, with the user's own number: PMIx refuses another one.
UNSHARED = ("unshare", "--user", "--map-current-user")


@pytest.fixture
def two_ranks(apptainer: Apptainer, nest_sif: Path) -> Try:
    """Start two ranks as the site `here` does; gives what the guard of each says."""
    folder = ordinary_folder(ordinary_cache() / "tests" / "guard")
    for name, text in (("guard.py", GUARD.read_text("utf-8")), ("trial.py", TRIAL)):
        (folder / name).write_text(text, "utf-8")
        give(folder / name)

    def start(
        expect: dict[str, str], before: tuple[str, ...] = (), options: tuple[str, ...] = ()
    ) -> list[dict[str, Any]]:
        words = ["mpirun", "--bind-to", "none", "--map-by", ":OVERSUBSCRIBE", "-n", "2", *before]
        words += ["python3", str(folder / "trial.py"), json.dumps(expect)]
        extra = {"OMPI_MCA_plm": "isolated"}
        done = apptainer.execute(
            nest_sif, words, options=("--bind", str(folder), *options), extra=extra, timeout=60
        )
        lines = [line for line in done.output.splitlines() if line.startswith("GUARD")]
        return [json.loads(line.removeprefix("GUARD")) for line in lines]

    return start


def test_ranks_that_are_well_pass(two_ranks: Try) -> None:
    found = two_ranks({"sharing": "container", "mpi": "4.1.4"})
    assert [one["size"] for one in found] == [2, 2]
    for one in found:
        assert one["faults"] == []
        assert any("libmpi.so.40" in path for path in one["libraries"])
        assert one["namespaces"]["user"]


def test_ranks_in_namespaces_of_their_own_are_seen(two_ranks: Try) -> None:
    found = two_ranks({"sharing": "container"}, before=UNSHARED)
    assert [fault["symptom"] for one in found for fault in one["faults"]] == [
        "namespaces-differ",
        "namespaces-differ",
    ]
    assert two_ranks({"sharing": "none"}, before=UNSHARED)[0]["faults"] == []


def test_a_library_from_outside_is_seen(
    two_ranks: Try, apptainer: Apptainer, nest_sif: Path
) -> None:
    path = next(
        path for path in two_ranks({})[0]["libraries"] if Path(path).name.startswith("libmpi.so.40")
    )
    copy = ordinary_cache() / "tests" / "guard" / "libmpi.so.40"
    apptainer.execute(nest_sif, ["cp", path, str(copy)], options=("--bind", str(copy.parent)))
    found = two_ranks({"sharing": "container"}, options=("--bind", f"{copy}:{path}"))
    assert {fault["what"] for one in found for fault in one["faults"]} == {
        f"{path} is not the image's"
    }


def test_another_version_than_the_facts_say_is_seen(two_ranks: Try) -> None:
    found = two_ranks({"mpi": "5.0.8"})
    assert [fault["symptom"] for fault in found[0]["faults"]] == ["foreign-library"]
