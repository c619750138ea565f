"""Runs of an image at a site: every run ends with a record, and success means that all ranks of
one MPI world finished and gave their spikes.

The room may be called: `imagefactory.run(image, site=...)` is `start`, the verb for Python.
"""

import sys
from types import ModuleType

from imagefactory.run.artefact import write_job
from imagefactory.run.at_sites import execute_at_sites, plan_at_sites
from imagefactory.run.benching import bench_site
from imagefactory.run.description import Mode, describe
from imagefactory.run.diagnosing import diagnose_any
from imagefactory.run.ensemble import execute_ensemble, finish_ensemble, spread
from imagefactory.run.execute import execute
from imagefactory.run.handle import RunHandle, list_runs, open_run, start
from imagefactory.run.job import Via
from imagefactory.run.later import cancel, fetch, resume, watch
from imagefactory.run.module import with_module
from imagefactory.run.nmpi_plan import plan_nmpi
from imagefactory.run.plan import RunPlan, plan_run
from imagefactory.run.record import RunRecord, list_records, read_record
from imagefactory.run.shell import SiteShell, open_shell
from imagefactory.run.store import clean_store

__all__ = [
    "Mode",
    "RunHandle",
    "RunPlan",
    "RunRecord",
    "SiteShell",
    "Via",
    "bench_site",
    "cancel",
    "clean_store",
    "describe",
    "diagnose_any",
    "execute",
    "execute_at_sites",
    "execute_ensemble",
    "fetch",
    "finish_ensemble",
    "list_records",
    "list_runs",
    "open_run",
    "open_shell",
    "plan_at_sites",
    "plan_nmpi",
    "plan_run",
    "read_record",
    "resume",
    "spread",
    "start",
    "watch",
    "with_module",
    "write_job",
]


class _Room(ModuleType):
    # A module and a function cannot have one name; a module that is called can (Python's data
    # model, "Customizing module attribute access").
    __call__ = staticmethod(start)


sys.modules[__name__].__class__ = _Room
