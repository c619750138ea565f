"""Neo from 0.13 on; upstream's newest is 0.12.0."""

from spack_repo.builtin.packages.py_neo.package import PyNeo as Upstream

from spack.package import *


class PyNeo(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("0.14.4", sha256="cbe24031c514543005ec698d8fe024b95a0839e9efd469bf6f8290dc3d86b3b5")  # PyPI: sdist neo-0.14.4.tar.gz, downloaded and summed
    version("0.14.2", sha256="76517503e114fffcc38aa3600c04dd8be48b1ee5e2c8162bc0db8fb92476811f")  # PyPI: sdist neo-0.14.2.tar.gz, downloaded and summed
    version("0.13.4", sha256="b7264acb7ba7eeaa0a8e91a15ae4dbc8b4dd56c3e38bc7d1cc0442dc5b71dd72")  # PyPI: sdist neo-0.13.4.tar.gz, downloaded and summed
    version("0.13.3", sha256="2d3f5900e6c887cb2e8df4181ba23531e71d7c740d6eea0c97877743313d28ae")  # PyPI: sdist neo-0.13.3.tar.gz, downloaded and summed
    # fmt: on

    # All of it as the sdists' metadata says.
    depends_on("python@3.9:", when="@0.13.4:", type=("build", "run"))
    depends_on("python@:3.12", when="@0.13.4", type=("build", "run"))
    depends_on("python@3.10:", when="@0.14.4:", type=("build", "run"))
    depends_on("py-setuptools@78.0.2:", when="@0.14.2:", type="build")
    depends_on("py-numpy@1.19.5:1", when="@0.13.3", type=("build", "run"))
    depends_on("py-numpy@1.22.4:1", when="@0.13.4", type=("build", "run"))
    depends_on("py-numpy@1.24.4:", when="@0.14.2:", type=("build", "run"))
    depends_on("py-numpy@1.25.2:", when="@0.14.4:", type=("build", "run"))
    depends_on("py-quantities@0.14.1:0.15", when="@0.13.3", type=("build", "run"))
    depends_on("py-quantities@0.16.1:", when="@0.13.4:", type=("build", "run"))
    depends_on("py-quantities@0.16.4:", when="@0.14.4:", type=("build", "run"))
