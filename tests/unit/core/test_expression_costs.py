"""Hostile expressions are stopped, honest work on large values is not."""

from time import process_time

import pytest

from citadel.core.expressions import (
    ExpressionError,
    compile_expression,
)
from citadel.core.jsonvalues import Json


def sentences(table: list[tuple]) -> list:
    return [pytest.param(*row[1:], id=row[0].replace(" ", "_")) for row in table]


ROWS: Json = [
    {"id": n, "name": f"n{n}", "region": "emea" if n % 5 else "apac", "amount": n * 1.5} for n in range(5000)
]
LARGE: dict[str, Json] = {
    "inputs": {
        "hundreds": list(range(200)),
        "tens_of_thousands": list(range(20_000)),
        "text": "a" * 1_000_000,
        "needle": "a" * 500_000 + "b",
        "region": "emea",
    },
    "steps": {"load": {"status": "Succeeded", "output": {"rows": ROWS, "total": 5000}}},
}

HOSTILE = [
    (
        "three nested loops",
        "inputs.hundreds.all(a, inputs.hundreds.all(b, inputs.hundreds.all(c, a + b + c >= 0)))",
        "takes more than 10000 iterations",
    ),
    (
        "two nested loops that build",
        "inputs.hundreds.map(a, inputs.hundreds.map(b, a * b)).size()",
        "10000 iterations",
    ),
    ("a map over 20,000", "inputs.tens_of_thousands.map(a, a).size()", "would take too long"),
    ("a loop over 20,000", "inputs.tens_of_thousands.all(a, a >= 0)", "10000 iterations"),
    (
        "a search in a search",
        "inputs.tens_of_thousands.all(a, a in inputs.tens_of_thousands)",
        "would take too long",
    ),
    (
        "a string doubled 22 times",
        "[inputs.region]" + ".map(x, x + x)" * 22 + "[0].size()",
        "would take too long",
    ),
    ("a list doubled 22 times", "[[1]]" + ".map(x, x + x)" * 22 + "[0].size()", "would take too long"),
    ("a string copied for each item", "inputs.hundreds.map(x, inputs.text + 'a')", "would take too long"),
    ("a quadratic contains", "inputs.text.contains(inputs.needle)", "would take too long"),
    ("a replace that explodes", "inputs.text.replace('a', inputs.text)", "would take too long"),
    ("a heavy pattern", "inputs.text.matches('(a?){500}a{500}b')", "would take too long"),
    ("a heavy pattern from the data", "inputs.text.matches(inputs.needle)", "would take too long"),
    ("a result over 1 MiB", "inputs.text + inputs.text", "larger than 1048576 bytes"),
    ("a result over 1 MiB by repetition", "[inputs.text, inputs.text]", "larger than 1048576 bytes"),
]


@pytest.mark.parametrize(("source", "message"), sentences(HOSTILE))
def test_a_hostile_expression_is_stopped_within_a_second(source: str, message: str) -> None:
    expression = compile_expression(source)
    began = process_time()
    with pytest.raises(ExpressionError) as error:
        expression.evaluate(LARGE)
    assert process_time() - began < 1
    assert message in error.value.message


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("steps.load.output.rows.size()", 5000),
        ("steps.load.output.rows[4999].id", 4999),
        ("steps.load.output.rows.filter(r, r.region == inputs.region).size()", 4000),
        (
            "steps.load.output.rows.filter(r, r.name.contains('999')).map(r, r.id)",
            [999, 1999, 2999, 3999, 4999],
        ),
        ("steps.load.output.rows.map(r, r.name + '!')[0]", "n0!"),
        ("steps.load.output.rows.all(r, r.region.matches('^[a-z]{4}$'))", True),
        ("inputs.text.matches('(a+)+$')", True),
        ("inputs.text.contains('b')", False),
        ("inputs.hundreds.exists(a, inputs.hundreds.filter(b, b == a).size() == 2)", None),
    ],
)
def test_honest_work_on_5000_rows_passes(source: str, expected: Json) -> None:
    expression = compile_expression(source)
    began = process_time()
    if expected is None:
        with pytest.raises(ExpressionError, match="iterations"):
            expression.evaluate(LARGE)
    else:
        assert expression.evaluate(LARGE) == expected
    assert process_time() - began < 2


def test_only_what_is_read_is_converted() -> None:
    """A 5,000-row output takes 7 ms to convert; its total must not."""
    expression = compile_expression("steps.load.output.total > 1")
    began = process_time()
    for _ in range(100):
        assert expression.evaluate(LARGE) is True
    assert process_time() - began < 0.1
