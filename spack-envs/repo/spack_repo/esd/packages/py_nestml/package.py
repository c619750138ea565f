"""NESTML, which upstream has no recipe for. PyPI has its wheels only."""

from spack_repo.builtin.build_systems.python import PythonPackage

from spack.package import *


class PyNestml(PythonPackage):
    """A language for models of neurons and synapses, compiled to NEST extension modules."""

    homepage = "https://nestml.readthedocs.io"
    git = "https://github.com/nest/nestml.git"
    pypi = "nestml/NESTML-8.0.2-py3-none-any.whl"

    license("GPL-2.0-only")

    # fmt: off
    version("8.0.2", sha256="de922578104099f2c54cfe777f13f6efe12c4247d812948ad351e9b1ecb9969d", expand=False)  # PyPI: wheel NESTML-8.0.2-py3-none-any.whl, downloaded and summed
    version("8.0.0", sha256="bb2182fadd5f3ff7fa538e7f9865bafefb8be67938c83028174491768e88ef09", expand=False)  # PyPI: wheel NESTML-8.0.0-py3-none-any.whl, downloaded and summed
    version("7.0.2", sha256="3611239ff8436bf1c74b878562564007285c6da5df0317c6cd52f65e6bcd3f8b", expand=False)  # PyPI: wheel NESTML-7.0.2-py3-none-any.whl, downloaded and summed
    version("5.2.0", sha256="acb703bf9c7f70304bd5d547dccd6a6a219f8acb298a6412df779b808241eb14", expand=False)  # PyPI: wheel NESTML-5.2.0-py3-none-any.whl, downloaded and summed
    version("5.1.0", sha256="25af431407eb448612affd5a5b296098e35578cdd0e06ee9efe571aacada0b2a", expand=False)  # PyPI: wheel NESTML-5.1.0-py3-none-any.whl, downloaded and summed
    # fmt: on

    # All of it as the wheels' METADATA says.
    # It calls str.removesuffix; 5.2.0 runs with 3.8 again (nest/nestml pull request 869).
    depends_on("python@3.9:", when="@5.1.0", type=("build", "run"))
    depends_on("py-numpy@1.8.2:", type=("build", "run"))
    depends_on("py-scipy", type=("build", "run"))
    depends_on("py-sympy@1.1.1:", type=("build", "run"))
    depends_on("py-sympy@:1.10,1.12:", when="@:6", type=("build", "run"))
    depends_on("py-sympy@:1.10", when="@7.0:8.0.0", type=("build", "run"))
    depends_on("py-antlr4-python3-runtime@4.10", when="@:5", type=("build", "run"))
    depends_on("py-antlr4-python3-runtime@4.13.0", when="@7", type=("build", "run"))
    depends_on("py-antlr4-python3-runtime@4.13.2", when="@8:", type=("build", "run"))
    depends_on("py-setuptools", type=("build", "run"))
    depends_on("py-jinja2@2.10:", type=("build", "run"))
    depends_on("py-astropy", type=("build", "run"))
    depends_on("py-odetoolbox@2.4:", type=("build", "run"))
    depends_on("py-odetoolbox@2.5.9:", when="@8.0.2:", type=("build", "run"))
    # Version 3 took away what they import: facts of the project, trials of NESTML.
    depends_on("py-odetoolbox@:2", type=("build", "run"))

    def url_for_version(self, version):
        return self.url.replace("/source/", "/py3/").replace("8.0.2", str(version))
