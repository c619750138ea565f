"""Runs of an image at a site: every run ends with a record, and success means that all ranks of
one MPI world finished and gave their spikes."""

from imagefactory.run.artefact import write_job
from imagefactory.run.description import AS_IN_PAPER, TRACKED, Job, Mode, describe
from imagefactory.run.execute import execute, resume
from imagefactory.run.job import Via
from imagefactory.run.plan import RunPlan, plan_run
from imagefactory.run.record import RunRecord, list_records, read_record, runs_folder
from imagefactory.run.shell import SiteShell, open_shell

__all__ = [
    "AS_IN_PAPER",
    "TRACKED",
    "Job",
    "Mode",
    "RunPlan",
    "RunRecord",
    "SiteShell",
    "Via",
    "describe",
    "execute",
    "list_records",
    "open_shell",
    "plan_run",
    "read_record",
    "resume",
    "runs_folder",
    "write_job",
]
