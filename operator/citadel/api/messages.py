"""A model's validation errors in words: what was found, what was expected, where a misspelt field belongs."""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from citadel.api import meta
from citadel.api.agent import CAPABILITY_PATTERN, TOOL_NAME_PATTERN
from citadel.api.budget import DOLLARS_PATTERN
from citadel.api.model import ENDPOINT_PATTERN
from citadel.api.problems import Path, Problem, belongs, counted, found, shortened, suggestion
from citadel.api.tool import DIGEST_PATTERN, HEADER_PATTERN, LINE_PATTERN, MCP_URL_PATTERN, URL_PATTERN
from citadel.api.versions import VERSION_PATTERN, VERSION_RANGE_PATTERN

NAME_WORDS = "a name of at most 253 lower-case letters, digits, - and ., with a letter or digit at both ends"
PATTERN_WORDS = MappingProxyType(
    {
        meta.STEP_NAME_PATTERN: "a step name: a letter, then at most 62 letters, digits or _",
        meta.DURATION_PATTERN: "a duration such as 500ms, 30s or 1h30m",
        meta.QUANTITY_PATTERN: "a quantity such as 250m, 1 or 64Mi",
        meta.DNS_SUBDOMAIN_PATTERN: NAME_WORDS,
        meta.ENV_NAME_PATTERN: "a variable name: letters, digits and _, not beginning with a digit",
        meta.ARGUMENT_NAME_PATTERN: "a name: a letter or _, then at most 62 letters, digits or _",
        r"^[-._a-zA-Z0-9]+$": "a key: letters, digits, -, _ and .",
        meta.REVISION_PATTERN: "a revision: at least 8 hexadecimal digits, as `citadel history` lists them",
        meta.UID_PATTERN: "a uid: letters, digits and -",
        r"^[^\s]+$": "text without spaces",
        DOLLARS_PATTERN: "dollars such as 0.50, in quotes, with at most six digits on either side",
        ENDPOINT_PATTERN: "a URL such as https://models.example.com/v1",
        TOOL_NAME_PATTERN: "a name: a lower-case letter, then at most 40 letters, digits or _",
        CAPABILITY_PATTERN: "a name of at most 63 lower-case letters, digits and -",
        URL_PATTERN: "a URL such as https://crm.example.com/v1/leads/${args.id}, its query in query",
        MCP_URL_PATTERN: "a URL such as https://tools.example.com/mcp",
        HEADER_PATTERN: "the name of a header: a letter, then letters, digits and -",
        LINE_PATTERN: "one line of text",
        DIGEST_PATTERN: "sha256: and 64 hexadecimal digits, as the condition Ready says it",
        VERSION_PATTERN: "a version such as 1.2.0",
        VERSION_RANGE_PATTERN: "versions such as >=1.0,<2 (.* after == and != alone, two numbers after ~=)",
    }
)
_TYPE_WORDS = MappingProxyType(
    {
        "string_type": "a string",
        "int_type": "an integer",
        "int_from_float": "an integer",
        "float_type": "a number",
        "finite_number": "a finite number",
        "bool_type": "true or false",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "tuple_type": "a list",
        "list_type": "a list",
    }
)
_BOUND_WORDS = MappingProxyType(
    {
        "greater_than_equal": ("at least", "ge"),
        "greater_than": ("more than", "gt"),
        "less_than_equal": ("at most", "le"),
        "less_than": ("less than", "lt"),
    }
)
_MANY_CHOICES = 24
#: What takes the place of characters that a name of this pattern cannot have.
_INSTEAD = MappingProxyType(
    {
        meta.STEP_NAME_PATTERN: "_",
        meta.ARGUMENT_NAME_PATTERN: "_",
        meta.ENV_NAME_PATTERN: "_",
        meta.DNS_SUBDOMAIN_PATTERN: "-",
    }
)


def in_words(model: type[BaseModel], error: ValidationError, root: Path) -> list[Problem]:
    """The problems of an object at `root`, in the order of the model's fields."""
    result = []
    for details in error.errors(include_url=False):
        path: Path = details["loc"]
        is_key = path[-1:] == ("[key]",)
        path = path[:-1] if is_key else path
        message = _key_message(details) if is_key else _message(model, path, details)
        if message is not None:
            result.append(Problem((*root, *path), message))
    return result


