"""ParaStation MPI, which upstream has no recipe for. Solved, never built: docs/releases.md."""

from spack_repo.builtin.build_systems.autotools import AutotoolsPackage

from spack.package import *

UPLOADS = "https://gitlab.jsc.fz-juelich.de/-/project/2121/uploads"


class Psmpi(AutotoolsPackage):
    """ParaStation MPI: MPICH over pscom, started by psmgmt's or Slurm's PMIx."""

    homepage = "https://github.com/ParaStation/psmpi"
    git = "https://github.com/ParaStation/psmpi.git"

    license("QPL-1.0")

    # fmt: off
    version("5.10.0-1", sha256="f83da4f2387852609b905d257b4c5ab1046acb43e3bc23de0bd20c697140ecfd", url=f"{UPLOADS}/9589ff7181110a4c7cafb0ebbc97ca10/psmpi-5.10.0-1.tar.gz")  # easybuilders/JSC ff584029, psmpi-5.10.0-1-GCC-13.3.0.eb
    # fmt: on

    provides("mpi@:4.0")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("fortran", type="build")
    depends_on("pscom")
    depends_on("pmix@4.2:")
    depends_on("libxml2")

    def setup_build_environment(self, env: EnvironmentModifications) -> None:
        pscom = self.spec["pscom"].prefix
        env.set("PSCOM_LDFLAGS", f"-L{pscom.lib} -Wl,-rpath,{pscom.lib}")
        env.set("PSCOM_CPPFLAGS", f"-I{pscom.include}")

    def setup_dependent_package(self, module, dependent_spec):
        self.spec.mpicc = self.prefix.bin.mpicc
        self.spec.mpicxx = self.prefix.bin.mpicxx
        self.spec.mpif77 = self.prefix.bin.mpif77
        self.spec.mpifc = self.prefix.bin.mpif90

    def configure_args(self):
        return ["--with-confset=gcc", f"--with-pmix={self.spec['pmix'].prefix}"]
