"""What an image holds: asked from its labels, its facts file and its own programs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ToolFailed
from imagefactory.base.files import digest_of
from imagefactory.image.apptainer import Apptainer
from imagefactory.image.reach import reachable

PREFIX = "org.ebrains.imagefactory"
FACTS = "/opt/imagefactory/facts.json"
UNKNOWN = "unknown"
_SHOWN = ("mpi", "pmix", "glibc", "python", "nest")
# For an image that we did not build: its own programs are asked, one line each.
_ASK = """
printf 'mpi %s\\n' "$( (ompi_info --version || mpichversion) 2>/dev/null | head -n 1)"
printf 'glibc %s\\n' "$(ldd --version 2>/dev/null | head -n 1 | sed 's/.* //')"
printf 'python %s\\n' "$(python3 --version 2>/dev/null | sed 's/.* //')"
printf 'pmix %s\\n' "$( (pmix_info --version || dpkg-query -W -f '${Version}' libpmix2) \\
  2>/dev/null | head -n 1 | sed 's/.* //')"
printf 'nest %s\\n' "$(nest-config --version 2>/dev/null)"
"""


@dataclass(frozen=True)
class ImageFacts:
    """What was found in a SIF; 'unknown' where the image does not say."""

    sif: Path
    digest: str
    size: int
    mpi: str
    pmix: str
    glibc: str
    python: str
    nest: str
    cpu_target: str
    labels: dict[str, str]
    debian: dict[str, str] = field(default_factory=dict)
    python_packages: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people."""
        shown = [(name, getattr(self, name)) for name in ("digest", *_SHOWN, "cpu_target")]
        return [f"{name.replace('_', ' '):12} {value}" for name, value in shown]


def inspect(sif: Path, apptainer: Apptainer) -> ImageFacts:
    """Say what a SIF holds, ours or foreign.

    Raises ConfigurationFault if it is no SIF, ToolFailed if it cannot be opened (cut or damaged).
    """
    with reachable(sif, apptainer) as path:
        labels = _labels(path, apptainer)
        found = own_facts(path, apptainer) or _asked(path, apptainer)
    shown = {name: str(found.get(name) or UNKNOWN) for name in _SHOWN}
    return ImageFacts(
        sif=sif,
        digest=str(digest_of(sif)),
        size=sif.stat().st_size,
        cpu_target=labels.get(f"{PREFIX}.cpu-target", UNKNOWN),
        labels=labels,
        debian=found.get("debian", {}),
        python_packages=found.get("python_packages", {}),
        **shown,
    )


def _labels(sif: Path, apptainer: Apptainer) -> dict[str, str]:
    try:
        done = apptainer.runner.run(
            apptainer.program, "inspect", "--json", "--labels", sif, timeout=60, cwd=Path("/")
        )
        document = json.loads(done.output)
        return dict(document["data"]["attributes"]["labels"] or {})
    except ToolFailed as err:
        raise _damaged(sif, err.detail) from None
    except (ValueError, KeyError, TypeError):
        return {}


def _damaged(sif: Path, detail: str) -> ToolFailed:
    return ToolFailed(
        "the image cannot be opened: it is damaged",
        where=str(sif),
        fix="pull or build it again",
        detail=detail,
    )


def own_facts(sif: Path, apptainer: Apptainer) -> dict[str, Any]:
    """What the build measured and wrote into the image; empty for a foreign one."""
    done = apptainer.execute(sif, ["cat", FACTS], timeout=60, check=False)
    try:
        document = json.loads(done.output) if done.status == 0 else {}
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _asked(sif: Path, apptainer: Apptainer) -> dict[str, Any]:
    done = apptainer.execute(sif, ["/bin/sh", "-c", _ASK], timeout=60, check=False)
    if done.status and "no such file or directory" not in done.errors:  # that: it has no shell
        raise _damaged(sif, done.tail)
    pairs = [line.partition(" ") for line in done.output.splitlines()]
    return {name: value.strip() for name, _, value in pairs}
