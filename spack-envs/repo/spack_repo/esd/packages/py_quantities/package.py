"""Quantities from 0.15 on; upstream's newest is 0.14.1."""

from spack_repo.builtin.packages.py_quantities.package import PyQuantities as Upstream

from spack.package import *


class PyQuantities(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("0.16.4", sha256="f5b6deb74f6ed814ec56b204dcf7b5d3c526456157de48e5a78681064f98bf36")  # PyPI: sdist quantities-0.16.4.tar.gz, downloaded and summed
    version("0.16.2", sha256="1f7c24f10d9ff57ddf751a358ea2fdfa9914516722f06a788ef4a2924c77d21c")  # PyPI: sdist quantities-0.16.2.tar.gz, downloaded and summed
    version("0.16.1", sha256="c9d688e8719720654187a6a83425e7d54f427d7465e03c49f3da53befd20074b")  # PyPI: sdist quantities-0.16.1.tar.gz, downloaded and summed
    version("0.15.0", sha256="9ea31e2a0d7517cf24d546b14146def9292639993a616cca61b875ef796b4b2b")  # PyPI: sdist quantities-0.15.0.tar.gz, downloaded and summed
    # fmt: on

    # All of it as the sdists' metadata says.
    depends_on("python@3.9:", when="@0.16:", type=("build", "run"))
    depends_on("python@3.10:", when="@0.16.4:", type=("build", "run"))
    depends_on("py-numpy@1.20:", when="@0.15:", type=("build", "run"))
    depends_on("py-numpy@1.24:", when="@0.16.4:", type=("build", "run"))
    # NumPy 2 took away names that they use.
    depends_on("py-numpy@:1", when="@:0.15", type=("build", "run"))

    def patch(self):
        # It writes the time of its build into a module: the same sources gave other files.
        filter_file("datetime.now()", "None", "setup.py", string=True)
