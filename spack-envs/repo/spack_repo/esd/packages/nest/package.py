"""NEST from 3.3 on, which upstream's recipe (newest: 3.0) does not know."""

from pathlib import Path
from types import SimpleNamespace

from spack_repo.builtin.build_systems.cmake import CMakePackage
from spack_repo.builtin.build_systems.python import _url as address_on_pypi

from spack.package import *


class Nest(CMakePackage):
    """NEST simulates networks of spiking point neurons, or of neurons with few compartments."""

    homepage = "https://www.nest-simulator.org"
    url = "https://github.com/nest/nest-simulator/archive/refs/tags/v3.9.tar.gz"
    git = "https://github.com/nest/nest-simulator.git"

    license("GPL-2.0-or-later")

    # 3.10.0 is the sdist that recipes/nest builds; of the others GitHub's archives are the sources.
    # fmt: off
    version("3.10.0", sha256="8fbd7df4a3e941784d4b1d5825ded234bdc915238faac0982c62e4cb80134d52")  # PyPI: sdist nest_simulator-3.10.0.tar.gz, downloaded and summed
    version("3.9", sha256="8e67b9dcb72b029f24f3d70ff6d3dd64776dc21bf3e458c822c862677d67d076")  # conda-forge/nest-simulator-feedstock 536a8aaf; EasyBuild NEST-3.9-foss-2023a.eb
    version("3.8", sha256="eb255f8828be001abea0cddad2f14d78b70857fc82bece724551f27c698318c8")  # conda-forge/nest-simulator-feedstock 3451b144
    version("3.7", sha256="b313e03aa05a0d8053b895a1d14ea42e75805393c6daa0cbc62f9398d0dacd8b")  # conda-forge/nest-simulator-feedstock f3b168bf
    version("3.6", sha256="68d6b11791e1284dc94fef35d84c08dd7a11322c0f1e1fc9b39c5e6882284922")  # conda-forge/nest-simulator-feedstock a8b77631; Homebrew nest.rb
    version("3.5", sha256="3cdf5720854a4d8a7d359f9de9d2fb3619a0be2e36932028d6940360741547bd")  # conda-forge/nest-simulator-feedstock c3c19a5d
    version("3.4", sha256="c56699111f899045ba48e55e87d14eca8763b48ebbb3648beee701a36aa3af20")  # conda-forge/nest-simulator-feedstock db74ceed
    version("3.3", sha256="179462b966cc61f5785d2fee770bc36f86745598ace9cd97dd620622b62043ed")  # conda-forge/nest-simulator-feedstock 4c97cfee
    # fmt: on

    variant("python", default=True, description="Build PyNEST")
    variant("mpi", default=True, description="Build with MPI")
    variant("openmp", default=True, description="Build with OpenMP")
    variant("gsl", default=True, description="Build the models that need the GSL")
    variant("boost", default=False, description="Sort connections with Boost")
    variant("readline", default=False, when="@:3.9", description="Line editing in SLI")
    variant("plots", default=True, when="@3.10:", description="With Matplotlib, for its plots")
    variant(
        "models",
        default="full",
        multi=True,
        when="@3.10:",
        description="Models to build, by the names of their headers; full is all of them",
    )
    variant(
        "unity",
        default=False,
        when="@3.10:",
        description="Compile eight files at a time: a third of the time; tried with few models only",
    )

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.19:", type="build")
    depends_on("pkgconfig", type="build")

    extends("python", when="+python")
    with when("+python"):
        depends_on("python@3.8:", type=("build", "run"))
        depends_on("python@3.9:", when="@3.10:", type=("build", "run"))
        depends_on("py-setuptools", type="build")
        # Python's long is gone from Cython 3.1: nest/nest-simulator issue 3495.
        depends_on("py-cython@0.28.3:0.29", when="@:3.5", type="build")
        depends_on("py-cython@0.28.3:3.0", when="@3.6:3.8", type="build")
        depends_on("py-cython@3:", when="@3.9:", type="build")
        depends_on("py-numpy", type=("build", "run"))
        # np.float and its like, which NEST 3.3 uses, are gone from NumPy 1.24.
        depends_on("py-numpy@:1.23", when="@:3.3", type=("build", "run"))
        # NumPy 2 is younger than NEST 3.7, and so untried with it.
        depends_on("py-numpy@:1", when="@:3.7", type=("build", "run"))
        # Only tests and examples of 3.10 use it: its pyproject.toml.
        depends_on("py-scipy", when="@:3.9", type="run")
        depends_on("py-matplotlib", when="@3.10: +plots", type="run")
        # CMake looks for it; without it NEST cannot hand a communicator over.
        depends_on("py-mpi4py", when="+mpi", type=("build", "run"))

    depends_on("mpi", when="+mpi")
    depends_on("gsl", when="+gsl")
    depends_on("boost@1.69:", when="+boost")
    depends_on("readline", when="+readline")
    depends_on("ncurses", when="+readline")
    depends_on("libtool")  # for libltdl, which loads extension modules

    def url_for_version(self, version):
        if version >= Version("3.10"):
            sdist = f"nest-simulator/nest_simulator-{version}.tar.gz"
            return address_on_pypi(SimpleNamespace(pypi=sdist))
        return super().url_for_version(version)

    @when("@3.10:")
    def patch(self):
        # A folder and a set are walked in the order of the file system and of the hash: the same
        # sources gave another library each time.
        with working_dir("build_support"):
            script = FileFilter("generate_modelsmodule.py")
            script.filter("for fname in fnames:", "for fname in sorted(fnames):", string=True)
            script.filter(r"(os\.listdir\(.*\))$", r"sorted(\1)")
        if self.spec.satisfies("+unity"):
            # Two headers without a guard, which eight files at a time would include twice.
            for name in ("nest_impl.h", "secondary_event_impl.h"):
                header = Path("nestkernel") / name
                header.write_text("#pragma once\n" + header.read_text())

    def cmake_args(self):
        spec = self.spec
        args = [
            self.define("CMAKE_INSTALL_LIBDIR", "lib"),
            self.define_from_variant("with-mpi", "mpi"),
            self.define_from_variant("with-openmp", "openmp"),
            self.define_from_variant("with-python", "python"),
            self.define("with-ltdl", spec["libtool"].prefix),
            self.define("with-gsl", spec["gsl"].prefix if "+gsl" in spec else "OFF"),
            self.define("with-boost", spec["boost"].prefix if "+boost" in spec else "OFF"),
        ]
        if spec.satisfies("@:3.9"):
            readline = spec["readline"].prefix if "+readline" in spec else "OFF"
            args.append(self.define("with-readline", readline))
        if spec.satisfies("@3.5:"):
            args.append(self.define("with-hdf5", False))
        if spec.satisfies("+unity"):
            args.append(self.define("CMAKE_UNITY_BUILD", True))
            args.append(self.define("CMAKE_UNITY_BUILD_BATCH_SIZE", 8))
        if spec.satisfies("@3.10:") and not spec.satisfies("models=full"):
            args.append(self.define("with-models", ";".join(spec.variants["models"].value)))
        return args

    # Extension modules are compiled with what nest-config names: the compiler, not Spack's wrapper.
    filter_compiler_wrappers("nest-config", relative_root="bin")

    def setup_run_environment(self, env: EnvironmentModifications) -> None:
        env.set("NEST_INSTALL_DIR", self.prefix)
