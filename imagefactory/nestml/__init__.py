"""A neuron written in NESTML is a module for one image, kept by what it was made of.

Promise: versions that do not go together are refused before anything is generated, a model's faults
come in NESTML's own words with their lines, and a module is used with the image that it was
compiled for, and no other.
"""

from imagefactory.nestml.building import ModulePlan, build_module, plan_module
from imagefactory.nestml.module import Module, read_module, require_fit
from imagefactory.nestml.underneath import find_sif
from imagefactory.nestml.versions import Target

__all__ = [
    "Module",
    "ModulePlan",
    "Target",
    "build_module",
    "find_sif",
    "plan_module",
    "read_module",
    "require_fit",
]
