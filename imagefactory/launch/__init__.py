"""Will an image start at a site, and how: facts of both, rules, verdict, launch line."""

from imagefactory.launch.bench import Bench, judge_bench
from imagefactory.launch.bench_script import bench_script
from imagefactory.launch.checking import check_launch
from imagefactory.launch.doctor import Diagnosis, diagnose, loud_fault, silent_fault
from imagefactory.launch.facts import ImageSide, Launch, SiteSide
from imagefactory.launch.guarding import GUARD, expectation, guard_faults
from imagefactory.launch.launch_line import LaunchLine, make_launch_line
from imagefactory.launch.lookup import known_image, push_with_facts, read_sif
from imagefactory.launch.preflight import Preflight, preflight, require
from imagefactory.launch.probe import Probed, probe_site
from imagefactory.launch.reader import read_log, read_text
from imagefactory.launch.rules import Finding, Verdict, shipped_rules
from imagefactory.launch.site_facts import side_of

__all__ = [
    "GUARD",
    "Bench",
    "Diagnosis",
    "Finding",
    "ImageSide",
    "Launch",
    "LaunchLine",
    "Preflight",
    "Probed",
    "SiteSide",
    "Verdict",
    "bench_script",
    "check_launch",
    "diagnose",
    "expectation",
    "guard_faults",
    "judge_bench",
    "known_image",
    "loud_fault",
    "make_launch_line",
    "preflight",
    "probe_site",
    "push_with_facts",
    "read_log",
    "read_sif",
    "read_text",
    "require",
    "shipped_rules",
    "side_of",
    "silent_fault",
]
