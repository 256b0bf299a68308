"""A workflow's inputs: JSON Schema 2020-12, compiled once, applied to what an execution gives.

Must never fetch (only `$ref`s into the schema itself resolve), never backtrack in a regular expression, and
never take exponential or quadratic time: schemas and inputs come from people who are not trusted with the
control plane. Recursive schemas are refused for that reason; what is left is a finite number of checks,
bounded before it starts.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import jsonschema_rs

from citadel.core.jsonvalues import InvalidValue, Json, canonical, check, join_path
from citadel.core.schemas import (
    InvalidSchema,
    Path,
    references_in,
    resolve,
    shown_path,
    shown_value,
    subschemas,
    weigh,
)

__all__ = ["InputSchema", "InvalidInputs", "InvalidSchema", "compile_inputs"]

MAX_SCHEMA_BYTES = 64 * 1024
#: Bytes of inputs times weight of the schema: about one second.
MAX_WORK = 200_000_000
MAX_MESSAGES = 20
_REGEX_BYTES = 256 * 1024

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_CLOSED = ("additionalProperties", "patternProperties", "unevaluatedProperties")


class InvalidInputs(ValueError):
    """The inputs do not fit; `messages` has one line for each problem (at most 20)."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


@dataclass(frozen=True, slots=True)
class InputSchema:
    """A compiled schema of inputs."""

    schema: dict[str, Json]
    """As given; {"type": "object"} when a workflow declares none."""
    _validator: jsonschema_rs.Validator = field(repr=False, compare=False)
    _weight: float = field(repr=False, compare=False)

    def apply(self, given: Mapping[str, Json], root: str = "inputs") -> dict[str, Json]:
        """The inputs with defaults filled in, nested ones too; raises InvalidInputs. `given` stays as it
        is; messages call it `root`.
        """
        try:
            check(dict(given))
        except InvalidValue as error:
            raise InvalidInputs(
                [str(InvalidValue(error.message, shown_path((root,)) + _suffix(error.path)))]
            ) from None
        filled: dict[str, Json] = copy.deepcopy(dict(given))
        if len(canonical(filled)) * self._weight > MAX_WORK:
            raise InvalidInputs(
                [f"{root}: too large for a schema of this complexity; pass the data by a file or a step"]
            )
        _fill(self.schema, self.schema, filled)
        messages: list[str] = []
        for problem in self._validator.iter_errors(filled):
            for message in in_words(problem, self.schema, root):
                if message not in messages:
                    messages.append(message)
            if len(messages) >= MAX_MESSAGES:
                break
        if messages:
            raise InvalidInputs(messages[:MAX_MESSAGES])
        return filled


def compile_inputs(schema: Mapping[str, Json] | None) -> InputSchema:
    """Checks and compiles a schema; None declares no inputs. Raises InvalidSchema.

    Inputs that no keyword speaks of are refused, unless the schema itself says `additionalProperties`,
    `patternProperties` or `unevaluatedProperties` at its top.
    """
    root: dict[str, Json] = dict(schema) if schema is not None else {"type": "object"}
    try:
        check(root, MAX_SCHEMA_BYTES)
    except InvalidValue as error:
        raise InvalidSchema(str(error)) from None
    root = copy.deepcopy(root)
    if root.get("type") != "object":
        found = f"found {shown_value(root['type'])}" if "type" in root else "found nothing"
        raise InvalidSchema(f'{found}, expected "object": it describes values by their names', ("type",))
    if (dialect := root.get("$schema", _DIALECT)) not in (_DIALECT, f"{_DIALECT}#"):
        raise InvalidSchema(f"found {shown_value(dialect)}, expected {_DIALECT}", ("$schema",))
    weight = weigh(root)
    closed = root if any(keyword in root for keyword in _CLOSED) else {**root, "unevaluatedProperties": False}
    result = InputSchema(schema=root, _validator=compile_validator(closed, ()), _weight=weight)
    _check_defaults(root)
    return result


def compile_validator(schema: Json, path: Path) -> jsonschema_rs.Validator:
    """A validator that is quick on any pattern; raises InvalidSchema with `path` before the place."""
    try:
        return jsonschema_rs.Draft202012Validator(
            schema,  # type: ignore[arg-type]
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_REGEX_BYTES, dfa_size_limit=_REGEX_BYTES),
            retriever=_refuse_fetch,
        )
    except jsonschema_rs.ValidationError as error:
        at = tuple(error.instance_path)
        keyword = at[-1] if at else ""
        if error.kind.name == "format" and (keyword == "pattern" or "patternProperties" in at):
            message = (
                f"found {shown_value(error.instance)}, expected a regular expression without look-around or"
                " back-references that compiles to at most 256 KiB"
            )
        elif keyword == "type":
            kinds = "array, boolean, integer, null, number, object, string"
            message = f"found {shown_value(error.instance)}, expected one of: {kinds}"
        else:
            message = error.message.splitlines()[0]
        raise InvalidSchema(message, (*path, *at)) from None


