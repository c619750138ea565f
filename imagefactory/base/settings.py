"""YAML and JSON in, checked documents out: all faults at once, each with its place and its fix."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from imagefactory.base.errors import ConfigurationFault, Fault, nearest

Document = dict[str, Any]


def load_schema(package: str, name: str) -> Document:
    """A JSON schema (2020-12) that is shipped inside `package`, by file name."""
    document: Document = json.loads(files(package).joinpath(name).read_text(encoding="utf-8"))
    return document


def read_yaml(path: Path, schema: Mapping[str, Any], *, empty_is_missing: bool = False) -> Document:
    """Read a YAML file and check it; raises ConfigurationFault with every fault found.

    With `empty_is_missing` a key without a value counts as not written.
    """
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise _unreadable(path, err) from None
    try:
        document = yaml.load(text, Loader=_strict_loader())  # noqa: S506 - built on SafeLoader
    except yaml.YAMLError as err:
        mark = getattr(err, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(err, "problem", None) or str(err)
        raise ConfigurationFault(f"this is no YAML: {problem}", where=place) from None
    if empty_is_missing:
        document = _without_empty(document)
    return check(document, schema, str(path))


def _without_empty(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_empty(item) for key, item in value.items() if item is not None}
    return value


def read_json(path: Path, schema: Mapping[str, Any]) -> Document:
    """Read a JSON file and check it; raises ConfigurationFault with every fault found."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as err:
        raise ConfigurationFault(
            f"this is no JSON: {err.msg}", where=f"{path}:{err.lineno}"
        ) from None
    except (OSError, UnicodeDecodeError) as err:
        raise _unreadable(path, err) from None
    return check(document, schema, str(path))


def check(document: object, schema: Mapping[str, Any], where: str) -> Document:
    """The document as a mapping if it fits the schema; else ConfigurationFault with all faults."""
    faults = list(find_faults(document, schema, where))
    if faults:
        raise ConfigurationFault.from_faults(faults)
    assert isinstance(document, dict)  # noqa: S101 - the schemas say "object"
    return document


def find_faults(document: object, schema: Mapping[str, Any], where: str) -> Iterator[Fault]:
    """Every fault of a document, in the order of its keys."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(document), key=lambda err: [str(p) for p in err.path])
    # Each of several missing keys is an error of its own, and each names them all: told once.
    yield from dict.fromkeys(fault for error in errors for fault in _translate(error, where))


def _translate(error: Any, where: str) -> Iterator[Fault]:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.path)
    place = f"{where}: {path.lstrip('.')}" if path else where
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in error.instance:
            if key not in known:
                yield Fault(f"unknown key {key!r}", place, nearest(str(key), known))
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                yield Fault(f"the key {key!r} is missing", place, _meaning(error.schema, key))
    elif error.validator in {"oneOf", "anyOf"} and error.context:
        # The branch that got furthest is the one that the writer meant.
        best = max(error.context, key=lambda sub: len(sub.path))
        yield from _translate(best, where)
    elif error.validator == "enum":
        yield Fault(
            f"{error.instance!r} is not allowed here",
            place,
            nearest(str(error.instance), [str(value) for value in error.validator_value]),
        )
    elif error.validator == "type":
        yield Fault(
            f"{error.instance!r} is {_kind(error.instance)}, not {_wanted(error.validator_value)}",
            place,
            error.schema.get("description", ""),
        )
    else:
        yield Fault(error.message, place, error.schema.get("description", ""))


def _meaning(schema: Mapping[str, Any], key: str) -> str:
    description = schema.get("properties", {}).get(key, {}).get("description", "")
    return f"add {key}: {description}" if description else f"add {key}"


_KINDS = {
    "dict": "a mapping", "list": "a list", "str": "a text", "int": "a whole number",
    "float": "a number", "bool": "true or false", "NoneType": "empty",
}  # fmt: skip
_WANTED = {
    "object": "a mapping", "array": "a list", "string": "a text", "integer": "a whole number",
    "number": "a number", "boolean": "true or false", "null": "empty",
}  # fmt: skip


def _kind(value: object) -> str:
    return _KINDS.get(type(value).__name__, type(value).__name__)


def _wanted(value: str | list[str]) -> str:
    return " or ".join(_WANTED[word] for word in ([value] if isinstance(value, str) else value))


def _unreadable(path: Path, err: Exception) -> ConfigurationFault:
    reason = err.strerror if isinstance(err, OSError) else "it is not UTF-8 text"
    return ConfigurationFault(f"cannot read the file: {reason}", where=str(path))


def _strict_loader() -> type[Any]:
    """YAML's safe loader that refuses a key given twice, and reads no date out of a text."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own attribute
            first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:timestamp"]
            for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = loader.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return dict(yaml.SafeLoader.construct_mapping(loader, node, deep=True))

    Loader.add_constructor("tag:yaml.org,2002:map", mapping)
    return Loader
