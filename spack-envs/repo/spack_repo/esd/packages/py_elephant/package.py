"""Elephant from 1.0 on; upstream's newest is 0.14.0."""

from spack_repo.builtin.packages.py_elephant.package import PyElephant as Upstream

from spack.package import *


class PyElephant(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("1.2.1", sha256="8af766f828afd59bcb23cbac7aa7185fe15d00ad47d753984455a0e32bad3522")  # PyPI: sdist elephant-1.2.1.tar.gz, downloaded and summed
    version("1.1.1", sha256="c08b89358b52e826bd081ee5a530728fe487c45f5d0539ec97ebdaed9c106e89")  # PyPI: sdist elephant-1.1.1.tar.gz, downloaded and summed
    version("1.1.0", sha256="4085a8fcac3ab855f2585d017d17a1589c74adfbd930f7a1e012f2f5bd994e71")  # PyPI: sdist elephant-1.1.0.tar.gz, downloaded and summed
    version("1.0.0", sha256="b1471228821a5b8f3a3137f9facc1a7f2dc355b8e3300490bdc05f0466b80b27")  # PyPI: sdist elephant-1.0.0.tar.gz, downloaded and summed
    # fmt: on

    # All of it as the sdists' metadata says.
    depends_on("python@3.9:", when="@1.2:", type=("build", "run"))
    depends_on("py-setuptools@61:", when="@1.2:", type="build")
    depends_on("py-numpy@:1", when="@:1.1", type=("build", "run"))
    depends_on("py-numpy@2:", when="@1.2:", type=("build", "run"))
    depends_on("py-scipy@1.10:", when="@1.1:", type=("build", "run"))
