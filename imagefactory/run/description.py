"""A run as a UNICORE job description: the exact JSON, and the files that go with it. Pure.

What facts/unicore-nmpi.md 2.3 and 2.9 measured cannot be written down here: the server joins
commands and arguments into a shell line unquoted, and puts them into double quotes besides. So
everything that varies stands in files that are sent along, where no server reads it, and the JSON
has constants and single words only.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault, UsageFault
from imagefactory.run.job import ENDING_LINES, FOLDER, batch_options, launching_lines, parcel_of
from imagefactory.run.plan import RunPlan
from imagefactory.run.staging import stage_one_script, submit_script

SCHEMA = 1
PRECOMMAND = "sh stage.sh"
# A word that no shell, double quote or template of the server does anything with.
_PLAIN = re.compile(r"[A-Za-z0-9_./:=,+-]+( [A-Za-z0-9_./:=,+-]+)*")


class Mode(StrEnum):
    """How UNICORE carries a run. The first three are tracked: UNICORE's end is the run's end."""

    BATCH = "batch"
    RAW = "raw"
    LOGIN = "login"
    PAPER_BATCH = "listing-1-batch"
    PAPER_LOGIN = "listing-1-login"
    PAPER_CONTAINER = "listing-3"

    @property
    def is_tracked(self) -> bool:
        return self in TRACKED


TRACKED = (Mode.BATCH, Mode.RAW, Mode.LOGIN)
AS_IN_PAPER = (Mode.PAPER_BATCH, Mode.PAPER_LOGIN, Mode.PAPER_CONTAINER)


@dataclass(frozen=True)
class Job:
    """One submission: what is posted, what is uploaded by relative name, what one must know."""

    mode: Mode
    description: Mapping[str, Any]
    files: Mapping[str, str | Path]
    image: str  # pinned by digest, but in the paper's shapes
    sif: str
    warnings: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The description, as it is written and shown."""
        return json.dumps(self.description, indent=2) + "\n"

    @property
    def about(self) -> dict[str, Any]:
        """What the description cannot say of itself."""
        return {
            "schema": SCHEMA,
            "mode": self.mode.value,
            "image": self.image,
            "sif": self.sif,
            "files": sorted(self.files),
            "warnings": list(self.warnings),
        }


def describe(plan: RunPlan, mode: Mode = Mode.BATCH) -> Job:
    """The job of a run that was planned for UNICORE.

    Raises UsageFault for an image of no registry and a site without Slurm, ConfigurationFault for
    words of the site record that the server would not keep as they are.
    """
    if plan.image.pinned is None:
        raise UsageFault(
            "a UNICORE job takes its image from a registry, not from a file",
            where=plan.image.reference,
            fix=f"imagefactory push {plan.image.reference} oras://HOST/PROJECT/NAME:TAG",
        )
    if plan.site.scheduler.kind != "slurm":
        raise UsageFault(
            f"site {plan.site.name} has no batch system: UNICORE's jobs need one",
            fix="imagefactory sites",
        )
    if not mode.is_tracked:
        return _as_in_paper(plan, mode)
    files: dict[str, str | Path] = {
        "stage.sh": stage_text(plan),
        "stage_one.sh": stage_one_script(),
        **parcel_of(plan.model, plan.parameters_text, script_text(plan, mode)),
        **plan.module_files,
    }
    description: dict[str, Any] = {
        "Name": job_name(plan.id),
        "Tags": [plan.id],
        "User precommand": PRECOMMAND,
        "RunUserPrecommandOnLoginNode": "true",
        "Executable": "/bin/sh",
        "Arguments": ["job.sh"],
        "haveClientStageIn": "true",
    }
    if mode is Mode.BATCH:
        description |= {"Job type": "BATCH", "Resources": resources(plan)}
    elif mode is Mode.RAW:
        description |= {"Job type": "RAW", "BSS file": "slurm.txt"}
        files["slurm.txt"] = _directives(plan, "slurm.log")
    else:
        description |= {"Job type": "ON_LOGIN_NODE"}
        description["Arguments"] = ["submit.sh", job_name(plan.id)]
        files["submit.sh"] = submit_script()
    check_words(description)
    return Job(mode, description, files, str(plan.image.pinned), str(plan.image.sif))


