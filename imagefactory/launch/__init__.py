"""Will an image start at a site, and how: facts of both, rules, verdict, launch line."""

from imagefactory.launch.checking import check_launch
from imagefactory.launch.facts import ImageSide, Launch, SiteSide
from imagefactory.launch.launch_line import LaunchLine, make_launch_line
from imagefactory.launch.lookup import known_image, push_with_facts, read_sif
from imagefactory.launch.preflight import Preflight, preflight, require
from imagefactory.launch.probe import Probed, probe_site
from imagefactory.launch.rules import Finding, Verdict, shipped_rules
from imagefactory.launch.site_facts import side_of

__all__ = [
    "Finding",
    "ImageSide",
    "Launch",
    "LaunchLine",
    "Preflight",
    "Probed",
    "SiteSide",
    "Verdict",
    "check_launch",
    "known_image",
    "make_launch_line",
    "preflight",
    "probe_site",
    "push_with_facts",
    "read_sif",
    "require",
    "shipped_rules",
    "side_of",
]