def _refuse_fetch(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not part of the schema")


def _fill(root: dict[str, Json], schema: Json, value: Json) -> None:
    """Sets the defaults of absent properties in place, wherever `properties`, `items`, `allOf` and `$ref`
    lead.
    """
    if not isinstance(schema, dict):
        return
    if isinstance(reference := schema.get("$ref"), str):
        _fill(root, resolve(root, reference)[0], value)
    for part in _as_list(schema.get("allOf")):
        _fill(root, part, value)
    properties = schema.get("properties")
    if isinstance(value, dict) and isinstance(properties, dict):
        for name, below in properties.items():
            if name not in value:
                found, default = _default(root, below)
                if not found:
                    continue
                value[name] = copy.deepcopy(default)
            _fill(root, below, value[name])
    if isinstance(value, list) and "items" in schema:
        for item in value[len(_as_list(schema.get("prefixItems"))) :]:
            _fill(root, schema["items"], item)


def _default(root: dict[str, Json], schema: Json) -> tuple[bool, Json]:
    while isinstance(schema, dict):
        if "default" in schema:
            return True, schema["default"]
        reference = schema.get("$ref")
        schema = resolve(root, reference)[0] if isinstance(reference, str) else None
    return False, None


def _check_defaults(root: dict[str, Json]) -> None:
    """Refuses a default that its own schema refuses: it would fail every execution."""
    stack: list[tuple[Path, Json]] = [((), root)]
    while stack:
        path, schema = stack.pop()
        if not isinstance(schema, dict):
            continue
        stack.extend(((*path, *at), below) for at, below in subschemas(schema))
        if "default" not in schema or not path:
            continue
        definitions: dict[str, Json] = {
            keyword: root[keyword] for keyword in ("$defs", "definitions") if keyword in root
        }
        if "$ref" in str(schema) and not all(
            ref.startswith(("#/$defs/", "#/definitions/")) for ref in references_in(schema)
        ):
            continue
        default = copy.deepcopy(schema["default"])
        _fill(root, schema, default)
        for error in compile_validator({**definitions, **schema}, path).iter_errors(default):
            message = next(iter(in_words(error, schema))).partition(": ")[2]
            raise InvalidSchema(message, (*path, "default", *error.instance_path))


def in_words(
    error: jsonschema_rs.ValidationError, schema: dict[str, Json], root: str = "inputs"
) -> Iterator[str]:
    """One error of the validator in our words: field, what was found, what was expected."""
    place = shown_path((root, *error.instance_path))
    found = shown_value(error.instance)
    match error.kind.as_dict() if error.kind.name != "referencing" else {}:
        case {"types": [*types]}:
            yield f"{place}: found {found}, expected {' or '.join(str(name) for name in types)}"
        case {"property": str(name)} if error.kind.name == "required":
            yield f"{join_path(place, name)}: found nothing, expected a value: it is required"
        case {"unexpected": [*names]} if isinstance(error.instance, dict):
            declared = schema.get("properties") if not error.instance_path else None
            known = ", ".join(declared) if isinstance(declared, dict) and declared else ""
            for name in names:
                hint = f", expected only {known}" if known else ""
                noun = "an input" if root == "inputs" else "a field"
                yield f"{join_path(place, str(name))}: found {noun} that is not declared{hint}"
        case {"options": [*options]}:
            allowed = ", ".join(shown_value(item, False) for item in options[:20])
            yield f"{place}: found {found}, expected one of {allowed}"
        case {"expected_value": expected}:
            yield f"{place}: found {found}, expected {shown_value(expected, False)}"
        case {"pattern": str(pattern)}:
            yield f"{place}: found {found}, expected a match of {pattern}"
        case {"format": str(name)}:
            yield f"{place}: found {found}, expected the format {name}"
        case {"limit": limit}:
            yield f"{place}: found {found}, expected {error.kind.name} {limit}"
        case _:
            yield f"{place}: found {found}, which {error.kind.name} refuses"


def _suffix(path: str) -> str:
    return path if not path or path.startswith("[") else f".{path}"


def _as_list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
