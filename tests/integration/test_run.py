"""Runs on the two sites of the sandbox and on this machine: the same spikes, and every bad end."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from imagefactory.base.errors import FactoryError, ServiceAway, ToolFailed, TrustRefused
from imagefactory.base.process import Runner
from imagefactory.base.report import Silent
from imagefactory.base.values import ImageRef
from imagefactory.run import RunPlan, RunRecord, execute, plan_run, read_record, resume
from imagefactory.run.execute import Tools, execute_with
from imagefactory.run.shell import open_shell
from imagefactory.run.staging import Staged, stage

if TYPE_CHECKING:
    from imagefactory.sandbox import Sandbox

SMALL = {"n_exc": 200, "n_inh": 50, "duration_ms": 100, "warmup_ms": 20}
SITES = ("bookworm", "trixie")
START = "python3 inside/start.py parameters.json"


@pytest.fixture(autouse=True)
def _own_runs(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Runs of tests are kept apart from the user's; the sandbox's sites stay known."""
    sites = tmp_path / "settings" / "sites"
    sites.mkdir(parents=True)
    for site in sandbox.sites:
        shutil.copy(site.record, sites)
    monkeypatch.setenv("IMAGEFACTORY_SETTINGS", str(tmp_path / "settings"))
    monkeypatch.setenv("IMAGEFACTORY_DATA", str(tmp_path / "data"))


@pytest.fixture
def plan(pushed_ref: ImageRef, report: Silent) -> Callable[..., RunPlan]:
    def make(site: str = "bookworm", **options: Any) -> RunPlan:
        options = {"ranks": 4} | options
        return plan_run(
            str(pushed_ref), site, "balanced-random", report=report, overrides=SMALL, **options
        )

    return make


def in_container(sandbox: Sandbox, name: str, script: str) -> str:
    """Run sh in a container of the sandbox, as root."""
    runner = Runner(Silent(), {**os.environ, "DOCKER_HOST": sandbox.engine})
    return runner.run("docker", "exec", name, "sh", "-ec", script, timeout=120).output


def with_program(plan: RunPlan, script: str, *options: str) -> RunPlan:
    """The plan with another program in its ranks, and with more options of apptainer exec."""
    launch = list(plan.launch)
    assert launch[-3:] == START.split()
    launch[-3:] = ["sh", "-c", script]
    where = launch.index("exec") + 1
    return replace(plan, launch=tuple([*launch[:where], *options, *launch[where:]]))


def fail(plan: RunPlan, kind: type[FactoryError], report: Silent) -> tuple[FactoryError, RunRecord]:
    with pytest.raises(kind) as caught:
        execute(plan, report)
    record = read_record(plan.id)
    assert record.failure is not None
    assert record.failure["what"] == caught.value.faults[0].what
    assert record.spikes is None
    return caught.value, record


def test_all_sites_give_equal_spikes(plan: Callable[..., RunPlan], report: Silent) -> None:
    records = [execute(plan(site), report) for site in SITES]
    records.append(execute(plan("here", ranks=2, threads=2), report))
    digests = {record.spikes["digest"] for record in records if record.spikes}
    assert len(digests) == 1
    assert all(record.spikes and record.spikes["count"] > 0 for record in records)
    assert len({record.network["digest"] for record in records}) == 1
    servers = [record.pmix["server"] for record in records]
    assert servers[0].startswith("4.2")
    assert servers[1].startswith("5.0")
    assert [record.machine["nodes"] for record in records[:2]] == [["c1", "c2"]] * 2
    for record in records:
        assert record.image["verified"] == record.image["sif"]
        assert {"nest", "pynn", "numpy", "mpi", "python"} <= set(record.versions)
        assert (record.folder / "spikes.npz").is_file()
        assert len(list((record.folder / "ranks").iterdir())) == record.geometry["ranks"]


def test_an_image_file_on_this_machine(nest_sif: Path, report: Silent) -> None:
    found = plan_run(str(nest_sif), "here", "balanced-random", report=report, overrides=SMALL)
    assert execute(found, report).state == "FINISHED"


def test_singletons_are_an_error(plan: Callable[..., RunPlan], report: Silent) -> None:
    error, record = fail(with_program(plan(), START, "--cleanenv"), ToolFailed, report)
    assert "rank 0 of 1" in str(error)
    assert record.state == "FAILED"


def test_singletons_with_exit_status_0_are_an_error(
    plan: Callable[..., RunPlan], report: Silent
) -> None:
    script = f"{START}; true"
    error, _ = fail(with_program(plan("trixie"), script, "--cleanenv"), ToolFailed, report)
    assert "4 processes, each rank 0 of 1" in str(error)


