"""The inputs a command line gives: `-i name=text`, `-i name:=JSON`, `--input-file name=path`.

The same for a run in the cluster and on this machine. Must never guess: a text becomes a number, a boolean or
a list only where the workflow's schema wants one.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from citadel.core.jsonvalues import InvalidValue, Json, normalise


def input_option(told: str) -> Callable[[Any], Any]:
    """The option -i of a command, which gets what it is given as `pairs`."""
    return click.option("-i", "--input", "pairs", multiple=True, metavar="NAME=TEXT|NAME:=JSON", help=told)


def given_inputs(
    pairs: Iterable[str], files: Iterable[str], schema: Mapping[str, Any] | None
) -> dict[str, Json]:
    """The inputs by name; raises click.BadParameter. Whether they fit the schema is not asked here."""
    given: dict[str, Json] = {}
    for pair in pairs:
        name, text = _split(pair, "-i", "name=value or name:=JSON")
        if name.endswith(":"):
            name = name[:-1]
            value = json_in(text, f"-i {name}")
        else:
            value = typed(text, wanted_types(schema, name))
        _add(given, name, value, "-i")
    for pair in files:
        name, path = _split(pair, "--input-file", "name=path")
        value = typed(_read(path, name), wanted_types(schema, name))
        _add(given, name, value, "--input-file")
    return given


def read_json(path: str) -> Json:
    """The JSON in a file, or on standard input; raises click.BadParameter."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise click.BadParameter(f"{path}: {why}", param_hint="-f") from None
    return json_in(text, f"-f {path}")


def _split(pair: str, option: str, expected: str) -> tuple[str, str]:
    name, equals, rest = pair.partition("=")
    if not equals or not name.rstrip(":"):
        raise click.BadParameter(f"found {pair!r:.80}, expected {expected}", param_hint=option)
    return name, rest


def _add(given: dict[str, Json], name: str, value: Json, option: str) -> None:
    if name in given:
        raise click.BadParameter(f"input {name} is given twice", param_hint=option)
    given[name] = value


def json_in(text: str, where: str) -> Json:
    """The JSON of a text; raises click.BadParameter, which names where it stands."""
    try:
        return normalise(text.encode("utf-8", "surrogateescape"))
    except InvalidValue as error:
        raise click.BadParameter(f"found {text!r:.80}, expected JSON: {error}", param_hint=where) from None


def _read(path: str, name: str) -> str:
    try:
        return Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise click.BadParameter(f"input {name}: {path}: {why}", param_hint="--input-file") from None


def wanted_types(schema: Mapping[str, Any] | None, name: str) -> frozenset[str]:
    """The JSON types that the schema allows for an input; empty when it does not say."""
    properties = (schema or {}).get("properties")
    declared: Any = properties.get(name) if isinstance(properties, dict) else None
    for _ in range(8):
        reference = declared.get("$ref") if isinstance(declared, dict) and "type" not in declared else None
        if not isinstance(reference, str):
            break
        declared = _resolved(schema, reference)
    types = declared.get("type") if isinstance(declared, dict) else None
    return frozenset(types if isinstance(types, list) else [types] if isinstance(types, str) else [])


def _resolved(schema: Any, reference: str) -> Any:
    for key in reference.removeprefix("#/").split("/"):
        schema = schema.get(key) if isinstance(schema, dict) else None
    return schema


def typed(text: str, wanted: frozenset[str]) -> Json:
    """The text, or the JSON in it where no string is wanted. What is neither, the schema refuses by name."""
    if not wanted or "string" in wanted:
        return text
    try:
        return normalise(text.encode("utf-8", "surrogateescape"))
    except InvalidValue:
        return text
