"""What lines of a failed run's log mean (facts/pmix-containers.md 4, rows 1 to 3 and 38)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Symptom:
    """A line that tells a cause: the row of the symptom table, what it means, what mends it."""

    row: int
    pattern: str
    cause: str
    fix: str


SYMPTOMS = (
    Symptom(
        2,
        r"No PMIx server was reachable, but a PMI1/2 was detected",
        "the image's MPI wants PMIx, and the site's launcher speaks an older protocol",
        "set launcher.plugin of the site record to a pmix word of: srun --mpi=list",
    ),
    Symptom(
        3,
        r"not built with\s+SLURM(?:'s PMI)?\s+support|OPAL ERROR: Unreachable",
        "the image's MPI found no PMIx server",
        "set launcher.plugin of the site record to a pmix word of: srun --mpi=list",
    ),
    Symptom(
        31,
        r"version `GLIBC_[0-9.]+' not found",
        "a library of the host came into the image and wants a newer C library",
        "take binds and LD_LIBRARY_PATH of the host away",
    ),
    Symptom(
        38,
        r"no instance found with name sharens_instance|with --sharens has already exited",
        "the first rank of a node ended before the others could join its namespace",
        "look in the log for what that first rank wrote",
    ),
    Symptom(
        38,
        r"fuse: device|/dev/fuse|image driver mount failure",
        "Apptainer may not mount the image: it has no access to /dev/fuse",
        "ask the site's administrator for access to /dev/fuse on the compute nodes",
    ),
    Symptom(
        38,
        r"FATAL:.*(?:[Nn]o such file|could not open image|not found)",
        "Apptainer does not find the image, or a program in it, on the compute nodes",
        "check that both folders of the site record are shared with the compute nodes",
    ),
    Symptom(
        38,
        r"FATAL:\s+(?:container creation failed|[Ww]hile )",
        "Apptainer itself failed, not the program in the image",
        "read the FATAL line in the log",
    ),
)


def read_log(text: str) -> Symptom | None:
    """The first symptom of the table that the text shows, or None."""
    for symptom in SYMPTOMS:
        if re.search(symptom.pattern, text):
            return symptom
    return None
