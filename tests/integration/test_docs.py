"""The commands of README and docs are run as they stand: every block fenced as `sh`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imagefactory.base.process import Runner
from imagefactory.base.report import Silent

if TYPE_CHECKING:
    from imagefactory.sandbox import Sandbox

TOP = Path(__file__).parents[2]
PAGES = [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
# The sandbox is shared by the tests: it is taken down by the fixture, not by a page.
AT_SITES = re.compile("sandbox|bookworm|trixie|-double|:5000")
LEFT_OUT = re.compile(r"^imagefactory sandbox down$", re.MULTILINE)


def blocks(page: Path) -> str:
    text = "".join(BLOCK.findall(page.read_text(encoding="utf-8")))
    return LEFT_OUT.sub("", text).strip()


def pages(*, at_sites: bool) -> list[Path]:
    return [
        page for page in PAGES if blocks(page) and bool(AT_SITES.search(blocks(page))) is at_sites
    ]


@pytest.mark.parametrize("page", pages(at_sites=True), ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page: Path, sandbox: Sandbox, nest_sif: Path) -> None:
    assert sandbox.sites
    run_commands(page, nest_sif)


@pytest.mark.parametrize("page", pages(at_sites=False), ids=lambda page: page.name)
def test_the_commands_of_a_page_run_anywhere(page: Path, nest_sif: Path) -> None:
    run_commands(page, nest_sif)


def run_commands(page: Path, nest_sif: Path) -> None:
    (TOP / "build").mkdir(exist_ok=True)
    image = TOP / "build" / "nest.sif"
    if not image.exists():
        image.write_bytes(nest_sif.read_bytes())
    path = f"{TOP / '.venv' / 'bin'}:{os.environ['PATH']}"
    Runner(Silent()).run(
        "bash", "-euxo", "pipefail", "-c", blocks(page), timeout=1200, cwd=TOP, extra={"PATH": path}
    )
