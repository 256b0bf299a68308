"""What CEL does here, pinned: values, messages, what is read, and that nothing takes long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citadel.core.expressions import (
    Expression,
    ExpressionError,
    InvalidExpression,
    Read,
    compile_expression,
)
from citadel.core.jsonvalues import Json

SCOPE: dict[str, Json] = {
    "inputs": {
        "region": "emea",
        "limit": 10,
        "ratio": 1.5,
        "nothing": None,
        "tags": ["a", "b", "c"],
        "numbers": [1, 2, 3],
        "my-key": "dashed",
        "nested": {"deep": {"er": 7}},
        "accent": "é𝄞",
        "huge": 2**70,
    },
    "steps": {
        "load": {"status": "Succeeded", "output": {"rows": [{"id": 1}, {"id": 2}], "total": 2}},
        "nulled": {"status": "Succeeded", "output": None},
        "skipped": {"status": "Skipped"},
        "failed": {"status": "Failed", "error": {"reason": "Error", "message": "boom"}},
    },
    "execution": {"name": "sales-report-1", "namespace": "team", "uid": "u-1"},
}

VALUES = [
    ("an integer stays an integer", "inputs.limit + 1", 11),
    ("a number with a fraction stays a double", "inputs.ratio * 2.0", 3.0),
    ("an integer becomes a double when asked to", "double(inputs.limit) * inputs.ratio", 15.0),
    ("integers and doubles compare", "inputs.limit > 9.5 && inputs.limit == 10.0", True),
    ("integer division truncates", "7 / 2", 3),
    ("the smallest integer is itself", "-9223372036854775808", -(2**63)),
    ("an unsigned integer is an integer", "7u", 7),
    ("strings add up", "'region ' + inputs.region", "region emea"),
    ("a number is put into a string by string()", "'limit ' + string(inputs.limit)", "limit 10"),
    ("size counts characters, not bytes", "size(inputs.accent)", 2),
    ("size counts items", "size(steps.load.output.rows)", 2),
    ("null is null", "inputs.nothing", None),
    ("null equals null", "inputs.nothing == null && steps.nulled.output == null", True),
    ("an index picks an item", "steps.load.output.rows[1].id", 2),
    ("a key with a dash is written as an index", 'inputs["my-key"]', "dashed"),
    ("backquotes name a key with a dash too", "inputs.`my-key`", "dashed"),
    ("has() is false for a missing key", "has(inputs.missing)", False),
    ("has() is true for a key that holds null", "has(inputs.nothing)", True),
    ("has() of a step without output is false", "has(steps.skipped.output)", False),
    ("a missing output is replaced by orValue", "steps.skipped.?output.orValue('none')", "none"),
    ("a missing part deep inside is replaced too", "steps.load.?output.?x.?y.orValue(0)", 0),
    ("an output that is there wins over orValue", "steps.load.?output.total.orValue(0)", 2),
    ("a step that is not there is optional by [?]", "steps[?'other'].?output.orValue(1)", 1),
    ("hasValue() tells whether there is one", "steps.skipped.?output.hasValue()", False),
    ("optMap maps what is there", "steps.load.?output.total.optMap(t, t + 1).orValue(0)", 3),
    ("the status of a step is readable", "steps.failed.status", "Failed"),
    ("the error of a step is readable", "steps.failed.error.message", "boom"),
    ("map makes a list", "inputs.numbers.map(n, n * n)", [1, 4, 9]),
    ("filter keeps what fits", "inputs.numbers.filter(n, n != 2)", [1, 3]),
    ("filter of objects keeps the objects", "steps.load.output.rows.filter(r, r.id == 2)", [{"id": 2}]),
    ("exists finds one", "inputs.tags.exists(t, t == 'b')", True),
    ("all of nothing is true", "[].all(x, false)", True),
    ("exists_one is false for two", "[1, 1].exists_one(x, x == 1)", False),
    ("in searches lists", "'b' in inputs.tags", True),
    ("in searches the keys of objects", "'name' in execution", True),
    ("a comprehension variable may be called like a root", "inputs.numbers.map(steps, steps + 1)", [2, 3, 4]),
    (
        "an object literal is an object",
        "{'a': inputs.limit, 'b': [true, null]}",
        {"a": 10, "b": [True, None]},
    ),
    ("an optional entry is left out", "{?'a': steps.skipped.?output, 'b': 1}", {"b": 1}),
    ("the condition chooses", "inputs.limit > 5 ? 'many' : 'few'", "many"),
    ("|| holds when one side fails", "inputs.missing || true", True),
    ("a regular expression matches anywhere", "inputs.region.matches('^e.*a$')", True),
    ("split and join are there", "'a-b'.split('-').join('+')", "a+b"),
    ("upper and lower case are there", "inputs.region.upperAscii()", "EMEA"),
    ("replace is there", "inputs.region.replace('e', 'a')", "amaa"),
    ("a timestamp is written by RFC 3339", "timestamp('2026-01-02T03:04:05Z')", "2026-01-02T03:04:05Z"),
    ("a timestamp is in UTC", "timestamp('2026-01-02T03:04:05+02:00')", "2026-01-02T01:04:05Z"),
    ("a duration is written in seconds", "duration('1m30s')", "90s"),
    ("a duration has a fraction", "duration('-1250ms')", "-1.25s"),
    ("parts of a time are read", "timestamp('2026-01-02T03:04:05Z').getHours('+02:00')", 5),
    ("the execution is readable", "execution.namespace + '/' + execution.name", "team/sales-report-1"),
    ("a comment is ignored", "1 + 1 // two", 2),
    ("a whole root is a value", "execution", {"name": "sales-report-1", "namespace": "team", "uid": "u-1"}),
    ("what is not read need not fit into CEL", "inputs.limit", 10),
]

ERRORS = [
    ("int and double do not mix", "inputs.ratio + 1", "mix int and double: write 1.5 + 1.0, or double(x)"),
    ("int times double does not mix", "inputs.limit * 1.5", "no such overload: int * double"),
    ("string and int do not add up", "inputs.region + 1", "no such overload: + for string, int"),
    (
        "a missing input is named with those there",
        "inputs.regoin",
        "inputs.regoin does not exist: inputs has region, limit",
    ),
    ("a missing key deep inside is named", "inputs.nested.deep.x", "inputs.nested.deep has er"),
    (
        "a field of null is named",
        "inputs.nothing.x",
        "inputs.nothing.x does not exist: inputs.nothing is null",
    ),
    ("has() below null is an error", "has(inputs.nothing.x)", "inputs.nothing is null"),
    ("a field of a text is named", "inputs.region.x", "inputs.region is a string"),
    ("an index outside is named", "inputs.tags[3]", "inputs.tags[3] does not exist: inputs.tags has 3 items"),
    (
        "a skipped step has no output",
        "steps.skipped.output",
        "steps.skipped.output does not exist: the step is Skipped",
    ),
    ("division by zero", "inputs.limit / 0", "divide by zero"),
    ("overflow", "9223372036854775807 + inputs.limit", "integer overflow"),
    (
        "an integer beyond 64 bits",
        "inputs.huge + 1",
        "1180591620717411303424, but CEL's integers have 64 bits",
    ),
    ("a condition that is no boolean", "inputs.limit ? 1 : 2", "the condition of ?: is not true or false"),
    ("&& of a number", "inputs.limit && true", "&& takes true or false"),
    (
        "the key to blame is named",
        "inputs.other || true ? inputs.nested.deep.x : 0",
        "inputs.nested.deep.x does not exist",
    ),
    ("a missing key of an item", "steps.load.output.rows.map(r, r.name)", "no such key: name"),
    ("in of a number", "1 in inputs.limit", "in needs a list or an object on its right"),
    ("map over a number", "inputs.limit.map(x, x)", "need a list or an object to go through"),
    ("bytes are not JSON", "b'abc'", "of type bytes, which JSON does not have"),
    ("types are not JSON", "type(1)", "of type type, which JSON does not have"),
    ("infinity is not JSON", "1.0 / 0.0", "the result is inf, JSON numbers are finite"),
    ("NaN is not JSON", "[0.0 / 0.0]", "the result is nan, JSON numbers are finite"),
    ("keys are strings", "{1: 2}", "the result has the key 1, the keys of JSON objects are strings"),
    ("a key is written twice", "{'a': 1, 'a': 2}", "duplicate key"),
    ("U+0000 is not stored", r"'\u0000'", "U+0000"),
    ("an optional is not a value", "steps.skipped.?output", "end the expression with .orValue(…)"),
    ("an optional inside a list is not a value", "[steps.load.?output]", "holds an optional"),
    ("an optional inside an object is not a value", "{'a': steps.load.?output}", "holds an optional"),
    ("item exists in loops only", "item + 1", "item is not available here"),
    (
        "a regular expression that does not parse",
        "inputs.region.matches(inputs.region + '(')",
        "invalid regular expression",
    ),
    ("a date that does not parse", "timestamp(inputs.region)", "Timestamp"),
]

INVALID = [
    ("nothing at all", " ", 0, "found an empty expression"),
    ("an end too early", "1 +", 3, "ends too early"),
    ("a string without end", "'abc", 0, "a string that does not end"),
    ("one = for equality", "inputs.a = 1", 9, "found =, expected =="),
    ("and for &&", "inputs.a and true", 9, "found and, expected &&"),
    ("or for ||", "inputs.a or true", 9, "found or, expected ||"),
    (
        "an unknown root",
        "foo.bar",
        0,
        "unknown name foo, expected one of: inputs, steps, item, index, iteration, previous",
    ),
    ("a misspelt root", "1 + input.x", 4, "did you mean inputs?"),
    ("an unknown root after a two-line text", "'é' +\n  foo", 8, "unknown name foo"),
    ("an unknown variable inside a comprehension", "[1].map(x, y)", 11, "unknown name y"),
    ("a comprehension variable outside of it", "[1].map(x, x).size() + x", 23, "unknown name x"),
    ("an unknown function", "inputs.a.shout()", 14, "unknown function shout"),
    ("a function of another language", "len(inputs.a)", 3, "unknown function len, did you mean size?"),
    ("a misspelt function", "inputs.a.startswith('x')", 19, "startswith, did you mean startsWith?"),
    ("a misspelt macro", "inputs.a.fliter(x, x > 1)", 15, "unknown function fliter, did you mean filter?"),
    (
        "a macro that lacks an argument",
        "inputs.a.map(x)",
        12,
        "map takes a variable and an expression over it",
    ),
    ("a function with other arguments", "size(1, 2)", 4, "size does not take these arguments"),
    ("a literal of another language", "inputs.a == None", 12, "; did you mean null?"),
    ("an operator of another language", "inputs.a ?? 1", 10, "expected .orValue(…) after a path with .?"),
    ("a dash in a step's name", "steps.load-data.output", 11, "steps.load-data is a subtraction"),
    ("a dash in an input's name", "inputs.my-key", 10, 'write inputs["my-key"]'),
    ("steps without a name", "steps", 0, "found steps without the name of a step"),
    ("the name of a step computed", "steps[inputs.region].output", 0, "without the name of a step"),
    ("steps gone through", "steps.map(s, s)", 0, "without the name of a step"),
    ("an attribute that steps do not have", "steps.load.rows", 10, "a step has output, status, error"),
    ("constants of types that do not mix", "1.5 + 1", 4, "write 1.5 + 1.0, or double(x)"),
    ("a constant condition of a wrong type", "1 ? 2 : 3", 2, "no such overload"),
    ("a protobuf message", "google.protobuf.Struct{}", 0, "expected a map"),
    (
        "a time zone that is computed",
        "timestamp(inputs.t).getHours(inputs.zone)",
        35,
        "a time zone is a literal",
    ),
    (
        "a time zone that is a file",
        "timestamp(inputs.t).getHours('/dev/stdout')",
        29,
        "a time zone is a literal",
    ),
    ("a time zone that climbs", "timestamp(inputs.t).getHours('../x')", 29, "a time zone is a literal"),
    ("too deep", "(" * 40 + "1" + ")" * 40, 0, "nested more than 32 levels deep"),
    ("too many operators in a row", "+".join(["1"] * 60), 0, "more than 32 operators in a row"),
    ("too long", "1" + " " * 4096, 4096, "found 4097 characters, at most 4096"),
    ("a NUL character", "'a\0'", 2, "U+0000"),
]

READS = [
    ("a plain read", "steps.a.output.x", {Read("a", "output", False)}),
    ("an index for a field", "steps['a']['status']", {Read("a", "status", False)}),
    ("a step alone", "steps.a", {Read("a", None, False)}),
    ("a computed attribute reads the step", "steps.a[inputs.x]", {Read("a", None, False)}),
    ("an optional output", "steps.a.?output.orValue(1)", {Read("a", "output", True)}),
    ("an optional step", "steps[?'a'].?output.x.orValue(1)", {Read("a", "output", True)}),
    (
        "an optional part of an output that must be there",
        "steps.a.output.?x.orValue(1)",
        {Read("a", "output", False)},
    ),
    (
        "has() makes the same read optional",
        "has(steps.a.output) ? steps.a.output : 0",
        {Read("a", "output", True)},
    ),
    (
        "has() of one step says nothing of another",
        "has(steps.a.output) ? steps.b.output : 0",
        {Read("a", "output", True), Read("b", "output", False)},
    ),
    ("has() of a part needs the output", "has(steps.a.output.x)", {Read("a", "output", False)}),
    ("a name in a string is no read", "'steps.a.output' + r\"\\steps.b.output\"", set()),
    ("a name in a comment is no read", "1 // steps.a.output", set()),
    ("a variable called steps is no read", "[{'a': 1}].map(steps, steps.a)", set()),
    (
        "reads inside comprehensions count",
        "[1].exists(x, steps.a.error.code == x)",
        {Read("a", "error", False)},
    ),
    (
        "the range of a comprehension is outside of it",
        "steps.a.output.map(steps, steps)",
        {Read("a", "output", False)},
    ),
    ("the field of another object is no read", "inputs.steps.a.output", set()),
]


def sentences(table: list[tuple]) -> list:
    return [pytest.param(*row[1:], id=row[0].replace(" ", "_")) for row in table]


@pytest.mark.parametrize(("source", "expected"), sentences(VALUES))
def test_an_expression_has_its_value(source: str, expected: Json) -> None:
    value = compile_expression(source).evaluate(SCOPE)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(("source", "message"), sentences(ERRORS))
def test_a_failing_evaluation_says_why(source: str, message: str) -> None:
    with pytest.raises(ExpressionError) as error:
        compile_expression(source).evaluate(SCOPE)
    assert message in error.value.message


@pytest.mark.parametrize(("source", "offset", "message"), sentences(INVALID))
def test_an_invalid_expression_says_what_and_where(source: str, offset: int, message: str) -> None:
    with pytest.raises(InvalidExpression) as error:
        compile_expression(source)
    assert message in error.value.message
    assert error.value.offset == offset


@pytest.mark.parametrize(("source", "expected"), sentences(READS))
def test_the_steps_an_expression_reads_are_known_before_it_runs(source: str, expected: set[Read]) -> None:
    assert compile_expression(source).reads == expected


def test_the_names_it_uses_are_roots_only() -> None:
    expression = compile_expression(
        "inputs.a.map(x, x + index) == [item] && execution.name == steps.a.status"
    )
    assert expression.names == {"inputs", "index", "item", "execution", "steps"}


@pytest.mark.parametrize(
    ("source", "path"),
    [
        ("steps.load.output.rows", ("steps", "load", "output", "rows")),
        (' inputs["my-key"][0].x ', ("inputs", "my-key", 0, "x")),
        ("item", ("item",)),
        ("steps.load.?output", None),
        ("has(inputs.x)", None),
        ("inputs.x + 1", None),
        ("inputs[1.5]", None),
        ("inputs.x[inputs.y]", None),
        ("string", None),
        ("1", None),
    ],
)
def test_only_a_path_and_nothing_else_is_plain(source: str, path: tuple[str | int, ...] | None) -> None:
    assert compile_expression(source).plain_path == path


def test_equal_sources_make_equal_expressions() -> None:
    assert compile_expression("inputs.a") == compile_expression("inputs.a") != compile_expression("inputs.b")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))), inner, max_size=4
        )
    ),
    max_leaves=15,
)


@settings(deadline=None)
@given(json_values)
def test_json_goes_through_cel_unchanged(value: Json) -> None:
    expression: Expression = compile_expression("inputs.?value.orValue(null)")
    assert repr(sort(expression.evaluate({"inputs": {"value": value}}))) == repr(sort(value))


def sort(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: sort(value[key]) for key in sorted(value)}
    return [sort(item) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(st.text(alphabet="inputs.ep[]{}()?:'\"\\+-*/%=!<>&|,1 a\n$", max_size=60))
def test_no_text_makes_anything_but_an_expression_or_a_clear_refusal(source: str) -> None:
    try:
        expression = compile_expression(source)
    except InvalidExpression as refused:
        clear(refused, source)
        return
    try:
        expression.evaluate({"inputs": {"a": 1}, "steps": {}, "item": 1, "index": 0, "execution": {}})
    except ExpressionError as failed:
        clear(failed, source)


def clear(error: InvalidExpression | ExpressionError, source: str) -> None:
    assert error.message
    assert not isinstance(error, InvalidExpression) or 0 <= error.offset <= len(source)
