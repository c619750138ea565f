"""imagefactory site check: the exit status is the verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from imagefactory.base.files import digest_of
from imagefactory.cli.main import main
from imagefactory.launch import ImageSide, SiteSide
from imagefactory.launch.lookup import keep
from imagefactory.launch.site_facts import ProbeRecord, write_probe
from tests.unit.launch.samples import MPICH, NEST, SLURM
from tests.unit.launch.test_image_facts import partition, sif

RECORD = """schema: 1
name: there
access: {kind: ssh, host: login.example.org}
scheduler: {kind: slurm}
launcher: {kind: srun, plugin: pmix, sharens: true}
folders: {store: /shared/store, work: /shared/runs}
nodes: 1
"""


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A SIF whose facts are known already; nothing is started to read it."""
    records = tmp_path / "settings" / "sites"
    records.mkdir(parents=True)
    (records / "there.yaml").write_text(RECORD, encoding="utf-8")
    path = tmp_path / "x.sif"
    path.write_bytes(sif(partition()))
    return path


def check(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["site", "check", *words])
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("side", "site", "words", "status"),
    [
        (NEST, SLURM, (), 0),
        (NEST, SLURM, ("--launcher", "pmi2"), 3),
        (MPICH, SLURM, (), 3),
        (MPICH, SLURM, ("--launcher", "pmi2"), 0),
        (NEST, SiteSide(), (), 9),
        (ImageSide(), SLURM, (), 9),
    ],
)
def test_the_exit_status(
    side: ImageSide, site: SiteSide, words: tuple[str, ...], status: int, image: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    keep(digest_of(image), side)
    write_probe(ProbeRecord("there", "2026-11-23", site, {}))
    assert check(str(image), "--site", "there", *words) == status
    out = capsys.readouterr().out
    assert "launch line: " in out
    assert out.startswith({0: "PASS", 3: "FAIL", 9: "UNKNOWN"}[status])


def test_as_json(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep(digest_of(image), NEST)
    write_probe(ProbeRecord("there", "2026-11-23", SLURM, {}))
    check(str(image), "--site", "there", "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["verdict"] == "PASS"
    assert {finding["rule"] for finding in document["findings"]} >= {"protocol", "pmix-security"}
    assert all(finding["facts"] and finding["source"] for finding in document["findings"])


@pytest.mark.parametrize("content", [b"", b"no SIF at all", bytes(4096)])
def test_what_is_no_image(content: bytes, image: Path) -> None:
    image.write_bytes(content)
    assert check(str(image), "--site", "there") == 4
