"""The pre-flight: the verdict on an image at a site, from facts alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from imagefactory.base.errors import Fault, VerdictAgainst
from imagefactory.launch.derived import all_facts
from imagefactory.launch.facts import ImageSide, Launch, SiteSide
from imagefactory.launch.rules import Finding, Verdict, judge, overall, shipped_rules


@dataclass(frozen=True)
class Preflight:
    """What was found. `image` and `site` are for people; `line` is the launch line judged."""

    image: str
    site: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    line: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many rules gave each verdict."""
        words = [finding.verdict for finding in self.findings]
        return {str(word): words.count(word) for word in Verdict}

    def of(self, verdict: Verdict) -> tuple[Finding, ...]:
        """The findings of one verdict."""
        return tuple(finding for finding in self.findings if finding.verdict is verdict)

    @property
    def brief(self) -> list[str]:
        """The verdict, and what fails or warns, one line each."""
        told = [*self.of(Verdict.FAIL), *self.of(Verdict.WARN)]
        return [str(self.verdict), *(f"{one.verdict} {one.rule}: {one.says}" for one in told)]

    def lines(self, every: bool = False) -> Iterator[str]:
        """For people: what is wrong or unknown, and with `every` what is right too."""
        counts = ", ".join(f"{count} {word}" for word, count in self.counts.items() if count)
        yield f"{self.verdict}: {self.image} at {self.site} ({counts})"
        for verdict in reversed(Verdict):
            if verdict is not Verdict.PASS or every:
                for finding in self.of(verdict):
                    yield from _finding_lines(finding)
        if self.line:
            yield f"launch line: {self.line}"


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.verdict:7} {finding.rule}: {finding.says}"
    if finding.verdict is Verdict.UNKNOWN:
        yield f"        could be {finding.worst}; to know: {finding.fix}"
        return
    yield f"        {', '.join(f'{name}: {text}' for name, text in finding.facts)}"
    if finding.fix:
        yield f"        fix: {finding.fix}"
        yield f"        source: facts/pmix-containers.md {finding.source} ({finding.how_known})"


def preflight(
    image: ImageSide,
    site: SiteSide,
    launch: Launch,
    *,
    names: tuple[str, str] = ("the image", "the site"),
    line: str = "",
) -> Preflight:
    """Ask every rule; `names` are those of image and site."""
    findings = tuple(judge(shipped_rules(), all_facts(image, site, launch)))
    return Preflight(*names, overall(findings), findings, line)


def require(result: Preflight) -> None:
    """Raise VerdictAgainst, with every failing rule, unless the verdict is another than FAIL."""
    failed: Sequence[Finding] = result.of(Verdict.FAIL)
    if failed:
        raise VerdictAgainst.from_faults(
            [Fault(one.says, f"{result.site}: rule {one.rule}", one.fix) for one in failed]
        )
