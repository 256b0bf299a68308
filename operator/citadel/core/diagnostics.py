"""The CEL library's complaints, in words that say what to change.

Everything here turns one text into another; it must never hide that something failed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from citadel.api.problems import suggestion
from citadel.core.cost import MAX_ITERATIONS
from citadel.core.jsonvalues import Json, kind_of
from citadel.core.references import Chain, InvalidExpression

_DIAGNOSTIC = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_STATUS = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")
_OVERLOAD = re.compile(
    r"overload(?:s found : |.* for ')(?P<function>[^'(]*)'?(?: applied to ')?(?P<types>\([^']*\))?"
)
_MISSING_KEY = re.compile(r'Key not found in map : "?(.*?)"?$')
_HUGE = re.compile(r"^Integer value '(-?\d+)' out of range")
#: Functions of CEL and of its extensions here, for proposals.
_FUNCTIONS = (
    "bool", "charAt", "contains", "double", "duration", "endsWith", "format", "has", "indexOf", "int", "join",
    "lastIndexOf", "lowerAscii", "matches", "or", "orValue", "replace", "reverse", "size", "split",
    "startsWith", "string", "substring", "timestamp", "trim", "type", "upperAscii",
)  # fmt: skip
_MEANT = {
    "count": "size", "default": "orValue", "float": "double", "includes": "contains", "len": "size",
    "length": "size", "lower": "lowerAscii", "str": "string", "strip": "trim", "toString": "string",
    "upper": "upperAscii",
}  # fmt: skip
_WORDS = {"and": "&&", "or": "||", "not": "!"}


def explain(message: str, scope: Mapping[str, Json], chains: Iterable[Chain]) -> str:
    """What went wrong in an evaluation over `scope`; `chains` are the paths that the expression reads."""
    message = _STATUS.sub("", _STATUS.sub("", message))
    if "Iteration budget exceeded" in message:
        return f"takes more than {MAX_ITERATIONS} iterations; do this in a step's code"
    missing = _MISSING_KEY.search(message)
    if missing is not None or message.startswith("Index error") or "SELECT to non-message" in message:
        for chain in chains:
            found = missing_key(scope, (chain.root.name, *chain.keys), chain.optional)
            # A path may be missing and yet not be to blame: || and && absorb errors of one side.
            if found and (missing is None or f"{missing[1]} does not exist" in found.replace('"]', "")):
                return found
    if missing is not None:
        return f"no such key: {missing[1]}"
    if (huge := _HUGE.search(message)) is not None:
        return f"found the integer {huge[1]}, but CEL's integers have 64 bits"
    if (overload := _OVERLOAD.search(message)) is not None:
        return _explain_overload(overload["function"], overload["types"] or "")
    if "SELECT to non-message" in message:
        return "a field is read from a value that is not an object"
    return message


def diagnose(source: str, report: str) -> InvalidExpression:
    """The library's report on a source, as our error: the first problem, its place, what to write."""
    if "recursion" in report:
        return InvalidExpression("nested more than 32 levels deep, or more than 32 operators in a row")
    found = _DIAGNOSTIC.search(report)
    if found is None:
        return InvalidExpression(_STATUS.sub("", report.splitlines()[0]))
    line, column, message = int(found[1]), int(found[2]), found[3]
    lines = source.splitlines(keepends=True)
    offset = max(0, min(sum(len(text) for text in lines[: line - 1]) + column - 1, len(source)))
    return InvalidExpression(_syntax_message(_STATUS.sub("", message), source, offset), offset)


def _syntax_message(message: str, source: str, offset: int) -> str:
    if (overload := _OVERLOAD.search(message)) is not None:
        return _explain_overload(overload["function"], overload["types"] or "")
    if (undeclared := re.search(r"undeclared reference to '([^']*)'", message)) is not None:
        return _explain_unknown(undeclared[1])
    if not message.startswith("Syntax error: "):
        return message
    message = message.removeprefix("Syntax error: ").split(" expecting ")[0]
    if "<EOF>" in message or offset >= len(source):
        return "syntax error: the expression ends too early"
    word = re.match(r"\w+|\S", source[offset:])
    written = word[0] if word else source[offset]
    if written == "=":
        return "syntax error: found =, expected == to compare"
    if source[offset - 1 : offset + 1] == "??":
        return "syntax error: found ??, expected .orValue(…) after a path with .?"
    if written in _WORDS:
        return f"syntax error: found {written}, expected {_WORDS[written]}"
    if "token recognition error" in message and written in "'\"":
        return "syntax error: found a string that does not end, or holds an unknown escape"
    return f"syntax error: found {written} at character {offset + 1}"


def _explain_unknown(function: str) -> str:
    if function in _FUNCTIONS:
        return f"{function} does not take these arguments"
    meant = _MEANT.get(function)
    hint = f", did you mean {meant}?" if meant else suggestion(function, _FUNCTIONS)
    return f"found the unknown function {function}{hint}"


def _explain_overload(function: str, types: str) -> str:
    types = types.strip("()").replace("int64", "int").replace("uint64", "uint")
    if function == "<jump_condition>":
        return "the condition of ?: is not true or false"
    if function == "<iter_range>":
        return "map, filter, all and exists need a list or an object to go through"
    operator = function.strip("_@")
    if set(types.split(", ")) == {"int", "double"}:
        return (
            f"no such overload: {types.replace(', ', f' {operator} ')}; CEL does not mix int and double:"
            " write 1.5 + 1.0, or double(x)"
        )
    if function in ("_&&_", "_||_", "!_"):
        return f"no such overload: {operator} takes true or false"
    if function == "@in":
        return "no such overload: in needs a list or an object on its right"
    shown = f" for {types}" if types else ""
    return f"no such overload: {operator}{shown}"


def missing_key(
    scope: Mapping[str, Json], path: tuple[str | int, ...], optional: tuple[bool, ...]
) -> str | None:
    """Which key of a path does not exist in `scope`, in words; None when all do, or when the first missing
    is optional.
    """
    value: object = scope
    shown = ""
    for position, key in enumerate(path):
        inside = shown or "the scope"
        shown = f"{shown}[{key}]" if isinstance(key, int) else f"{shown}.{key}" if shown else key
        if isinstance(value, Mapping) and isinstance(key, str):
            if key in value:
                value = value[key]
                continue
            if position and optional[position - 1 : position] == (True,):
                return None
            if path[0] == "steps" and position == 2 and key in ("output", "error"):
                return f"{shown} does not exist: the step is {value.get('status', 'not finished')}"
            known = ", ".join(list(value)[:10]) + (", …" if len(value) > 10 else "")
            return f"{shown} does not exist: {inside} has {known or 'nothing'}"
        if isinstance(value, list) and isinstance(key, int):
            if 0 <= key < len(value):
                value = value[key]
                continue
            return f"{shown} does not exist: {inside} has {len(value)} items"
        return f"{shown} does not exist: {inside} is {_article(kind_of(value))}"
    return None


def _article(kind: str) -> str:
    return kind if kind == "null" else f"an {kind}" if kind[0] in "aio" else f"a {kind}"
