"""Which versions of NESTML and ODE-toolbox go together, for which target; what is shipped. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from imagefactory.base.errors import UsageFault
from imagefactory.base.settings import load_schema, read_yaml
from imagefactory.base.values import Digest
from imagefactory.recipe import Requirement


class Target(StrEnum):
    """What code is generated for."""

    NEST = "nest"
    SPINNAKER = "spinnaker"


@dataclass(frozen=True)
class Pair:
    """One version of NESTML with one of ODE-toolbox."""

    nestml: str
    odetoolbox: str

    def __str__(self) -> str:
        return f"NESTML {self.nestml} with ODE-toolbox {self.odetoolbox}"


@dataclass(frozen=True)
class Rule:
    """What is known of pairs: versions match by their first numbers; none means any."""

    target: str
    nestml: tuple[str, ...]
    odetoolbox: tuple[str, ...]
    works: bool
    because: str = ""
    nest_below: str = ""

    def fits(self, pair: Pair, target: Target) -> bool:
        """Whether the rule says something of this pair for this target."""
        return (
            self.target in {"any", target}
            and _among(pair.nestml, self.nestml)
            and _among(pair.odetoolbox, self.odetoolbox)
        )


@dataclass(frozen=True)
class Tools:
    """What tools.yaml says: rules, the shipped pair, and what the tools image is made of."""

    shipped: Mapping[Target, Pair]
    rules: tuple[Rule, ...]
    debian: tuple[str, ...]
    debian_as_in_image: tuple[tuple[str, str], ...]
    python: str
    requirements: tuple[Requirement, ...]


@lru_cache(maxsize=1)
def shipped_tools() -> Tools:
    """The table that is shipped; raises ConfigurationFault if it was damaged."""
    path = Path(str(files("imagefactory.nestml").joinpath("tools.yaml")))
    said = read_yaml(path, load_schema("imagefactory.nestml", "tools.schema.json"))
    return Tools(
        shipped={Target(name): Pair(**pair) for name, pair in said["shipped"].items()},
        rules=tuple(
            Rule(
                target=rule["target"],
                nestml=tuple(rule.get("nestml", ())),
                odetoolbox=tuple(rule.get("odetoolbox", ())),
                works=rule["works"],
                because=rule.get("because", ""),
                nest_below=rule.get("nest_below", ""),
            )
            for rule in said["rules"]
        ),
        debian=tuple(said["debian"]),
        debian_as_in_image=tuple(said["debian_as_in_image"].items()),
        python=said["python"],
        requirements=tuple(
            Requirement(name, Digest(f"sha256:{digest}"), name.partition("==")[0] in said["sdists"])
            for name, digest in said["packages"].items()
        ),
    )


def choose_pair(target: Target, nestml: str | None = None, odetoolbox: str | None = None) -> Pair:
    """The pair to use: what is asked for, else what is shipped.

    Raises UsageFault where it is known not to work, is unknown, or is not shipped.
    """
    shipped = shipped_tools().shipped[target]
    pair = Pair(nestml or shipped.nestml, odetoolbox or shipped.odetoolbox)
    fix = f"leave --nestml and --odetoolbox away: {shipped} works"
    rule = _rule_of(pair, target)
    if rule is None:
        raise UsageFault(f"{pair} was never tried for the target {target}", fix=fix)
    if not rule.works:
        raise UsageFault(f"{pair} does not work for the target {target}: {rule.because}", fix=fix)
    if pair not in shipped_tools().shipped.values():
        raise UsageFault(f"{pair} works, but its packages are not among those locked here", fix=fix)
    return pair


def nest_limit(pair: Pair, target: Target) -> str:
    """The version that the NEST of an image must be below; empty where there is none."""
    rule = _rule_of(pair, target)
    return rule.nest_below if rule else ""


def require_nest(pair: Pair, target: Target, nest: str) -> None:
    """Raise UsageFault where the pair's code is not for this version of NEST."""
    rule, limit = _rule_of(pair, target), nest_limit(pair, target)
    if rule and limit and _numbers(nest) >= _numbers(limit):
        raise UsageFault(
            f"{pair} does not work with NEST {nest}: {rule.because}",
            fix=f"leave --nestml and --odetoolbox away: {shipped_tools().shipped[target]} works",
        )


def _rule_of(pair: Pair, target: Target) -> Rule | None:
    return next((rule for rule in shipped_tools().rules if rule.fits(pair, target)), None)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _among(version: str, beginnings: tuple[str, ...]) -> bool:
    parts = version.split(".")
    return not beginnings or any(
        parts[: len(wanted)] == wanted for wanted in (each.split(".") for each in beginnings)
    )
