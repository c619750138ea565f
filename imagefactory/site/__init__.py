"""Where images are run: checked site records, what they know, and what its logs mean."""

from imagefactory.site.environment import Setting, shell_lines
from imagefactory.site.load import list_sites, load_site, own_record
from imagefactory.site.neuromorphic import DOUBLE, JobQueue, double_record, load_queue
from imagefactory.site.record import Access, Launcher, Scheduler, Site, UnicoreAccess
from imagefactory.site.shipped import Shipped, Value, shipped_records

__all__ = [
    "DOUBLE",
    "Access",
    "JobQueue",
    "Launcher",
    "Scheduler",
    "Setting",
    "Shipped",
    "Site",
    "UnicoreAccess",
    "Value",
    "double_record",
    "list_sites",
    "load_queue",
    "load_site",
    "own_record",
    "shell_lines",
    "shipped_records",
]