@pytest.mark.parametrize("site", SITES)
def test_a_plugin_that_is_no_pmix(plan: Callable[..., RunPlan], report: Silent, site: str) -> None:
    found = plan(site)
    launch = tuple("--mpi=none" if word == "--mpi=pmix" else word for word in found.launch)
    error, _ = fail(replace(found, launch=launch), ToolFailed, report)
    assert "found no PMIx server" in str(error)
    assert "srun --mpi=list" in str(error)


@pytest.mark.parametrize("site", SITES)
def test_a_rank_that_crashes(plan: Callable[..., RunPlan], report: Silent, site: str) -> None:
    # In MPI already: a rank that dies before it hangs with --sharens, see docs/run.md.
    crash = (
        "import os; from mpi4py import MPI; world = MPI.COMM_WORLD; world.Barrier(); "
        "world.rank == 3 and (os.write(2, b'boom' + bytes([10])), os._exit(5)); world.Barrier()"
    )
    script = f'exec python3 -c "{crash}"'
    error, record = fail(with_program(plan(site), script), ToolFailed, report)
    # Slurm 24.11 kills the ranks before it reads their exit status: then PMIx says who went away.
    assert "rank 3 of 4 on c2 ended: " in str(error)
    assert "boom" in error.detail
    assert record.state == "FAILED"


def test_a_rank_that_crashes_here(plan: Callable[..., RunPlan], report: Silent) -> None:
    script = f'[ "$OMPI_COMM_WORLD_RANK" != 1 ] || exit 5; {START}'
    error, _ = fail(with_program(plan("here", ranks=2), script), ToolFailed, report)
    assert "rank 1 of 2" in str(error)


def test_jobs_that_slurm_ends(
    plan: Callable[..., RunPlan], report: Silent, sandbox: Sandbox
) -> None:
    """At once, for Slurm takes a minute for each: scancel at both sites, and the time limit."""

    def is_cancelled(site: str) -> None:
        script = "echo begun; touch output/begun; exec sleep 300"
        found = with_program(plan(site, ranks=2), script)
        login = sandbox.site(site).login
        look = f"[ ! -e {found.folder}/output/begun ] || echo yes"

        def cancel() -> None:
            wait_until(lambda: bool(in_container(sandbox, login, look)))
            job = read_record(found.id).job["id"]
            in_container(sandbox, login, f"scancel {job}")

        thread = threading.Thread(target=cancel)
        thread.start()
        _, record = fail(found, ToolFailed, report)
        thread.join()
        assert record.state == "CANCELLED"
        assert "begun" in (record.folder / "log.txt").read_text("utf-8")

    def runs_into_its_time_limit(site: str) -> None:
        found = with_program(plan(site, ranks=2), "sleep 300")
        scheduler = replace(found.site.scheduler, time_limit_minutes=1)
        found = replace(found, site=replace(found.site, scheduler=scheduler))
        error, record = fail(found, ToolFailed, report)
        assert record.state == "TIMEOUT"
        assert "time_limit_minutes" in str(error)

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(is_cancelled, site) for site in SITES]
        jobs.append(pool.submit(runs_into_its_time_limit, "bookworm"))
        for job in jobs:
            job.result()


def test_a_killed_client_is_resumed(plan: Callable[..., RunPlan], report: Silent) -> None:
    class Killed(BaseException):
        pass

    def die(_: float) -> None:
        raise Killed

    found = plan()
    with pytest.raises(Killed), open_shell(found.site.access, report) as shell:
        execute_with(found, Tools(shell, die), report)
    assert read_record(found.id).state in {"SUBMITTED", "RUNNING"}
    record = resume(found.id, report)
    assert record.state == "FINISHED"
    assert record.spikes is not None


def test_a_site_that_is_away(plan: Callable[..., RunPlan], report: Silent) -> None:
    found = plan()
    access = replace(found.site.access, port=1)
    error, _ = fail(replace(found, site=replace(found.site, access=access)), ServiceAway, report)
    assert "onnection refused" in str(error)


def test_a_host_key_that_is_unknown(
    plan: Callable[..., RunPlan], report: Silent, tmp_path: Path
) -> None:
    found = plan()
    (tmp_path / "none").touch()
    access = replace(found.site.access, known_hosts=tmp_path / "none")
    fail(replace(found, site=replace(found.site, access=access)), TrustRefused, report)


# --- stage one with the real Apptainer --------------------------------------------------------


