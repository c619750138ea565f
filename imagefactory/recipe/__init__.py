"""A recipe that was checked is one Apptainer definition, the same text every time."""

from imagefactory.recipe.definition import Definition, define
from imagefactory.recipe.load import load_recipe
from imagefactory.recipe.recipe import Distro, Recipe, Requirement, Source

__all__ = ["Definition", "Distro", "Recipe", "Requirement", "Source", "define", "load_recipe"]
