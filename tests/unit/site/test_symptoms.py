"""Lines that sites really wrote, and what they mean."""

from __future__ import annotations

import pytest

from imagefactory.site import read_log


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("No PMIx server was reachable, but a PMI1/2 was detected.", 2),
        ("OMPI was not built with SLURM's PMI support and therefore cannot execute.", 3),
        ("[c1:1] OPAL ERROR: Unreachable in file ext3x_client.c at line 111", 3),
        ("/lib/libm.so.6: version `GLIBC_2.38' not found", 31),
        ("FATAL:   container creation failed: image driver mount failure: fuse: device", 38),
        ("FATAL:   no instance found with name sharens_instance_1224", 38),
        ('FATAL:   "nosuch": executable file not found in $PATH', 38),
    ],
)
def test_known_lines(line: str, row: int) -> None:
    symptom = read_log(f"some line\n{line}\n")
    assert symptom is not None
    assert symptom.row == row
    assert symptom.fix


def test_an_ordinary_log_has_no_symptom() -> None:
    assert read_log("INFO:    gocryptfs not found, will not be able to use gocryptfs\n") is None
