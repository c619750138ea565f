"""A run as a UNICORE job: the exact JSON and files, and what cannot be written down."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagefactory.base.errors import ConfigurationFault, UsageFault
from imagefactory.base.values import ImageRef
from imagefactory.run.artefact import write_job
from imagefactory.run.description import (
    AS_IN_PAPER,
    TRACKED,
    Mode,
    check_words,
    describe,
    join_words,
)
from imagefactory.run.job import FOLDER, Via
from imagefactory.run.plan import RunPlan, decide_way
from imagefactory.site import Access, Launcher, Scheduler, Site
from tests.conftest import Golden
from tests.unit.run.fake_site import launch_line, make_plan, slurm_site


def unicore_plan(site: Site | None = None, ranks: int = 4) -> RunPlan:
    """The plan of a run through UNICORE: its folder is named on the site."""
    plan = make_plan(site or slurm_site(), ranks)
    made = launch_line(plan.site, plan.image.path, ranks, plan.geometry.nodes, FOLDER)
    return replace(plan, id="bookworm-net", folder=FOLDER, launch=made.argv, via=Via.UNICORE)


@pytest.mark.parametrize("mode", list(Mode))
def test_the_exact_json_and_files(mode: Mode, golden: Golden) -> None:
    job = describe(unicore_plan(), mode)
    kept = {name for name, content in job.files.items() if isinstance(content, str)}
    # Shipped as they are, and read elsewhere: inside/, stage_one.sh, submit.sh, parameters.json.
    written = sorted(kept - {"stage_one.sh", "submit.sh", "parameters.json"})
    parts = [("description.json", job.text), *((name, str(job.files[name])) for name in written)]
    parts.append(("about.json", json.dumps(job.about, indent=2) + "\n"))
    golden.check(f"run/job-{mode}.txt", "".join(f"--- {name}\n{text}" for name, text in parts))


@pytest.mark.parametrize("mode", TRACKED)
def test_a_tracked_job_has_constants_where_a_shell_reads(mode: Mode) -> None:
    hostile = Scheduler("slurm", "batch", "proj", 30)
    site = replace(slurm_site(), scheduler=hostile, store='/p/it\'s $(touch x) "$HOME"; a')
    calm, wild = describe(unicore_plan(), mode), describe(unicore_plan(site), mode)
    assert calm.description == wild.description
    assert "it'\"'\"'s" in str(wild.files["stage.sh"]), "quoted in the file that is sent"
    assert wild.description["Executable"]
    assert wild.description["User precommand"] == "sh stage.sh"


def broken(**changes: Any) -> dict[str, Any]:
    return {**describe(unicore_plan()).description, **changes}


@pytest.mark.parametrize(
    ("description", "place"),
    [
        (broken(**{"User precommand": "sh stage.sh\n"}), "User precommand"),
        (broken(**{"User precommand": ["sh stage.sh"]}), "User precommand"),
        (broken(**{"User precommand": "sh a.sh; sh b.sh"}), "User precommand"),
        (broken(**{"User precommand": "sh stage.sh > log"}), "User precommand"),
        (broken(Executable='/bin/sh -c "x"'), "Executable"),
        (broken(Executable="$(date)"), "Executable"),
        (broken(Executable=""), ""),
        (broken(Arguments="job.sh"), "Arguments"),
        (broken(Arguments=["job.sh", "$HOME/x"]), "Arguments[1]"),
        (broken(Arguments=["job.sh", ""]), "Arguments[1]"),
        (broken(Name="a`b`"), "Name"),
        (broken(Resources={"Project": "a b;c"}), "Resources.Project"),
    ],
)
def test_what_a_server_would_not_take_as_it_stands(description: dict[str, Any], place: str) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        check_words(description)
    assert place in {fault.where for fault in caught.value.faults}


def test_all_faults_at_once() -> None:
    with pytest.raises(ConfigurationFault) as caught:
        check_words(broken(Executable="a;b", Name='"'))
    assert len(caught.value.faults) == 2


def test_threads_are_asked_for_as_tasks() -> None:
    plan = unicore_plan()
    plan = replace(plan, geometry=replace(plan.geometry, ranks=3, threads=4))
    asked = describe(plan).description["Resources"]
    assert asked["CPUsPerNode"] == "8"
    assert asked["Runtime"] == "1800"


def test_a_site_without_partition_and_account_leaves_them_to_the_server() -> None:
    site = replace(slurm_site(), scheduler=Scheduler("slurm"))
    assert set(describe(unicore_plan(site)).description["Resources"]) == {
        "Nodes", "CPUsPerNode", "Runtime",
    }  # fmt: skip


def test_the_folder_is_the_servers() -> None:
    words = ["--bind", f"{FOLDER}:{FOLDER}", "it's", "", "$HOME"]
    assert join_words(words) == "--bind \"$folder\":\"$folder\" 'it'\"'\"'s' '' '$HOME'"


def test_the_plan_for_people(golden: Golden) -> None:
    golden.check("run/plan-unicore.txt", "\n".join(unicore_plan().lines()) + "\n")


@pytest.mark.parametrize(
    ("kind", "asked", "way"),
    [("ssh", None, Via.SHELL), ("ssh", Via.UNICORE, Via.UNICORE), ("unicore", None, Via.UNICORE)],
)
def test_what_carries_a_run(kind: str, asked: Via | None, way: Via) -> None:
    assert decide_way(replace(slurm_site(), access=Access(kind)), asked) is way


def test_no_shell_where_there_is_none() -> None:
    with pytest.raises(UsageFault, match="no shell"):
        decide_way(replace(slurm_site(), access=Access("unicore")), Via.SHELL)


def test_a_file_is_no_image_for_unicore() -> None:
    plan = unicore_plan()
    local = replace(plan, image=replace(plan.image, pinned=None, reference="build/nest.sif"))
    with pytest.raises(UsageFault, match="from a registry"):
        describe(local)


def test_a_site_without_slurm() -> None:
    site = replace(slurm_site(), scheduler=Scheduler("none"), launcher=Launcher("mpirun"))
    with pytest.raises(UsageFault, match="no batch system"):
        describe(unicore_plan(site))


def test_tracked_jobs_are_pinned_and_the_papers_warn() -> None:
    for mode in TRACKED:
        job = describe(unicore_plan(), mode)
        assert ImageRef.parse(job.image).digest
        assert not job.warnings
    for mode in AS_IN_PAPER:
        assert describe(unicore_plan(), mode).warnings


def test_the_artefact_is_the_same_every_time(tmp_path: Path) -> None:
    job = describe(unicore_plan())
    for name in ("one", "two"):
        written = write_job(job, tmp_path / name)
        assert all(path.is_file() for path in written)
    about = (tmp_path / "one" / "about.json").read_bytes()
    assert about == (tmp_path / "two" / "about.json").read_bytes()
    assert set(json.loads(about)["files"]) == set(job.files)
    assert json.loads((tmp_path / "one" / "description.json").read_text()) == job.description
