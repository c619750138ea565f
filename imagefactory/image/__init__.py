"""A definition becomes one SIF with a record beside it; what is inside is measured, not claimed."""

from imagefactory.image.apptainer import Apptainer, find_apptainer, require_sif
from imagefactory.image.building import BuildPlan, build, latest_build, plan_build, rebuild
from imagefactory.image.derived import SOURCES, DerivedPlan, derive, plan_derived
from imagefactory.image.inspection import ImageFacts, inspect
from imagefactory.image.planning import ImagePlan, plan_image
from imagefactory.image.reach import reachable
from imagefactory.image.record import BuildRecord
from imagefactory.image.testing import TestReport, test_image

__all__ = [
    "SOURCES",
    "Apptainer",
    "BuildPlan",
    "BuildRecord",
    "DerivedPlan",
    "ImageFacts",
    "ImagePlan",
    "TestReport",
    "build",
    "derive",
    "find_apptainer",
    "inspect",
    "latest_build",
    "plan_build",
    "plan_derived",
    "plan_image",
    "reachable",
    "rebuild",
    "require_sif",
    "test_image",
]
