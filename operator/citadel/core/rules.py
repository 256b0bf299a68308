"""Conditions over the arguments of a call: CEL that knows `args` and nothing else. Pure."""

from citadel.core.expressions import (
    Expression,
    ExpressionError,
    InvalidExpression,
    UnknownName,
    compile_expression,
)
from citadel.core.jsonvalues import Json

__all__ = ["InvalidExpression", "compile_rule", "holds"]

#: Why a rule does not hold that says just that.
FALSE = "does not hold"
_ALONE = "args alone: the arguments of the call"


def compile_rule(source: str) -> Expression:
    """A rule; raises InvalidExpression."""
    if source.startswith("${") and source.endswith("}"):
        raise InvalidExpression("found ${…} around it, expected bare CEL")
    try:
        rule = compile_expression(source)
    except UnknownName as unknown:
        raise UnknownName(unknown.name, _ALONE, unknown.hint, unknown.offset) from None
    if others := sorted(rule.names - {"args"}):
        raise InvalidExpression(f"found {others[0]}, expected {_ALONE}")
    return rule


def holds(rule: Expression, arguments: Json) -> str | None:
    """Why a rule does not hold for these arguments, as where it cannot be evaluated; None if it does."""
    try:
        found = rule.evaluate({"args": arguments})
    except ExpressionError as error:
        return f"cannot be evaluated: {error}"
    if found is True:
        return None
    return FALSE if found is False else f"gives {type(found).__name__}, expected true or false"
