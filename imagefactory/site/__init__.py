"""Where images are run: checked site records, what they know, and what its logs mean."""

from imagefactory.site.environment import Setting, shell_lines
from imagefactory.site.load import list_sites, load_site, own_record
from imagefactory.site.record import Access, Launcher, Scheduler, Site, UnicoreAccess
from imagefactory.site.shipped import Shipped, Value, shipped_records
from imagefactory.site.symptoms import Symptom, read_log

__all__ = [
    "Access",
    "Launcher",
    "Scheduler",
    "Setting",
    "Shipped",
    "Site",
    "Symptom",
    "UnicoreAccess",
    "Value",
    "list_sites",
    "load_site",
    "own_record",
    "read_log",
    "shell_lines",
    "shipped_records",
]
