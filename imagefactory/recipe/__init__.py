"""A recipe that was checked is one Apptainer definition, the same text every time."""

from imagefactory.recipe.definition import Definition, define
from imagefactory.recipe.load import load_recipe
from imagefactory.recipe.recipe import Base, Distro, Recipe, Requirement, Source, SpackStack

__all__ = [
    "Base",
    "Definition",
    "Distro",
    "Recipe",
    "Requirement",
    "Source",
    "SpackStack",
    "define",
    "load_recipe",
]