def on_login_node(name: str, script: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The description of a job that runs a script, which is uploaded, on the login node."""
    description = {
        "Name": name,
        "Executable": "/bin/sh",
        "Arguments": [script, *arguments],
        "Job type": "ON_LOGIN_NODE",
        "haveClientStageIn": "true",
    }
    check_words(description)
    return description


def job_name(run_id: str) -> str:
    """The job's name. Slurm's is another where ours has a `-`: the server then takes UNICORE_job
    (facts/unicore-nmpi.md 2.9)."""
    return run_id.replace("-", ".")


def resources(plan: RunPlan) -> dict[str, str]:
    """What UNICORE asks of Slurm; all values are texts, Runtime is in seconds.

    CPUsPerNode becomes --ntasks-per-node, and there is no --cpus-per-task: a rank's threads are
    asked for as tasks, and srun in the job shares them out.
    """
    geometry, scheduler = plan.geometry, plan.site.scheduler
    most = -(-geometry.ranks // geometry.nodes)
    asked = {
        "Nodes": str(geometry.nodes),
        "CPUsPerNode": str(most * geometry.threads),
        "Runtime": str(scheduler.time_limit_minutes * 60),
    }
    if scheduler.partition:
        asked["Queue"] = scheduler.partition
    if scheduler.account:
        asked["Project"] = scheduler.account
    return asked


def stage_text(plan: RunPlan) -> str:
    """stage.sh, the login-node precommand: one command, whose exit status is the script's."""
    return f"#!/bin/sh\nexec sh stage_one.sh {shlex.join(plan.stage_arguments)}\n"


def script_text(plan: RunPlan, mode: Mode) -> str:
    """job.sh: the run in the folder that the server made; packs its results before it says so."""
    lines = ["#!/bin/sh"]
    if mode is Mode.LOGIN:
        options = batch_options(plan.site, job_name(plan.id), plan.geometry, "slurm.log")
        lines += [f"#SBATCH {option}" for option in options]
    lines += [
        f"# Run {plan.id}, written by imagefactory.",
        "folder=$(pwd)",
        'case $folder in *[:,]*) echo "no bind path: $folder" >&2; exit 1 ;; esac',
        "mkdir -p output && exec >output/job.log 2>&1 || exit 1",
        *launching_lines(plan.site, plan.settings, join_words(plan.launch), plan.after),
        "tar -cf .output.tar output && mv .output.tar output.tar",
        *ENDING_LINES,
    ]
    return "\n".join(lines) + "\n"


def join_words(words: Sequence[str]) -> str:
    """As shlex.join; where a word has FOLDER, the shell's variable is read."""
    return " ".join(
        '"$folder"'.join(shlex.quote(part) if part else "" for part in word.split(FOLDER)) or "''"
        for word in words
    )


def check_words(description: Mapping[str, Any]) -> None:
    """Raise ConfigurationFault for every text that a server would not take as it stands, and for
    a job that would end SUCCESSFUL with nothing run."""
    faults = [
        Fault(f"UNICORE would not keep {text!r} as it is", place, "letters, digits and _./:=,+-")
        for place, text in _texts(description, "")
        if not _PLAIN.fullmatch(text)
    ]
    if not description.get("Executable"):
        faults.append(Fault("a job without Executable ends SUCCESSFUL with nothing run"))
    if not isinstance(description.get("User precommand", ""), str):
        faults.append(Fault("a list hides a failed precommand", "User precommand", "one text"))
    if not isinstance(description.get("Arguments", []), list):
        faults.append(Fault("arguments in one text are dropped", "Arguments", "write a list"))
    if faults:
        raise ConfigurationFault.from_faults(faults)


def _texts(value: object, place: str) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        items = [(f"{place}.{key}".lstrip("."), item) for key, item in value.items()]
    elif isinstance(value, list):
        items = [(f"{place}[{number}]", item) for number, item in enumerate(value)]
    else:
        return [(place, str(value))]
    return [pair for where, item in items for pair in _texts(item, where)]


def _directives(plan: RunPlan, log: str) -> str:
    """The BSS file of a RAW job: directives only, the server adds the call of its own script."""
    options = batch_options(plan.site, job_name(plan.id), plan.geometry, log)
    return "\n".join(["#!/bin/sh", *(f"#SBATCH {option}" for option in options)]) + "\n"


# --- the paper's listings ------------------------------------------------------------------------

_NOT_TRACKED = (
    "UNICORE says SUCCESSFUL when sbatch has accepted the job: it does not see the job fail, "
    "abort does not cancel it, and deleting the UNICORE job deletes the folder under it "
    "(facts/unicore-nmpi.md 2.6)"
)
PAPER_WARNINGS = {
    Mode.PAPER_BATCH: (
        "this is a BATCH job: sbatch is run inside an allocation, on a compute node, and asks for "
        "a second one; the site may forbid it (facts/unicore-nmpi.md 2.6)",
        _NOT_TRACKED,
        "run_batch.slurm has no partition, account or size unless its own lines say so",
        "the image must be on the site already: nothing stages it",
    ),
    Mode.PAPER_LOGIN: (
        "this runs on the login node itself, where sites limit time, memory and processes",
        "the image must be on the site already: nothing stages it",
        "MPI is not started by the site's launcher: the ranks share the login node",
    ),
    Mode.PAPER_CONTAINER: (
        _NOT_TRACKED,
        "Resources.Project has no effect: a login-node job ignores resources, and the script has "
        "no --account line",
        "the tag is pulled on the site: it may stand for other bytes than today's digest",
        "Listing 4 runs IMAGE.sif, but a pull without a name writes IMAGE_TAG.sif: the name is "
        "given here, else the job would not find its image",
        "apptainer pull -F writes the image anew in every job, and checks no digest of the file",
        "how many ranks run is the site's default: the script asks for nodes only",
        "results are complete when the Slurm job has ended, of which UNICORE knows nothing",
    ),
}


def _as_in_paper(plan: RunPlan, mode: Mode) -> Job:
    """The shapes of Listings 1, 3 and 4, with our program where the paper has its own."""
    scheduler = plan.site.scheduler
    project = scheduler.account or "<project>"
    image = plan.image.path
    if mode is Mode.PAPER_BATCH:
        script = "run_batch.slurm"
        description: dict[str, Any] = {
            "Executable": "sbatch",
            "Arguments": [script],
            "Resources": {
                "Project": project,
                "Queue": scheduler.partition or "batch",
                "Nodes": str(plan.geometry.nodes),
                "Runtime": str(scheduler.time_limit_minutes * 60),
            },
        }
    elif mode is Mode.PAPER_LOGIN:
        script = "run_login.sh"
        description = {
            "Executable": "/bin/bash",
            "Arguments": [script],
            "Job type": "ON_LOGIN_NODE",
        }
    else:
        script = "run_container.slurm"
        name = plan.image.reference.rpartition("/")[2].partition(":")[0].partition("@")[0]
        image = f"{name}.sif"
        pull = f"{plan.site.apptainer} pull -F {image} {plan.image.reference}"
        description = {
            "Executable": "sbatch",
            "Arguments": [script],
            "Job type": "ON_LOGIN_NODE",
            "RunUserPrecommandOnLoginNode": "true",
            "User precommand": pull,
            "Resources": {"Project": project},
        }
    files: dict[str, str | Path] = {
        **parcel_of(plan.model, plan.parameters_text, ""),
        **plan.module_files,
    }
    del files["job.sh"]
    files[script] = _paper_script(plan, mode, image)
    return Job(
        mode, description, files, plan.image.reference, str(plan.image.sif), PAPER_WARNINGS[mode]
    )


def _paper_script(plan: RunPlan, mode: Mode, image: str) -> str:
    """Listing 4, and its likes for Listing 1, of which the paper does not show the scripts."""
    hours, minutes = divmod(plan.site.scheduler.time_limit_minutes, 60)
    program, apptainer = "python3 inside/start.py parameters.json", plan.site.apptainer
    slurm = [
        f"#SBATCH --nodes={plan.geometry.nodes}",
        f"#SBATCH --time={hours:02}:{minutes:02}:00",
        "",
        f"srun --mpi={plan.site.launcher.plugin} {apptainer} exec --sharens {image} \\",
        f"  {program}",
    ]
    login = [f"{apptainer} exec {image} {program}"]
    lines = login if mode is Mode.PAPER_LOGIN else slurm
    return "\n".join(["#!/bin/bash", *lines]) + "\n"
