"""The PMIx that an image should carry (facts: pmix-containers.md 3.3); upstream's newest is 5.0.8."""

from spack_repo.builtin.packages.pmix.package import Pmix as Upstream

from spack.package import *


class Pmix(Upstream):
    __doc__ = Upstream.__doc__

    # fmt: off
    version("5.0.10", sha256="78663f6b932589d68e24feaf7f8a948d60be68d91965f3effbacb4cd88cf9a95")  # spack-packages v2026.03.0, builtin/packages/pmix
    # fmt: on
