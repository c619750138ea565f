"""Conditions on facts, as rules write them; a fact that is not known makes a condition unknown.

One condition is a line: `NAME is VALUE`, `is not`, `<`, `<=`, `>`, `>=` (versions), `has`, `lacks`
(lists), `in A, B`, `is absent`, `is present`. A value that begins with `image.`, `site.` or
`launch.` is that fact's. A list of conditions holds where all do; `{any: [...]}` where one does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# None: nobody could find out. An empty text: it was looked for and is not there.
Value = str | bool | int | tuple[str, ...] | None
Facts = Mapping[str, Value]
Lines = Sequence["str | Mapping[str, Lines]"]

OPERATORS = ("is not", "is", "<=", ">=", "<", ">", "has", "lacks", "in")
_LINE = re.compile(
    rf"(?P<name>[a-z]+\.[a-z0-9_]+) (?P<operator>{'|'.join(OPERATORS)}) (?P<value>.+)"
)
_NAME = re.compile(r"(?:image|site|launch)\.[a-z0-9_]+")
_VERSION = re.compile(r"\d+(?:\.\d+)+(?:(?:a|b|rc)\d+)?")
_WORDS = {"yes": True, "no": False}


@dataclass(frozen=True)
class Condition:
    """One line of a rule, taken apart."""

    name: str
    operator: str
    value: str

    @property
    def names(self) -> tuple[str, ...]:
        """The facts it looks at."""
        return (self.name, self.value) if _NAME.fullmatch(self.value) else (self.name,)


def parse(line: str) -> Condition:
    """Take a line apart; raises ValueError that quotes it where it is no condition."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise ValueError(f"{line!r} is no condition")
    return Condition(found["name"], found["operator"], found["value"])


def conditions_of(lines: Lines) -> Iterator[Condition]:
    """Every condition in a list, however deep."""
    for line in lines:
        if isinstance(line, str):
            yield parse(line)
        else:
            for inner in line.values():
                yield from conditions_of(inner)


def holds(lines: Lines, facts: Facts) -> bool | None:
    """Whether all of the lines hold; None where the unknown facts decide (Kleene's logic)."""
    return _all([_line_holds(line, facts) for line in lines])


def unknown_names(lines: Lines, facts: Facts) -> tuple[str, ...]:
    """The facts that would have to be known, in the order of the lines."""
    names = [name for one in conditions_of(lines) for name in one.names]
    return tuple(dict.fromkeys(name for name in names if facts.get(name) is None))


def _line_holds(line: str | Mapping[str, Lines], facts: Facts) -> bool | None:
    if isinstance(line, str):
        return _condition_holds(parse(line), facts)
    answers = [_line_holds(inner, facts) for inner in line["any"]]
    if True in answers:
        return True
    return None if None in answers else False


def _all(answers: Sequence[bool | None]) -> bool | None:
    if False in answers:
        return False
    return None if None in answers else True


def _condition_holds(condition: Condition, facts: Facts) -> bool | None:
    left = facts.get(condition.name)
    right: Value = condition.value
    if _NAME.fullmatch(condition.value):
        right = facts.get(condition.value)
    if left is None or right is None:
        return None
    if condition.operator in {"has", "lacks"}:
        assert isinstance(left, tuple)  # noqa: S101 - a test holds the shipped rules to it
        return (str(right) in left) is (condition.operator == "has")
    if condition.operator in {"is", "is not"}:
        return _equal(left, right) is (condition.operator == "is")
    if condition.operator == "in":
        words = [word.strip() for word in str(right).split(",")]
        # A series (5.0) may be one of its releases (5.0.1), or another.
        series = left != "" and any(word.startswith(f"{left}.") for word in words)
        return True if any(_equal(left, word) for word in words) else None if series else False
    if left == "":  # what is absent is of no version
        return False
    return _compared(version_key(str(left)), condition.operator, version_key(str(right)))


def _equal(left: Value, right: Value) -> bool:
    if right in {"absent", "present"}:
        return (left in ("", ())) is (right == "absent")
    if isinstance(left, bool):
        return left is (_WORDS[str(right)] if isinstance(right, str) else right)
    if _VERSION.fullmatch(str(left)) and _VERSION.fullmatch(str(right)):
        # Servers and libraries call themselves 5.0.1a1 or 4.2.2rc2 when they are 5.0.1 and 4.2.2.
        return version_key(str(left)) == version_key(str(right))
    return str(left) == str(right)


def version_key(text: str) -> tuple[int, ...]:
    """The leading numbers of a version, `5.0.7a1` as 5, 0, 7; an empty tuple for no number."""
    found = re.match(r"\D*(\d+(?:\.\d+)*)", text)
    return tuple(int(part) for part in found[1].split(".")) if found else ()


def _compared(left: tuple[int, ...], operator: str, right: tuple[int, ...]) -> bool | None:
    if not left or not right:
        return None
    # A series such as 4.2 says nothing on 4.2.3: what it leaves open stays open.
    if len(left) < len(right) and left == right[: len(left)]:
        return None
    width = max(len(left), len(right))
    one, two = (part + (0,) * (width - len(part)) for part in (left, right))
    return {"<": one < two, "<=": one <= two, ">": one > two, ">=": one >= two}[operator]
