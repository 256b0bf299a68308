"""JSON values at the border: canonical bytes, digests, and the normalisation of JSON that nobody vouches for.

What passes `normalise` or `check` can be stored by Postgres, hashed, and parsed again by anybody. This module
must never let through what a later transaction would choke on (U+0000, lone surrogates, non-finite numbers,
bottomless nesting), and must never raise anything but `InvalidValue` for bad data.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from itertools import accumulate
from typing import NoReturn, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
# Integers stay exact: neither JSON nor Postgres bounds them. Beyond this many digits Python refuses to
# convert, as it takes quadratic time. (CEL knows 64 bits only, and says so when it reads a larger one.)
MAX_DIGITS = 4300

# The closing quote is optional so that the pattern never fails after a scan: failing would make it quadratic.
_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NOT_BRACKET = re.compile(r"[^\[\]{}]+")
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class InvalidValue(ValueError):
    """The data is not JSON that Citadel keeps. `path` says where in the tree, when it is known
    (`rows[2].name`).
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.message = message
        self.path = path


def canonical(value: Json) -> bytes:
    """The one spelling of a value: keys sorted, no spaces, UTF-8. Equal values give equal bytes.

    The value must have passed `normalise` or `check`; NaN or a lone surrogate is a ValueError here.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def digest(data: bytes) -> str:
    """`sha256:<hex>` of the bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def join_path(path: str, key: str | int) -> str:
    """`path` extended by a key or an index: `rows` + 2 is `rows[2]`, + "name" is `rows.name`, odd keys are
    quoted.
    """
    if isinstance(key, int):
        return f"{path}[{key}]"
    if _NAME.fullmatch(key):
        return f"{path}.{key}" if path else key
    shown = key if len(key) <= 40 else f"{key[:40]}…"
    return f"{path}[{json.dumps(shown)}]"


def kind_of(value: object) -> str:
    """The JSON name of a value's type, as messages show it."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
        case _:
            return type(value).__name__


def normalise(raw: bytes, limit: int = MAX_BYTES) -> Json:
    """Parses untrusted JSON bytes (at most `limit` of them). The last of two equal keys wins, as in every
    parser.

    Raises InvalidValue: too large, not UTF-8, not JSON, nested over 64 deep, NaN or infinite, U+0000, lone
    surrogates, integers over 4,300 digits.
    """
    if len(raw) > limit:
        raise InvalidValue(f"found {len(raw)} bytes, at most {limit} are allowed")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidValue(f"not UTF-8: byte {error.start} is 0x{raw[error.start]:02x}") from None
    # Before the recursive parser: it dies on depth.
    brackets = _NOT_BRACKET.sub("", _STRING.sub("", text))
    if max(accumulate(_STEP[bracket] for bracket in brackets), default=0) > MAX_DEPTH:
        raise InvalidValue(f"nested more than {MAX_DEPTH} levels deep")
    try:
        value: Json = json.loads(
            text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        raise InvalidValue(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    if "\0" in text or _SUSPECT.search(text):
        check(value, limit)
    return value


def check(value: object, limit: int = MAX_BYTES) -> Json:
    """The same promises for a value that is already in memory; returns it. Cost: one walk, stopped at
    `limit` bytes.
    """
    budget = limit
    stack: list[tuple[object, str, int]] = [(value, "", 0)]
    while stack:
        node, path, depth = stack.pop()
        match node:
            case None | bool():
                budget -= 4
            case str():
                budget -= len(_checked_text(node, path).encode()) + 2
            case int():
                budget -= _checked_digits(node, path)
            case float():
                if not math.isfinite(node):
                    raise InvalidValue(f"found {node}, JSON numbers are finite", path)
                budget -= 3
            case list() | dict():
                if depth >= MAX_DEPTH:
                    raise InvalidValue(f"nested more than {MAX_DEPTH} levels deep", f"{path[:40]}…")
                budget -= 2 + max(len(node) - 1, 0)
                if budget >= 0:
                    stack.extend(_children(node, path, depth + 1))
            case _:
                raise InvalidValue(f"found a {kind_of(node)}, which JSON does not have", path)
        if isinstance(node, dict):
            budget -= sum(len(key.encode()) + 3 for key in node) if budget >= 0 else 0
        if budget < 0:
            raise InvalidValue(f"larger than {limit} bytes as JSON")
    return value  # type: ignore[return-value]


def _children(
    node: list[object] | dict[object, object], path: str, depth: int
) -> list[tuple[object, str, int]]:
    if isinstance(node, list):
        return [(item, f"{path}[{index}]", depth) for index, item in enumerate(node)]
    found: list[tuple[object, str, int]] = []
    for key, item in node.items():
        if not isinstance(key, str):
            raise InvalidValue(f"found the key {key!r} ({kind_of(key)}), keys are strings", path)
        _checked_text(key, path, "a key ")
        found.append((item, join_path(path, key), depth))
    return found


def _checked_text(text: str, path: str, what: str = "") -> str:
    if "\0" in text:
        raise InvalidValue(f"{what}holds the character U+0000", path)
    if (bad := _SURROGATE.search(text)) is not None:
        raise InvalidValue(f"{what}holds the lone surrogate U+{ord(bad[0]):04X}", path)
    return text


def _checked_digits(number: int, path: str) -> int:
    # 4,300 digits are at most 14,285 bits; asking for the digits of more is what has to be avoided.
    if number.bit_length() > 14_285 or (number.bit_length() > 14_280 and abs(number) >= 10**MAX_DIGITS):
        raise InvalidValue(f"holds an integer of more than {MAX_DIGITS} digits", path)
    return max(number.bit_length() - 1, 0) * 30102 // 100_000 + 1


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidValue(f"found {name}, JSON numbers are finite")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidValue(f"the number {text[:40]} is out of range")
    return number


def _integer(text: str) -> int:
    if len(text.lstrip("-")) > MAX_DIGITS:
        raise InvalidValue(f"holds an integer of more than {MAX_DIGITS} digits")
    return int(text)


def holds_null(value: object) -> bool:
    """Whether there is a null anywhere within a value that is none itself."""
    match value:
        case dict():
            return any(item is None or holds_null(item) for item in value.values())
        case list():
            return any(item is None or holds_null(item) for item in value)
    return False
