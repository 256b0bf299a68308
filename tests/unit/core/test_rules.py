"""Rules over the arguments of a call."""

from typing import Any

import pytest

from citadel.core.rules import InvalidExpression, compile_rule, holds


@pytest.mark.parametrize(
    ("rule", "arguments", "expected"),
    [
        ("args.amount <= 100.0", {"amount": 99.5}, None),
        ("args.amount <= 100.0", {"amount": 100.5}, "does not hold"),
        ("args.path.startsWith('src/')", {"path": "src/a"}, None),
        ("args.path.startsWith('src/')", {"path": "../src/"}, "does not hold"),
        ("args.amount", {"amount": 1}, "gives int, expected true or false"),
        ("args.amount <= 100.0", {}, "cannot be evaluated: args.amount"),
        ("args.amount <= 100.0", {"amount": "1"}, "cannot be evaluated: "),
    ],
)
def test_a_rule_holds_only_where_it_is_true(rule: str, arguments: Any, expected: str | None) -> None:
    why = holds(compile_rule(rule), arguments)
    assert (why or "").startswith(expected or "")
    assert (why is None) == (expected is None)


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("inputs.a == 1", "found inputs, expected args alone"),
        ("args.a == item", "found item, expected args alone"),
        ("nobody == 1", "found the unknown name nobody, expected args alone: the arguments of the call"),
        (
            "args.a == True",
            "found the unknown name True, expected args alone: the arguments of the call; did",
        ),
        ("${args.a}", "expected bare CEL"),
        ("args.a ==", "syntax error"),
        ("", "found an empty expression"),
    ],
)
def test_a_rule_knows_the_arguments_and_nothing_else(rule: str, says: str) -> None:
    with pytest.raises(InvalidExpression) as caught:
        compile_rule(rule)
    assert says in str(caught.value)
