"""A definition becomes one SIF with a record beside it; what is inside is measured, not claimed."""

from imagefactory.image.apptainer import Apptainer, find_apptainer, require_sif
from imagefactory.image.building import BuildPlan, build, plan_build, rebuild
from imagefactory.image.inspection import ImageFacts, inspect
from imagefactory.image.planning import ImagePlan, plan_image
from imagefactory.image.record import BuildRecord
from imagefactory.image.testing import TestReport, test_image

__all__ = [
    "Apptainer",
    "BuildPlan",
    "BuildRecord",
    "ImageFacts",
    "ImagePlan",
    "TestReport",
    "build",
    "find_apptainer",
    "inspect",
    "plan_build",
    "plan_image",
    "rebuild",
    "require_sif",
    "test_image",
]
