"""The PyJWT that PyUNICORE asks for; upstream's newest is 2.4.0."""

from spack_repo.builtin.packages.py_pyjwt.package import PyPyjwt as Upstream

from spack.package import *


class PyPyjwt(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("2.8.0", sha256="57e28d156e3d5c10088e0c68abb90bfac3df82b40a71bd0daa20c65ccd5c23de")  # PyPI: sdist PyJWT-2.8.0.tar.gz, downloaded and summed
    # fmt: on

    depends_on("python@3.7:", when="@2.8:", type=("build", "run"))
