"""The lazyarray that runs with NumPy 2; upstream's newest is 0.5.2."""

from spack_repo.builtin.packages.py_lazyarray.package import PyLazyarray as Upstream

from spack.package import *


class PyLazyarray(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("0.6.0", sha256="89135aaff7497f9499d1b1d6709ae05cc4852bcbe55ab997a57eeddf77c4182e")  # PyPI: sdist lazyarray-0.6.0.tar.gz, downloaded and summed
    # fmt: on

    # All of it as the sdist's metadata says.
    depends_on("python@3.8:", when="@0.6:", type=("build", "run"))
    depends_on("py-numpy@1.20.3:", when="@0.6:", type=("build", "run"))
