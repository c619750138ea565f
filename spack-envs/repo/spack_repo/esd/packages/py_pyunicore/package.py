"""PyUNICORE, which upstream has no recipe for."""

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyPyunicore(PythonPackage):
    """A client of UNICORE's REST interface: jobs, storages, workflows."""

    homepage = "https://pyunicore.readthedocs.io"
    git = "https://github.com/HumanBrainProject/pyunicore.git"
    pypi = "pyunicore/pyunicore-1.3.1.tar.gz"

    license("BSD-3-Clause")

    # fmt: off
    version("1.3.1", sha256="8b3a79b20a4fa9772721e0bfa4b315fdb295e090b6e79fec1a1ef179b068d028")  # PyPI: sdist pyunicore-1.3.1.tar.gz, downloaded and summed
    version("1.2.0", sha256="5c6cb04986689a754af47eb4f628863486632a9d4e73dc3e992c066737495b72")  # PyPI: sdist pyunicore-1.2.0.tar.gz, downloaded and summed
    version("1.0.1", sha256="822cc372b2fa24fdd4626409f4a5f93cc77d2e30dbf1bc9e198e0b2c5b194a57")  # PyPI: sdist pyunicore-1.0.1.tar.gz, downloaded and summed
    version("0.14.1", sha256="7efd4784d55ef02c4da4431232b54505814666577165c0f320c922ed2b32af01")  # PyPI: sdist pyunicore-0.14.1.tar.gz, downloaded and summed
    # fmt: on

    # All of it as the sdists' setup.py says.
    depends_on("py-setuptools", type="build")
    depends_on("py-requests@2.5:", type=("build", "run"))
    depends_on("py-pyjwt@2:", type=("build", "run"))
    depends_on("py-pyjwt@2.8:", when="@1.2:", type=("build", "run"))
