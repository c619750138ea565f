"""PyNN from 0.10.1 on; upstream's newest is 0.10.0."""

from spack_repo.builtin.packages.py_pynn.package import PyPynn as Upstream

from spack.package import *


class PyPynn(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("0.13.0", sha256="da2821e45055a88de6cf34896067eaaebcabbfdfb7883dd147353e7b78617815")  # PyPI: sdist pynn-0.13.0.tar.gz, downloaded and summed
    version("0.12.4", sha256="3efef6a89e55fffce9828ea152648416bef456bdb338cdcfa8275e888255f6d3")  # PyPI: sdist pynn-0.12.4.tar.gz, downloaded and summed
    version("0.12.3", sha256="e196f9055c46fe5c0e23f491815d16dca8db9be599a226ee11fa67605cab153d")  # PyPI: sdist PyNN-0.12.3.tar.gz, downloaded and summed
    version("0.11.0", sha256="eab6ef281e0a00180c8b31ffb65984f54216c68464db363a5c09832fec91f952")  # PyPI: sdist PyNN-0.11.0.tar.gz, downloaded and summed
    version("0.10.1", sha256="03fbafeddd64ae7163e2b557b2760380b6eceb52469f1b3f4cc203bbb80f0cde")  # PyPI: sdist PyNN-0.10.1.tar.gz, downloaded and summed
    # fmt: on

    variant("mpi", default=True, when="@0.10.1:", description="Gather spikes of many processes")

    # All of it as the sdists' metadata says.
    depends_on("python@3.8:", when="@0.11:", type=("build", "run"))
    depends_on("python@3.9:", when="@0.12.4:", type=("build", "run"))
    depends_on("python@3.10:", when="@0.13:", type=("build", "run"))
    depends_on("py-setuptools@61:", when="@0.11:", type="build")
    depends_on("py-numpy@1.18.5:", when="@0.10.1:", type=("build", "run"))
    depends_on("py-lazyarray@0.5.2:", when="@0.10.1:", type=("build", "run"))
    depends_on("py-neo@0.11:", when="@0.10.1:", type=("build", "run"))
    depends_on("py-neo@0.13.4:", when="@0.12.4:", type=("build", "run"))
    depends_on("py-morphio", when="@0.12.3:0.12.4", type=("build", "run"))
    depends_on("py-mpi4py", when="+mpi", type=("build", "run"))

    def url_for_version(self, version):
        url = super().url_for_version(version)
        return url.replace("PyNN-", "pynn-") if version >= Version("0.12.4") else url
