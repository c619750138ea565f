"""Many runs of one digest at once, through UNICORE (a double of it) to a real Slurm:
`IMAGEFACTORY_RUNS=100 pytest -s tests/integration/test_many.py`, as `make bench` does."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from imagefactory.base.report import Silent
from imagefactory.run import start as start_run
from imagefactory.sandbox import issue_token, require_unicore, up
from imagefactory.sandbox.unicore.background import count_requests
from tests.integration.test_run import SMALL, in_container

if TYPE_CHECKING:
    from imagefactory.base.values import ImageRef
    from imagefactory.run import RunHandle
    from imagefactory.sandbox import Sandbox, UnicoreAddress

RUNS = int(os.environ.get("IMAGEFACTORY_RUNS", "5"))
CLIENTS = 4
SITE = "bookworm"


@pytest.fixture
def double(sandbox: Sandbox) -> UnicoreAddress:
    """The double of the sandbox; `up` starts it where only the sites were up."""
    assert sandbox.sites
    up(Silent())
    return require_unicore()


@pytest.fixture
def store(
    sandbox: Sandbox, double: UnicoreAddress, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> str:
    """A store that is empty, in a record of its own of the site; runs apart from the user's."""
    token = issue_token(double, "scientist", 3600)
    monkeypatch.setenv("IMAGEFACTORY_TOKEN", token.reveal())
    folder = f"/shared/imagefactory/store-{uuid4().hex[:8]}"
    sites = tmp_path / "settings" / "sites"
    sites.mkdir(parents=True)
    record = sandbox.site(SITE).record.read_text("utf-8")
    (sites / f"{SITE}.yaml").write_text(
        record.replace("/shared/imagefactory/store", folder), "utf-8"
    )
    for name in ("settings", "data"):
        monkeypatch.setenv(f"IMAGEFACTORY_{name.upper()}", str(tmp_path / name))
    return folder


def test_many_runs_of_one_digest_download_it_once(
    store: str, sandbox: Sandbox, double: UnicoreAddress, pushed_ref: ImageRef
) -> None:
    def start(seed: int) -> RunHandle:
        return start_run(
            str(pushed_ref), site=SITE, via="unicore", ranks=1, seed=seed, parameters=SMALL,
            report=Silent(),
        )  # fmt: skip

    login = sandbox.site(SITE).login
    before, began = sum(count_requests(double).values()), time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        runs = list(clients.map(start, range(1, RUNS + 1)))
        submitted = time.monotonic() - began
        records = list(clients.map(lambda run: run.wait(), runs))
    requests = sum(count_requests(double).values()) - before
    pulled = f"grep -l 'pulled {store}/' /shared/imagefactory/unicore/*/.UNICORE_PRE_0/stdout"
    downloads = len(in_container(sandbox, login, pulled).split())
    print(
        f"{RUNS} runs of one digest, {CLIENTS} clients at once: submitted in {submitted:.0f} s, "
        f"over in {time.monotonic() - began:.0f} s, {requests} requests; downloads: {downloads}"
    )
    in_container(sandbox, login, f"rm -rf {store}")
    assert downloads == 1
    assert [record.state for record in records] == ["FINISHED"] * RUNS
    assert len({record.job["id"] for record in records}) == RUNS
