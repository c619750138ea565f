"""How the provider starts a job's program: anybody's program, so never as root, nor in the open."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imagefactory.base.errors import ToolFailed
from imagefactory.base.process import Done, Runner
from imagefactory.base.report import Report
from imagefactory.image import find_apptainer, latest_build

# The job's folder, the program's words, its variables, and the seconds that it may take.
Start = Callable[[Path, Sequence[str], Mapping[str, str], float], Done]
RECIPE = "spynnaker"
WORK = "/home/job"


def start_in_image(report: Report) -> Start:
    """In the image of recipes/spynnaker, as the ordinary user; of the machine a program sees its
    folder alone, and no network. Raises ToolFailed at a job where there is no such image."""

    def start(place: Path, words: Sequence[str], variables: Mapping[str, str], most: float) -> Done:
        build = latest_build(RECIPE)
        if build is None:
            raise ToolFailed(
                "this provider has no image to run jobs in",
                fix=f"imagefactory image build recipes/{RECIPE}",
            )
        options = [
            "--containall", "--net", "--network", "none",
            "--home", f"{place}:{WORK}", "--pwd", WORK,
        ]  # fmt: skip
        extra = {f"APPTAINERENV_{name}": value for name, value in variables.items()}
        return find_apptainer(report).execute(
            build.sif, ["python3", *words], timeout=most, options=options, extra=extra, check=False
        )

    return start


def start_here(runner: Runner) -> Start:
    """With this Python, on this machine: for tests, whose programs are their own."""

    def start(place: Path, words: Sequence[str], variables: Mapping[str, str], most: float) -> Done:
        return runner.run(
            sys.executable, *words, timeout=most, cwd=place, check=False, extra=variables
        )

    return start
