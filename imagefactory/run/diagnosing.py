"""What the log of a run, or any log, says."""

from __future__ import annotations

from pathlib import Path

from imagefactory.base.errors import UsageFault
from imagefactory.launch import Diagnosis, diagnose, read_log, side_of
from imagefactory.run.record import RunRecord, read_record
from imagefactory.site import load_site

LOG = "log.txt"


def diagnose_any(what: str, fabric: bool | None = None) -> Diagnosis:
    """Read the log of a run (its id) or a file, whole and once, and judge it.

    Without `fabric` a run's site says, as far as it was probed, whether its nodes have one.
    Raises UsageFault where there is neither, or the run has no log.
    """
    path = Path(what)
    if not path.is_file():
        record = _record(what)
        path = record.folder / LOG
        fabric = fabric_of(record.site) if fabric is None else fabric
        if not path.is_file():
            raise UsageFault(
                f"run {record.id} has no log here",
                where=str(path),
                fix=f"imagefactory runs --help: fetch it first; its state is {record.state}",
            )
    try:
        with path.open("rb") as stream:
            return diagnose(read_log(stream), fabric)
    except OSError as err:
        raise UsageFault(f"cannot read the log: {err.strerror}", where=str(path)) from None


def _record(what: str) -> RunRecord:
    try:
        return read_record(what)
    except UsageFault as err:
        fix = f"{err.faults[0].fix} or give the path of a log"
        raise UsageFault(f"{what!r} is no file, and there is no such run", fix=fix) from None


def fabric_of(site: str) -> bool | None:
    """Whether a site's nodes have a fabric, as its last probe saw it; None: nobody knows."""
    try:
        found = side_of(load_site(site)).fabric
    except UsageFault:  # the record is of a site that is not there any more
        return None
    return None if found is None else bool(found)
