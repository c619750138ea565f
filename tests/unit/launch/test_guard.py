"""The guard of every rank: what it proves, from what ranks really see."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imagefactory.launch import GUARD, expectation, guard_faults
from imagefactory.launch.facts import ImageSide, Launch
from imagefactory.launch.inside import guard
from imagefactory.launch.symptoms import shipped_symptoms
from imagefactory.run.outcome import Ending, judge
from imagefactory.run.states import JobState

MAPS = """\
55d0-55d1 r--p 00000000 00:2a 1 /usr/bin/python3.11
7f00-7f01 r-xp 00000000 00:2a 2                          /usr/lib/libmpi.so.40.30.4
7f01-7f02 r--p 00000000 00:2a 2                          /usr/lib/libmpi.so.40.30.4
7f02-7f03 r-xp 00000000 fe:01 3                          /opt/host/lib/libpmix.so.2.9.4
7f03-7f04 rw-p 00000000 00:00 0
7f05-7f06 r-xp 00000000 fe:01 4                          /.singularity.d/libs/libcuda.so.1
"""
# Apptainer with a layer over the image, and a folder of the host.
LAYERED = """\
500 400 0:42 / / ro,nosuid - overlay overlay ro,lowerdir=x
501 500 0:5 / /dev rw - devtmpfs udev rw
502 500 254:1 /opt/host /opt/host rw - ext4 /dev/vda1 rw
503 500 0:50 / /proc rw - proc proc rw
"""
# Without: the image's folders are mounted one by one into a session folder.
ONE_BY_ONE = """\
500 400 0:60 /fs / rw - tmpfs tmpfs rw
501 500 0:41 /usr /usr ro - fuse.squashfuse_ll squashfuse_ll ro
502 500 0:41 /opt /opt ro - fuse.squashfuse_ll squashfuse_ll ro
503 500 0:41 /.singularity.d /.singularity.d ro - fuse.squashfuse_ll squashfuse_ll ro
504 500 254:1 /usr/lib/x /usr/lib/libmpi.so.40.30.4 ro - ext4 /dev/vda1 rw
"""
MPI = "Open MPI v4.1.4, package: Debian OpenMPI"


def rank(**changed: Any) -> dict[str, Any]:
    spaces = {kind: f"{kind}:[1]" for kind in guard.NAMESPACES}
    spaces |= changed.pop("namespaces", {})
    base = {"host": "c1", "namespace": "slurm.pmix.1.0", "server": "4.2.2", "mpi": MPI}
    return {**base, "libraries": [], "foreign": [], "namespaces": spaces, **changed}


def test_libraries_of_a_process() -> None:
    paths = ["/opt/host/lib/libpmix.so.2.9.4", "/usr/lib/libmpi.so.40.30.4"]
    assert guard.libraries(MAPS) == paths
    assert guard.foreign(paths, LAYERED) == ["/opt/host/lib/libpmix.so.2.9.4"]
    assert guard.foreign(paths, ONE_BY_ONE) == ["/usr/lib/libmpi.so.40.30.4"]


@pytest.mark.parametrize(
    ("other", "expect", "symptoms"),
    [
        ({}, {"sharing": "sharens", "mpi": "4.1.4"}, []),
        ({"namespaces": {"user": "user:[2]"}}, {"sharing": "sharens"}, ["namespaces-differ"]),
        ({"namespaces": {"user": "user:[2]"}}, {"sharing": "none"}, []),
        ({"namespaces": {"user": "user:[2]"}}, {}, []),
        ({"namespaces": {"user": None}}, {"sharing": "sharens"}, []),
        ({"host": "c2", "namespaces": {"user": "user:[2]"}}, {"sharing": "sharens"}, []),
        ({"namespaces": {"pid": "pid:[2]"}}, {"sharing": "none"}, ["own-process-numbers"]),
        ({"namespace": "slurm.pmix.2.0"}, {}, ["two-servers"]),
        ({"server": "5.0.1"}, {}, ["two-servers"]),
        ({"foreign": ["/opt/host/libmpi.so.40"]}, {}, ["foreign-library"]),
        ({"mpi": "Open MPI v5.0.8, package: x"}, {}, ["foreign-library"]),
        ({}, {"mpi": "5.0.8"}, ["foreign-library"]),
        ({}, {"mpi": "4.1"}, []),
        ({}, {"mpi": "1.4"}, ["foreign-library"]),
        ({"mpi": None}, {"mpi": "4.1.4"}, []),
    ],
)
def test_proofs(other: dict[str, Any], expect: dict[str, Any], symptoms: list[str]) -> None:
    found = guard.faults([rank(), rank(**other)], expect)
    assert [fault["symptom"] for fault in found] == symptoms


def test_a_version_in_words_of_another_library_is_not_judged() -> None:
    ours = rank(mpi="ParaStation MPI 5.14, MPICH 4.3.2")
    assert guard.faults([ours, ours], {"mpi": "5.14.0-1"}) == []


def test_every_symptom_that_the_guard_names_is_in_the_table() -> None:
    known = {one.id for one in shipped_symptoms()}
    assert {"namespaces-differ", "own-process-numbers", "two-servers", "foreign-library"} <= known


def test_all_ranks_hear_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    class World:
        def allgather(self, mine: dict[str, Any]) -> list[dict[str, Any]]:
            return [mine, mine | {"namespace": "another"}]

    announced = {"namespace": "one", "server": "4.2.2"}
    found = guard.guard(World(), {}, announced, MPI)
    assert [fault["symptom"] for fault in found["faults"]] == ["two-servers"]
    assert set(found["timings"]) == {"guard_s", "guard_exchange_s"}
    assert guard.guard(None, {"sharing": "sharens"}, announced, None)["faults"] == []


def test_namespaces_of_this_process(tmp_path: Path) -> None:
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/user").symlink_to("user:[4026531837]")
    found = guard.namespaces(tmp_path)
    assert found["user"] == "user:[4026531837]"
    assert found["net"] is None


def test_a_run_that_the_guard_stopped_says_why() -> None:
    fault = {"symptom": "namespaces-differ", "what": "on c1 the ranks do not share"}
    seen = [{"rank": n, "size": 2, "guard": {"faults": [fault]}} for n in (0, 1)]
    assert len(guard_faults(seen)) == 1
    outcome = judge(Ending(JobState.FAILED, "FAILED", 91), 2, seen, "", "x")
    assert outcome.state is JobState.FAILED
    assert "the guard stopped the run: on c1 the ranks do not share" in str(outcome.error)
    assert "imagefactory site probe" in str(outcome.error)


def test_expectation_is_of_the_launch_line_and_the_image() -> None:
    found = expectation(ImageSide(mpi_version="4.1.4"), Launch("pmix", "sharens"))
    assert found == {"sharing": "sharens", "mpi": "4.1.4"}
    assert GUARD.is_file()