def with_store(plan: RunPlan, store: str) -> RunPlan:
    path = f"{store}/{Path(plan.image.path).name}"
    launch = tuple(path if word == plan.image.path else word for word in plan.launch)
    return replace(
        plan,
        site=replace(plan.site, store=store),
        image=replace(plan.image, path=path),
        launch=launch,
    )


@pytest.fixture
def fresh(plan: Callable[..., RunPlan], sandbox: Sandbox) -> Iterator[RunPlan]:
    """A plan for a store that does not exist yet; it is removed afterwards."""
    store = f"/shared/imagefactory/store-{uuid4().hex[:8]}"
    yield with_store(plan(), store)
    in_container(sandbox, sandbox.site("bookworm").login, f"rm -rf {store}")


def listing(plan: RunPlan, sandbox: Sandbox) -> list[str]:
    login = sandbox.site(plan.site.name).login
    return in_container(sandbox, login, f"ls -A --ignore .used {plan.site.store}").split()


def test_two_runs_stage_the_same_image_at_once(
    fresh: RunPlan, sandbox: Sandbox, report: Silent
) -> None:
    def once(_: int) -> Staged:
        with open_shell(fresh.site.access, report) as shell:
            return stage(shell, fresh.stage_arguments, report)

    with ThreadPoolExecutor(2) as pool:
        staged = list(pool.map(once, range(2)))
    assert [one.sif for one in staged] == [str(fresh.image.sif)] * 2
    assert sum(one.downloaded for one in staged) == 1
    assert listing(fresh, sandbox) == [Path(fresh.image.path).name]


@contextmanager
def damaged_blob(plan: RunPlan, sandbox: Sandbox, script: str) -> Iterator[None]:
    """The image's bytes in the registry's own storage, changed; put back afterwards."""
    hex_ = plan.image.sif.hex
    blob = f"/var/lib/registry/docker/registry/v2/blobs/sha256/{hex_[:2]}/{hex_}/data"
    name = f"{sandbox.prefix}-registry"
    in_container(sandbox, name, f"cp {blob} /tmp/kept; f={blob}; {script}")
    try:
        yield
    finally:
        in_container(sandbox, name, f"cp /tmp/kept {blob}; rm /tmp/kept")


@pytest.mark.parametrize(
    "script",
    [
        "printf XXXX | dd of=$f bs=1 seek=100000 conv=notrunc",
        "truncate -s 1000000 $f",
    ],
    ids=["altered", "truncated"],
)
def test_a_damaged_image_in_the_registry(
    fresh: RunPlan, sandbox: Sandbox, report: Silent, script: str
) -> None:
    with damaged_blob(fresh, sandbox, script):
        error, _ = fail(fresh, TrustRefused, report)
    assert "the registry has wrong bytes" in str(error)
    assert listing(fresh, sandbox) == []


def test_an_altered_image_in_the_store_is_replaced(
    fresh: RunPlan, sandbox: Sandbox, report: Silent
) -> None:
    login = sandbox.site("bookworm").login
    said = Silent()
    with open_shell(fresh.site.access, report) as shell:
        assert stage(shell, fresh.stage_arguments, said).downloaded
        in_container(
            sandbox, login, f"printf X | dd of={fresh.image.path} bs=1 seek=9000 conv=notrunc"
        )
        assert stage(shell, fresh.stage_arguments, said).downloaded
        assert not stage(shell, fresh.stage_arguments, said).downloaded
    assert any("altered" in text for text in said.warnings)


@pytest.mark.parametrize("honest", [True, False], ids=["seen-before", "seen-while-pulling"])
def test_a_full_disk(fresh: RunPlan, sandbox: Sandbox, report: Silent, honest: bool) -> None:
    login, store = sandbox.site("bookworm").login, fresh.site.store
    in_container(
        sandbox, login,
        f"mkdir -p {store}; mount -t tmpfs -o size=64m,mode=1777 tmpfs {store}",
    )  # fmt: skip
    if not honest:  # a quota, or another user who is quicker: the check before sees room enough
        fresh = replace(fresh, image=replace(fresh.image, size=1))
    try:
        error, record = fail(fresh, ToolFailed, report)
        assert listing(fresh, sandbox) == []
    finally:
        in_container(sandbox, login, f"umount {store}")
    assert error.exit_code == 6
    assert "too full" in str(error) if honest else "no space" in str(error)
    assert "free" in error.faults[0].fix
    assert record.state == "FAILED"
    assert "id" not in record.job, "no job was submitted"


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    pytest.fail("it did not happen within 60 s")
