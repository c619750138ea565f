"""The versions of the ANTLR runtime that NESTML asks for by number."""

from spack_repo.builtin.packages.py_antlr4_python3_runtime.package import (
    PyAntlr4Python3Runtime as Upstream,
)

from spack.package import *


class PyAntlr4Python3Runtime(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("4.13.2", sha256="909b647e1d2fc2b70180ac586df3933e38919c85f98ccc656a96cd3f25ef3916")  # PyPI: sdist antlr4_python3_runtime-4.13.2.tar.gz, downloaded and summed
    version("4.13.0", sha256="0d5454928ae40c8a6b653caa35046cd8492c8743b5fbc22ff4009099d074c7ae")  # PyPI: sdist antlr4-python3-runtime-4.13.0.tar.gz, downloaded and summed
    # fmt: on

    depends_on("py-setuptools@61.2:", when="@4.13:", type="build")

    def url_for_version(self, version):
        url = super().url_for_version(version)
        if version >= Version("4.13.2"):
            return url.replace("antlr4-python3-runtime-", "antlr4_python3_runtime-")
        return url
