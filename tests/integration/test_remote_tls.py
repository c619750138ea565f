"""A run through UNICORE over real TLS and real sockets; the server is the double, its login node
runs nothing. Whole runs on the sandbox's Slurm: the commands of docs/unicore.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imagefactory.base.errors import TrustRefused
from imagefactory.base.tokens import VARIABLE, Surroundings
from imagefactory.run import resume
from imagefactory.run.remote import open_link
from imagefactory.sandbox.unicore import start_unicore
from imagefactory.site import UnicoreAccess
from tests.unit.run.test_remote import RECORD, RUN, Remote


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Remote]:
    for name in ("CACHE", "DATA", "SETTINGS"):
        monkeypatch.setenv(f"IMAGEFACTORY_{name}", str(tmp_path / name.lower()))
    found = Remote(tmp_path)
    with start_unicore(tmp_path, {"bookworm": found.login}, looks=0.2) as unicore:
        found.unicore = unicore
        sites = tmp_path / "settings" / "sites"
        sites.mkdir(parents=True)
        text = RECORD.format(registry=unicore.registry_url, ca=unicore.ca_file)
        (sites / "bookworm.yaml").write_text(text, "utf-8")
        yield found


def test_a_run_is_detached_and_gone_on_with(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote.submit()
    monkeypatch.setenv(VARIABLE, remote.unicore.token())
    record = resume(RUN, remote.report)
    assert record.state == "FINISHED"
    assert remote.unicore.requests["POST jobs"] == 1


def test_a_server_with_an_unknown_authority_is_not_spoken_to(remote: Remote) -> None:
    access = replace(remote.site().unicore or UnicoreAccess(), ca=None)
    around = Surroundings({VARIABLE: remote.unicore.token()})
    with pytest.raises(TrustRefused, match=r"unicore\.ca of the site record"):
        open_link(replace(remote.site(), unicore=access), remote.report, around)
    assert not remote.unicore.requests
