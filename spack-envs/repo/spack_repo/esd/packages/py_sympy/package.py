"""The newest SymPy that NESTML 7 and 8.0.0 take; upstream goes from 1.8 to 1.11.1."""

from spack_repo.builtin.packages.py_sympy.package import PySympy as Upstream

from spack.package import *


class PySympy(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("1.10.1", sha256="5939eeffdf9e152172601463626c022a2c27e75cf6278de8d401d50c9d58787b")  # PyPI: sdist sympy-1.10.1.tar.gz, downloaded and summed
    # fmt: on
