"""One image from recipe to cross-site verdict: build, push, run anywhere, compare."""

__version__ = "0.1.0"
