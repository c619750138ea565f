"""The commands: each parses, calls one function of a room, and renders what it returns."""

from imagefactory.cli.main import main

__all__ = ["main"]
