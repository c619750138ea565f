"""ODE-toolbox, which upstream has no recipe for. PyPI has a wheel of each version."""

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyOdetoolbox(PythonPackage):
    """Chooses, and where it can also makes, the solver of a system of differential equations."""

    homepage = "https://ode-toolbox.readthedocs.io"
    git = "https://github.com/nest/ode-toolbox.git"
    pypi = "odetoolbox/odetoolbox-2.5.10-py3-none-any.whl"

    license("GPL-2.0-only")

    # fmt: off
    version("2.5.10", sha256="ee49337771f67875f0f5e9a7e7b1d91b5586c63c70af30a16e042603dd9f7eac", expand=False)  # PyPI: wheel odetoolbox-2.5.10-py3-none-any.whl, downloaded and summed
    version("2.5.8", sha256="1bc545dc0ea3031f102a39a9ba72c1e8d27b062e09d0af6a55ebb9b5b5fb4dc9", expand=False)  # PyPI: wheel odetoolbox-2.5.8-py3-none-any.whl, downloaded and summed
    version("2.5.5", sha256="b8fac31f8bbff47e6c3db281cb2083a9efb4b9b5dea6d788b1ba582d49ac14ad", expand=False)  # PyPI: wheel odetoolbox-2.5.5-py3-none-any.whl, downloaded and summed
    version("2.5.2", sha256="b673babdae7bae45c5f99b669df656f5497edf8525a987c449b84bc3912e4b46", expand=False)  # PyPI: wheel odetoolbox-2.5.2-py3-none-any.whl, downloaded and summed
    # fmt: on

    # The wheels name none; these are what the modules import.
    depends_on("py-numpy", type=("build", "run"))
    depends_on("py-scipy", type=("build", "run"))
    depends_on("py-sympy", type=("build", "run"))

    def url_for_version(self, version):
        return self.url.replace("/source/", "/py3/").replace("2.5.10", str(version))