def _key_message(details: ErrorDetails) -> str:
    return f"found the name {shortened(details['input'])}, expected {_shape(details)}{_nearest_name(details)}"


def _shape(details: ErrorDetails) -> str:
    """What a text should look like, for errors of its length or pattern."""
    context = details.get("ctx", {})
    if "pattern" in context:
        pattern = str(context["pattern"])
        return PATTERN_WORDS.get(pattern, f"text that matches {pattern}")
    if "max_length" in context:
        return f"at most {counted(context['max_length'], 'character')}"
    return f"at least {counted(context.get('min_length', 1), 'character')}"


def _message(model: type[BaseModel], path: Path, details: ErrorDetails) -> str | None:
    """The problem in words; None where it only follows from another one."""
    kind, value, context = details["type"], details["input"], details.get("ctx", {})
    if kind in _TYPE_WORDS:
        return f"found {found(value)}, expected {_TYPE_WORDS[kind]}"
    if kind in _BOUND_WORDS:
        words, bound = _BOUND_WORDS[kind]
        return f"found {found(value)}, expected {words} {context[bound]:g}"
    if kind in ("string_too_long", "string_too_short"):
        return f"found {counted(len(str(value)), 'character')}, expected {_shape(details)}"
    if kind == "string_pattern_mismatch":
        return f"found {found(value)}, expected {_shape(details)}{_nearest_name(details)}"
    if kind in ("too_long", "too_short"):
        return _size_message(value, context)
    special: Mapping[str, Callable[[], str]] = {
        "missing": lambda: "missing, but required",
        "extra_forbidden": lambda: "unknown field" + _where_it_belongs(model, path),
        "value_error": lambda: str(context["error"]),
        "literal_error": lambda: _choice_message(value, str(context["expected"])),
        "enum": lambda: _choice_message(value, str(context["expected"])),
        "json_invalid": lambda: f"found what is not valid JSON: {context['error']}",
    }
    return special[kind]() if kind in special else f"found {found(value)}: {details['msg']}"


def _nearest_name(details: ErrorDetails) -> str:
    """`, did you mean load_data?` for load-data, where that is a name."""
    pattern, value = str(details.get("ctx", {}).get("pattern")), details["input"]
    instead = _INSTEAD.get(pattern)
    if instead is None or not isinstance(value, str):
        return ""
    name = re.sub("[^A-Za-z0-9]+", instead, value.lower() if instead == "-" else value)
    # An expression is no name that lacks a letter.
    fits = "${" not in value and re.search("[A-Za-z]", value) and re.fullmatch(pattern, name)
    return f", did you mean {name}?" if fits else ""


def _size_message(value: Any, context: Mapping[str, Any]) -> str | None:
    noun = "field" if isinstance(value, dict) else "item"
    size = len(value)
    if "max_length" in context:
        return f"found {counted(size, noun)}, expected at most {context['max_length']}"
    if size >= context["min_length"]:
        # Items that are wrong themselves are not counted; those have messages of their own.
        return None
    return f"found {counted(size, noun)}, expected at least {context['min_length']}"


def _choice_message(value: Any, expected: str) -> str:
    choices = [choice.strip("'") for choice in expected.replace(" or ", ", ").split(", ")]
    near = suggestion(value, choices) if isinstance(value, str) else ""
    if len(choices) > _MANY_CHOICES:
        listed = f"{', '.join(choices[:3])} … ({len(choices)} in all)"
    else:
        listed = ", ".join(choices)
    return f"found {found(value)}, expected one of {listed}{near}"


def _where_it_belongs(model: type[BaseModel], path: Path) -> str:
    parent: type[BaseModel] | None = model
    for part in path[:-1]:
        if parent is not None and isinstance(part, str):
            parent = inner_models(parent).get(part)
    if parent is None:
        return ""
    instead = getattr(parent, "INSTEAD", {}).get(path[-1])
    if instead is not None:
        return f", expected {instead}"
    fields = inner_models(parent)
    deeper = {
        word: field for field, inner in fields.items() if inner is not None for word in inner_models(inner)
    }
    return belongs(str(path[-1]), fields, deeper)


def inner_models(model: type[BaseModel]) -> dict[str, type[BaseModel] | None]:
    """A model's fields by their name on the wire, each with the model that it or its items consist of."""
    return {
        info.alias or name: next(_models(info.annotation), None) for name, info in model.model_fields.items()
    }


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)
