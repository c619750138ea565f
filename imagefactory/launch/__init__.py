"""Will an image start at a site, and how: facts of both, rules, verdict, launch line."""

from imagefactory.launch.facts import ImageSide, Launch, SiteSide
from imagefactory.launch.launch_line import LaunchLine, make_launch_line
from imagefactory.launch.preflight import Preflight, preflight, require
from imagefactory.launch.rules import Finding, Verdict, shipped_rules

__all__ = [
    "Finding",
    "ImageSide",
    "Launch",
    "LaunchLine",
    "Preflight",
    "SiteSide",
    "Verdict",
    "make_launch_line",
    "preflight",
    "require",
    "shipped_rules",
]
