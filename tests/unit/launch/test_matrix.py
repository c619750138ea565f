"""Every row of the matrix in facts/pmix-containers.md 3.3, with what really happened."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from imagefactory.launch import ImageSide, Launch, SiteSide, Verdict, preflight
from tests.unit.launch.samples import DEBIAN, OPEN_MPI_5, PSSLURM, SLURM

BOTH, NATIVE, MUNGE = ("munge", "native"), ("native",), ("munge",)
OLD, NEW = ("ds12", "ds21", "hash"), ("hash", "shmem2")


@dataclass(frozen=True)
class Row:
    """One row: `gds` and `psec` are the client's settings, empty for its own choice."""

    source: str
    server: str
    client: str
    result: str
    rules: dict[str, str]
    security: tuple[str, ...] = NATIVE
    psec: tuple[str, ...] = NATIVE
    parastation: bool = False
    mpi: str = ""
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def image(self) -> ImageSide:
        old = self.client.startswith(("3", "4"))
        base = DEBIAN if old else OPEN_MPI_5
        return replace(base, pmix=self.client, psec=self.psec, gds=OLD if old else NEW,
                       mpi_version=self.mpi or base.mpi_version)  # fmt: skip

    @property
    def site(self) -> SiteSide:
        gds = OLD if self.server.startswith(("3", "4")) else NEW
        base = PSSLURM if self.parastation else SLURM
        return replace(base, pmix=self.server, gds=gds, security=self.security)


NOISE = {"pmix-datastore": "WARN"}  # "ds12_lock" lines; the ranks are right
HASH = (("PMIX_MCA_gds", "hash"),)
ROWS = [
    # PMIx 4.2.2 stands here with Debian's Open MPI 4.1.4, 5.0 with Open MPI 5.
    Row("meas", "3.2.5", "4.2.2", "OK", NOISE),
    Row("meas", "3.2.5", "5.0.8", "OK", {}),
    Row("meas", "3.2.5", "5.0.11", "OK", {}),
    Row("meas", "4.2.2", "4.2.2", "OK", NOISE, BOTH, BOTH),
    Row("meas", "4.2.2", "5.0.11", "OK, warning", {"pmix-security": "WARN"}, BOTH),
    Row("meas", "4.2.2", "5.0.11", "OK", {}, BOTH, settings=(("PMIX_MCA_psec", "native"),)),
    Row("meas", "5.0.8", "4.2.2", "OK", {}),
    Row("meas", "5.0.8", "5.0.11", "OK", {}),
    Row("meas", "5.0.11", "4.2.2", "OK", {}),
    Row("meas", "5.0.11", "5.0.8", "OK", {}),
    Row("meas", "5.0.11", "5.0.8", "FAIL", {"pmix-security": "FAIL"}, MUNGE),
    Row("meas", "4.2.2", "4.2.2", "FAIL", NOISE | {"pmix-security": "FAIL"}, MUNGE),
    Row("doc", "5.0.0", "5.0.1", "FAIL", {"pmix-5-early": "FAIL"}),
    Row("doc", "5.0.1", "5.0.0", "FAIL", {"pmix-5-early": "FAIL"}),
    Row("doc", "5.0.0", "5.0.1", "OK", {}, settings=HASH),
    Row("doc", "5.0.2", "5.0.3", "OK", {}),
    Row("thr", "4.2.9", "5.0.1", "FAIL", {"pmix-5-early": "FAIL"}, parastation=True),
    Row("thr", "4.2.9", "5.0.2", "OK", {}, parastation=True),
    Row("thr", "5.0.1", "5.0.1", "FAIL", {"pmix-5-parastation": "FAIL"}, parastation=True),
    Row("thr", "5.0.1", "5.0.1", "OK", {}, parastation=True, settings=HASH),
    # INTERMITTENT there: a run that may fail is no run to queue for.
    Row("thr", "5.0.3", "5.0.3", "FAIL", {"pmix-5-parastation": "FAIL"}, parastation=True),
    Row("thr", "5.0.6", "5.0.6", "FAIL", {"pmix-5-parastation": "FAIL"}, parastation=True),
    Row("thr", "3.1.5", "4.2.9", "FAIL", {"pmix-security": "FAIL", **NOISE}, MUNGE, mpi="4.1.6"),
    Row("thr", "3.1.5", "4.2.9", "OK", NOISE, BOTH, BOTH, mpi="4.1.6"),
    Row("spack", "5.0.8", "4.2.3", "CONFLICT", {"open-mpi-pmix": "FAIL"}, mpi="4.1.5"),
    Row("spack", "5.0.8", "4.2.3", "OK", {}, mpi="4.1.6"),
]


def name_of(row: Row) -> str:
    return f"{row.server}-{row.client}-{row.result}".replace(" ", "")


@pytest.mark.parametrize("suffix", ["", "a1"])
@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_row(row: Row, suffix: str) -> None:
    """Also with versions as the real libraries tell them: 5.0.7a1, 4.2.2rc2."""
    launch = Launch(
        "pspmix" if row.parastation else "pmix",
        "instance" if row.parastation else "sharens",
        settings=dict(row.settings),
    )
    image = replace(row.image, pmix=f"{row.client}{'rc2' if suffix else ''}")
    site = replace(row.site, pmix=f"{row.server}{suffix}")
    result = preflight(image, site, launch)
    found = {
        one.rule: str(one.verdict) for one in result.findings if one.verdict is not Verdict.PASS
    }
    assert found == row.rules
    failed = row.result in {"FAIL", "CONFLICT"}
    assert (result.verdict is Verdict.FAIL) is failed


@pytest.mark.parametrize("row", ROWS, ids=name_of)
def test_a_row_whose_server_is_not_known_is_never_passed_wrongly(row: Row) -> None:
    launch = Launch(
        "pspmix" if row.parastation else "pmix",
        "instance" if row.parastation else "sharens",
        settings=dict(row.settings),
    )
    site = replace(row.site, pmix=None, gds=None, security=None)
    verdict = preflight(row.image, site, launch).verdict
    if row.result in {"FAIL", "CONFLICT"}:
        assert verdict in {Verdict.UNKNOWN, Verdict.FAIL}
    else:
        assert verdict is not Verdict.FAIL
