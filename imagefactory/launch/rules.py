"""The rules of rules.yaml, and what each says of an image at a site; pure once they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.base.settings import load_schema, read_yaml
from imagefactory.launch.conditions import Facts, Lines, conditions_of, holds, unknown_names
from imagefactory.launch.facts import text_of


class Verdict(StrEnum):
    """In the order of how bad it is."""

    PASS = "PASS"  # noqa: S105 - no password
    WARN = "WARN"
    UNKNOWN = "UNKNOWN"
    FAIL = "FAIL"


@dataclass(frozen=True)
class Case:
    """One thing that can be wrong."""

    lines: Lines
    verdict: Verdict
    says: str
    fix: str
    evidence: str


@dataclass(frozen=True)
class Rule:
    """One question; the first case that holds answers it."""

    id: str
    title: str
    source: str
    applies: Lines
    cases: tuple[Case, ...]
    otherwise: str


@dataclass(frozen=True)
class Finding:
    """What a rule says: the verdict, the facts it rests on, one fix.

    `worst` is, for UNKNOWN, what it could have become; else the verdict itself.
    """

    rule: str
    title: str
    verdict: Verdict
    says: str
    fix: str
    source: str
    facts: tuple[tuple[str, str], ...]
    worst: Verdict
    how_known: str = ""


@cache
def shipped_rules() -> tuple[Rule, ...]:
    """The rules of rules.yaml, in their order."""
    path = Path(str(files("imagefactory.launch").joinpath("rules.yaml")))
    document = read_yaml(path, load_schema("imagefactory.launch", "rules.schema.json"))
    return tuple(_rule(entry) for entry in document["rules"])


def _rule(entry: Mapping[str, Any]) -> Rule:
    cases = tuple(
        Case(
            case["if"], Verdict(case["verdict"]), case["says"], case["fix"],
            case.get("evidence", ""),
        )
        for case in entry["cases"]
    )  # fmt: skip
    return Rule(
        entry["id"], entry["title"], entry["source"], entry.get("applies", ()), cases,
        entry["otherwise"],
    )  # fmt: skip


def judge(rules: Sequence[Rule], facts: Facts) -> list[Finding]:
    """What every rule that applies says, in the order of the rules."""
    found = [_judge_one(rule, facts) for rule in rules]
    return [finding for finding in found if finding is not None]


def _judge_one(rule: Rule, facts: Facts) -> Finding | None:
    applies = holds(rule.applies, facts)
    if applies is False:
        return None
    open_cases: list[Case] = []
    for case in rule.cases:
        answer = holds(case.lines, facts)
        if answer is None:
            open_cases.append(case)
        # A case that holds ends the questions; an open one before it could be worse.
        elif answer and applies and not _worse(open_cases, case.verdict):
            lines = [*rule.applies, *case.lines]
            return _finding(rule, case.verdict, case, _shown(lines, facts), case.verdict)
        elif answer:
            open_cases.append(case)
            break
    if open_cases:
        missing = [*unknown_names(rule.applies, facts)]
        missing += [name for case in open_cases for name in unknown_names(case.lines, facts)]
        worst = max((case.verdict for case in open_cases), key=_ORDER.index)
        return _unknown(rule, tuple(dict.fromkeys(missing)), worst, facts)
    lines = [*rule.applies, *(line for case in rule.cases for line in case.lines)]
    return Finding(
        rule.id, rule.title, Verdict.PASS, rule.otherwise, "", rule.source,
        _shown(lines, facts), Verdict.PASS,
    )  # fmt: skip


_ORDER = list(Verdict)


def _worse(cases: Sequence[Case], verdict: Verdict) -> bool:
    return any(_ORDER.index(case.verdict) > _ORDER.index(verdict) for case in cases)


def _finding(
    rule: Rule, verdict: Verdict, case: Case, shown: tuple[tuple[str, str], ...], worst: Verdict
) -> Finding:
    return Finding(
        rule.id, rule.title, verdict, case.says, case.fix, rule.source, shown, worst, case.evidence
    )


def _unknown(rule: Rule, missing: Sequence[str], worst: Verdict, facts: Facts) -> Finding:
    at_site = any(name.startswith(("site.", "launch.")) for name in missing)
    fix = "imagefactory site probe NAME" if at_site else "give the image as a SIF file"
    lines = [*rule.applies, *(line for case in rule.cases for line in case.lines)]
    says = f"not known: {', '.join(missing)}"
    return Finding(
        rule.id, rule.title, Verdict.UNKNOWN, says, fix, rule.source, _shown(lines, facts), worst
    )


def _shown(lines: Lines, facts: Facts) -> tuple[tuple[str, str], ...]:
    names = [name for one in conditions_of(lines) for name in one.names]
    return tuple((name, text_of(facts.get(name))) for name in dict.fromkeys(names))


def overall(findings: Sequence[Finding]) -> Verdict:
    """FAIL where one fails; UNKNOWN where an unknown one could have failed; else WARN or PASS."""
    words = {finding.verdict for finding in findings}
    if Verdict.FAIL in words:
        return Verdict.FAIL
    if any(one.verdict is Verdict.UNKNOWN and one.worst is Verdict.FAIL for one in findings):
        return Verdict.UNKNOWN
    return Verdict.WARN if words - {Verdict.PASS} else Verdict.PASS
