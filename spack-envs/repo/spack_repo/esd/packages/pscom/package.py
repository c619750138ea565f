"""ParaStation's communication library, below psmpi; upstream has no recipe for it."""

from spack_repo.builtin.build_systems.cmake import CMakePackage

from spack.package import *


class Pscom(CMakePackage):
    """The communication library of ParaStation MPI."""

    homepage = "https://github.com/ParaStation/pscom"
    url = "https://github.com/ParaStation/pscom/archive/refs/tags/5.9.0-1.tar.gz"
    git = "https://github.com/ParaStation/pscom.git"

    license("QPL-1.0")

    # fmt: off
    version("5.9.0-1", sha256="9e1be8c1a7929a14f638c4024a4bc21cffd889b2b68f2c8bef4b512334fdcecc")  # easybuilders/JSC ea7fb43a, pscom-5.9.0-1-GCCcore-13.3.0.eb
    version("5.7.0-1", sha256="5ee1c2cc1438a9c3cfa2e1521ff98860b98a753f574a3acc2eb6186656040fc3")  # easybuilders/JSC 838ee023, pscom-5.7.0-1-GCCcore-11.3.0.eb
    # fmt: on

    depends_on("c", type="build")
    depends_on("popt")
    depends_on("ucx")
