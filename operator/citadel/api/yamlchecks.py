"""What YAML makes of a plain scalar, and which scalars it twists: `no` is a boolean, `0123` is 83.

Resolution is kubectl's (sigs.k8s.io/yaml over go-yaml 2: YAML 1.1 with exceptions), pinned by a table of what
that library answers. What passes here without a complaint must mean the same to kubectl.
"""

import re

Scalar = str | int | float | bool | None

_TRUE = frozenset({"y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"})
_FALSE = frozenset({"n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"})
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_PLAIN_BOOLEANS = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_DOTTED = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_LARGEST_INTEGER = 2**64 - 1


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar as kubectl reads it; raises ValueError for what JSON cannot hold."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    if text in _NULL:
        return None
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(f"found {text}, which JSON has no number for; quote it if it is meant as text")
    if text[0] not in "+-.0123456789" or _DATE.fullmatch(text):
        return text
    return _number(text)


def _number(text: str) -> str | int | float:
    if text[0] == "." and not _DOTTED.fullmatch(text):
        return text
    plain = text.replace("_", "")
    whole = _INTEGER.fullmatch(plain)
    if whole is not None:
        value = _integer(whole[1], whole[2])
        if -(2**63) <= value <= _LARGEST_INTEGER:
            return value
    if not _FLOAT.fullmatch(plain):
        return text
    number = float(plain)
    if number in (float("inf"), float("-inf")):
        return text
    # Go writes the float 3.0 as 3, so for kubectl it is an integer.
    return int(number) if number.is_integer() and abs(number) < 1e21 else number


def _integer(sign: str, digits: str) -> int:
    if len(digits) > 1 and digits[0] == "0":
        base = {"x": 16, "b": 2}.get(digits[1].lower(), 8)
        value = int(digits.lstrip("0oOxXbB") or "0", base) if base == 8 else int(digits, base)
    else:
        value = int(digits)
    return -value if sign == "-" else value


def twist(text: str) -> str | None:
    """Why an unquoted scalar does not mean what it looks like, and what to write instead; None if it does."""
    if text in (_TRUE | _FALSE) - _PLAIN_BOOLEANS:
        meant = "true" if text in _TRUE else "false"
        return (
            f'found {text} without quotes, which YAML reads as {meant}; write {meant}, or "{text}" for text'
        )
    if not text or text[0] not in "+-.0123456789":
        return None
    if _DATE.fullmatch(text):
        return f'found {text} without quotes, which some YAML readers turn into a date; write "{text}"'
    if _SEXAGESIMAL.fullmatch(text):
        return f'found {text} without quotes, which some YAML readers turn into seconds; write "{text}"'
    return _twisted_number(text)


def _twisted_number(text: str) -> str | None:
    value = resolve(text) if not _NOT_FINITE.fullmatch(text) else text
    if isinstance(value, str):
        return None
    if _LEADING_ZERO.fullmatch(text) or re.match(r"[-+]?0[oObB]|.*_", text):
        return (
            f'found {text} without quotes, which YAML reads as {value}; write {value}, or "{text}" for text'
        )
    if re.fullmatch(r"[-+]?[0-9]+", text) and int(text) != value:
        return f'found {text}, too large for an integer, so YAML rounds it; write "{text}"'
    return None


def twisted_key(text: str) -> str | None:
    """As `twist`, for a mapping's key: a boolean, null or rewritten number is never a key someone meant."""
    value = resolve(text)
    if value is None:
        return f'found the key {text or "(empty)"} without quotes, which YAML reads as null; write "{text}"'
    if isinstance(value, bool):
        meant = str(value).lower()
        return f'found the key {text} without quotes, which YAML reads as {meant}; write "{text}"'
    if not isinstance(value, str) and str(value) != text:
        return f'found the key {text} without quotes, which YAML reads as {value}; write "{text}"'
    return twist(text)


def explain(problem: str, context: str, line: str, column: int) -> str:
    """A parser's complaint in plain words, with the cure; `line` is the source line, `column` from 0."""
    rest = line[column:]
    before = line[:column]
    quote_value = "quote the whole value"
    if rest.startswith("\t") or "'\\t'" in problem:
        return "found a tab where YAML wants spaces; indent with spaces"
    if "flow mapping" in context or "flow sequence" in context:
        return _explain_flow(context, before, rest)
    if problem.startswith("mapping values are not allowed"):
        if before[:1].isspace() and before.strip().replace("_", "").replace("-", "").isalnum():
            return (
                "found a further field below a value that ended above; "
                f"align it with its neighbours, or {quote_value} if it goes on"
            )
        return f'found ": " within an unquoted value; {quote_value}'
    if "cannot start any token" in problem and rest:
        return f"found {rest[0]}, with which no unquoted value may begin; {quote_value}"
    if "quoted scalar" in context and "end of stream" in problem:
        return "found a quote that is never closed"
    if "unknown escape character" in problem:
        return "found an unknown escape after a backslash; double it, or use single quotes"
    if "block scalar" in context:
        sign = ">" if ">" in before else "|"
        return f"found an unquoted {sign}, which starts a block of text on the next line; {quote_value}"
    if "found '<scalar>'" in problem:
        return f"found text behind a closing quote; {quote_value}, in single quotes if it holds double ones"
    if "alphabetic or numeric" in problem or "scanning an a" in context:
        return f"found {rest[:1] or '&'} where YAML wants the name of an anchor; {quote_value}"
    if "sequence entries are not allowed" in problem:
        return f'found "- " behind a key; begin the list on the next line, or {quote_value}'
    if rest.startswith(("}", "]")):
        return f"found {rest[0]} without its opening {'{' if rest[0] == '}' else '['}"
    if problem.startswith("expected <block end>"):
        return "found a line that is indented unlike its neighbours; align it"
    if "found '<stream end>'" in problem:
        return "the text ends where a value should stand"
    return f"cannot be read as YAML: {problem}" + (f" ({context})" if context else "")


def _explain_flow(context: str, before: str, rest: str) -> str:
    kind, end = ("{…}", "}") if "flow mapping" in context else ("[…]", "]")
    if before.endswith("$") and rest.startswith("{"):
        return f'found an unquoted ${{…}} inside {kind}; write it in quotes: "${{…}}"'
    if not rest.strip():
        return f"found {kind[0]} without its closing {end}"
    return (
        f"found {rest[0]} in an unquoted value inside {kind}; quote the value, or close {kind[0]} with {end}"
    )
