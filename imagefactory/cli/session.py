"""What every verb shares: its options, its report, and how its result is shown."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import click

from imagefactory.base.errors import FactoryError
from imagefactory.base.report import Console


class Plan(Protocol):
    """What a verb would do, as lines for a person to read."""

    def lines(self) -> Sequence[str]: ...


@dataclass
class Session:
    """The options that every verb has."""

    report: Console
    as_json: bool
    dry_run: bool = False

    def show(self, result: object, text: str) -> None:
        """Print a result: `text` for people, or the whole of it as JSON."""
        click.echo(json.dumps(plain(result), indent=2) if self.as_json else text)

    def show_plan(self, plan: Plan) -> None:
        """Print what would be done (--dry-run)."""
        lines = list(plan.lines())
        self.show({"plan": lines}, "\n".join(lines))


def verb(dry_run: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command --json, -v and, if it changes something, --dry-run; print its errors."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def wrapped(*args: Any, as_json: bool, verbose: bool, **options: Any) -> None:
            preview = options.pop("dry_run", False)
            session = Session(Console(verbose), as_json, preview)
            try:
                function(session, *args, **options)
            except FactoryError as err:
                _show_error(err, as_json)
                sys.exit(err.exit_code)

        if dry_run:
            wrapped = click.option(
                "--dry-run", is_flag=True, help="Say what would be done; change nothing."
            )(wrapped)
        wrapped = click.option("-v", "--verbose", is_flag=True, help="Show every command.")(wrapped)
        return click.option("--json", "as_json", is_flag=True, help="Result as JSON.")(wrapped)

    return decorate


def _show_error(err: FactoryError, as_json: bool) -> None:
    if as_json:
        faults = [asdict(fault) for fault in err.faults]
        document = {"error": {"faults": faults, "detail": err.detail, "exit_code": err.exit_code}}
        click.echo(json.dumps(document, indent=2))
    label = "error" if len(err.faults) == 1 else f"{len(err.faults)} errors"
    click.echo(f"{label}: {err}", err=True)


def plain(value: object) -> Any:
    """A value as JSON knows it: dataclasses become mappings, paths and enums their text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {
            name: plain(getattr(value, name))
            for name in value.__dataclass_fields__
            if not name.startswith("_")
        }
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)


RECIPE = click.argument("recipe", type=click.Path(path_type=Path))
SIF = click.argument("sif", type=click.Path(path_type=Path))
