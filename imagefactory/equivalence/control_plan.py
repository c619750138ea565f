"""Which controls are tried, with which runs, and what came of all of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imagefactory.base.errors import UsageFault, nearest
from imagefactory.base.report import Report
from imagefactory.equivalence.comparison import EMULATED
from imagefactory.equivalence.control_page import (
    Found,
    document_controls,
    explain_controls,
    list_failings,
    write_up,
)
from imagefactory.equivalence.controls import (
    RUNS,
    TRIALS,
    Control,
    Ensemble,
    Group,
    list_groups,
)
from imagefactory.equivalence.margins import Margins, load_margins
from imagefactory.model import BACKEND

if TYPE_CHECKING:
    from imagefactory.equivalence.control_runs import RunCache

USUAL_SECONDS = 7.0  # of a run in the mean, where two cores make two at a time


@dataclass(frozen=True)
class ControlPlan:
    """The controls to try, the runs that there are, and the margins (None: the shipped ones)."""

    groups: tuple[Group, ...]
    cache: RunCache
    margins_file: Path | None = None

    def margins_of(self, control: Control) -> Margins:
        """What `compare` takes for these two sides."""
        return load_margins(self.margins_file, {control.a.backend, control.b.backend})

    @property
    def margins(self) -> list[Margins]:
        """All that are taken, each once."""
        every = [control for group in self.groups for control in group.controls]
        return list({each.digest: each for each in map(self.margins_of, every)}.values())

    @property
    def ensembles(self) -> list[Ensemble]:
        """Both sides of every control."""
        every = [control for group in self.groups for control in group.controls]
        return [side for control in every for side in (control.a, control.b)]

    def lines(self) -> list[str]:
        """The plan, for people."""
        missing, wanted = self.cache.count(self.ensembles)
        lines = [f"runs are kept in {self.cache.folder}"]
        for group in self.groups:
            names = ", ".join(control.name for control in group.controls)
            lines.append(f"{group.title}: {names}")
        about = missing * USUAL_SECONDS / 60
        lines.append(f"{missing} of {wanted} runs are to be made at most, about {about:.0f} min")
        lines.append(f"{TRIALS} trials a control, {RUNS} seeds a side")
        return lines


@dataclass(frozen=True)
class ControlResult:
    """What came of the controls of a plan."""

    plan: ControlPlan
    found: Found

    @property
    def image(self) -> str:
        """What was run, in words."""
        record = self.plan.cache.read(self.plan.ensembles[0])[0]
        versions = record.versions
        others = [
            f"{backend} in image {sif[:19]}"
            for backend, sif in self.plan.cache.sifs.items()
            if backend not in {BACKEND, EMULATED}
        ]
        here = self.plan.cache.sifs[BACKEND][:19]
        nest = f"NEST {versions.get('nest')}, PyNN {versions.get('pynn')}, image {here}"
        return "; ".join([nest, *others])

    @property
    def failings(self) -> list[str]:
        """Every rate that is not as it should be."""
        return list_failings(self.found)

    @property
    def text(self) -> str:
        """For a terminal."""
        return explain_controls(self.found)

    @property
    def page(self) -> str:
        """For the docs."""
        return write_up(self.found, self.image, self.plan.margins)

    @property
    def document(self) -> dict[str, Any]:
        """For JSON."""
        return document_controls(self.found, self.image, self.plan.margins)


def plan_controls(
    image: Path,
    words: Sequence[str],
    margins_file: Path | None = None,
    neuron: Path | None = None,
) -> ControlPlan:
    """The controls of which the name or the group's title has one of `words`; all without words.

    `neuron` is an image with NEURON; without it the controls of that backend are left out. Raises
    UsageFault for a word that no control has, or an image that is not there.
    """
    from imagefactory.equivalence.control_runs import RunCache  # needs NumPy

    # The emulation needs no more of an image than NumPy.
    images = {BACKEND: image, EMULATED: image} | ({"neuron": neuron} if neuron else {})
    for path in images.values():
        if not path.is_file():
            raise UsageFault("there is no such image file", where=str(path), fix="give a SIF")
    groups = _runnable(list_groups(), images)
    names = [f"{group.title} {each.name}" for group in groups for each in group.controls]
    for word in words:
        if not any(word.lower() in name.lower() for name in names):
            known = [each.name for group in groups for each in group.controls]
            raise UsageFault(f"no control has the word {word!r}", fix=nearest(word, known))
    if words:
        groups = tuple(
            filter(lambda group: group.controls, (_only(each, words) for each in groups))
        )
    return ControlPlan(groups, RunCache(images), margins_file)


def _runnable(groups: Sequence[Group], backends: Collection[str]) -> tuple[Group, ...]:
    """What needs no backend that there is no image for."""
    kept = [
        replace(
            group,
            controls=tuple(
                each for each in group.controls if {each.a.backend, each.b.backend} <= set(backends)
            ),
        )
        for group in groups
    ]
    return tuple(group for group in kept if group.controls)


def _only(group: Group, words: Sequence[str]) -> Group:
    kept = tuple(
        control
        for control in group.controls
        if any(word.lower() in f"{group.title} {control.name}".lower() for word in words)
    )
    return replace(group, controls=kept)


def try_controls(plan: ControlPlan, report: Report) -> ControlResult:
    """Make the runs that are missing, and try every control of the plan."""
    from imagefactory.equivalence.control_trials import try_all

    return ControlResult(plan, try_all(plan.groups, plan.cache, plan.margins_of, report))
