"""Templates: what is substituted, what never is, and where an error stands."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citadel.core.expressions import ExpressionError, InvalidExpression, Read, compile_expression
from citadel.core.jsonvalues import Json
from citadel.core.templates import compile_template, copy_path

SCOPE: dict[str, Json] = {
    "inputs": {
        "region": "emea",
        "limit": 10,
        "ratio": 1.5,
        "nothing": None,
        "trap": "${inputs.limit}",
        "a-b": [1, 2],
    },
    "steps": {
        "load": {
            "status": "Succeeded",
            "output": {"rows": [{"id": 1}, {"id": 2}], "big": 2**70, "it's": {"}": 1}},
        },
        "skipped": {"status": "Skipped"},
    },
}

VALUES: list[tuple[str, Json, Json]] = [
    ("a string without expressions is itself", "plain $ {text}", "plain $ {text}"),
    ("other values are themselves", [1, 1.5, None, True, {}], [1, 1.5, None, True, {}]),
    ("exactly one expression keeps its type", "${inputs.limit}", 10),
    ("exactly one expression may be null", "${inputs.nothing}", None),
    ("exactly one expression may be a list", "${steps.load.output.rows}", [{"id": 1}, {"id": 2}]),
    ("inside a string a string stands raw", "in ${inputs.region}!", "in emea!"),
    ("inside a string a number is JSON", "limit=${inputs.limit}", "limit=10"),
    ("inside a string null is JSON", "[${inputs.nothing}]", "[null]"),
    (
        "inside a string a list is compact JSON",
        "rows: ${steps.load.output.rows}",
        'rows: [{"id":1},{"id":2}]',
    ),
    ("a space makes it a longer string", " ${inputs.limit}", " 10"),
    ("several expressions stand beside each other", "${inputs.limit}${inputs.region}", "10emea"),
    ("spaces inside the braces do not matter", "${ inputs.limit }", 10),
    ("$${ is a literal ${", "$${inputs.limit}", "${inputs.limit}"),
    ("$${ and ${ live together", "$${HOME}/${inputs.region}", "${HOME}/emea"),
    ("three dollars are one and a literal", "$$${x}", "$${x}"),
    ("a dollar alone stays", "5$ and $", "5$ and $"),
    ("what was substituted is not templated again", "${inputs.trap}", "${inputs.limit}"),
    ("nor inside a longer string", "<${inputs.trap}>", "<${inputs.limit}>"),
    ("braces of a map are matched", '${ {"a": inputs.limit}.a }', 10),
    ("a brace in a string does not end it", '${ {"a": "}"}.a }', "}"),
    ("a brace in single quotes neither", "${ '}' + '{' }", "}{"),
    ("a brace after an escaped quote neither", r'${ "\"}" }', '"}'),
    ("a raw string knows no escapes", r'${ r"\}" + "}" }', "\\}}"),
    ("a brace in a triple-quoted string neither", "${ '''it's }''' }", "it's }"),
    ("a brace in a comment neither", "${ inputs.limit // }\n + 1 }", 11),
    ("a quote in the text around does not matter", "it's ${inputs.region}, isn't it", "it's emea, isn't it"),
    (
        "trees are templated inside",
        {"a": ["${inputs.limit}", {"b": "x${inputs.limit}"}]},
        {"a": [10, {"b": "x10"}]},
    ),
    ("keys are not templated, but unescaped", {"$${x}": "${inputs.limit}"}, {"${x}": 10}),
    ("a plain path copies what CEL cannot hold", "${steps.load.output.big}", 2**70),
    ("odd keys are reached by index", '${inputs["a-b"][1]}', 2),
    ("a quoted key with brace is a path too", '${steps.load.output["it\'s"]["}"]}', 1),
    ("a join takes what there is", "${steps.skipped.?output.orValue([])}", []),
]

INVALID: list[tuple[str, Json, str, int, str]] = [
    ("an end is missing", "a ${inputs.limit", "", 2, "without its closing }; write $${ for a literal ${"),
    ("an end is only in a string", "${ '}' ", "", 0, "without its closing }"),
    ("an end is too far away", "${" + "1 " * 3000 + "}", "", 0, "within 4096 characters"),
    ("nothing inside", "${}", "", 2, "empty expression"),
    ("a syntax error has its place in the string", "abc ${1 +} def", "", 9, "ends too early"),
    (
        "an unknown name has its place in the tree",
        {"rows": [1, {"name": "${foo}"}]},
        "rows[1].name",
        2,
        "unknown name",
    ),
    ("an odd key in the path is quoted", {"a b": "${foo}"}, '["a b"]', 2, "unknown name"),
    ("a templated key", {"a": {"${inputs.x}": 1}}, "a", 0, "only values are templated"),
    ("a template inside a template", "${ '${' + }", "", 10, "ends too early"),
    ("too many expressions", ["${1}"] * 1001, "", 0, "more than 1000 times"),
]


def sentences(table: list[tuple]) -> list:
    return [pytest.param(*row[1:], id=row[0].replace(" ", "_")) for row in table]


@pytest.mark.parametrize(("template", "expected"), sentences(VALUES))
def test_a_template_has_its_value(template: Json, expected: Json) -> None:
    value = compile_template(template).evaluate(SCOPE)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(("template", "path", "offset", "message"), sentences(INVALID))
def test_an_invalid_template_says_what_and_where(
    template: Json, path: str, offset: int, message: str
) -> None:
    with pytest.raises(InvalidExpression) as error:
        compile_template(template)
    assert message in error.value.message
    assert (error.value.path, error.value.offset) == (path, offset)
    assert str(error.value).startswith(f"{path}: " if path else error.value.message)


def test_nesting_is_bounded() -> None:
    value: Json = "${inputs.limit}"
    for _ in range(5000):
        value = [value]
    with pytest.raises(InvalidExpression, match="nested more than 64 levels deep"):
        compile_template(value)


def test_a_failing_evaluation_names_the_place_in_the_tree() -> None:
    template = compile_template({"rows": ["ok", {"name": "x ${inputs.regoin}"}]})
    with pytest.raises(
        ExpressionError, match=r"^rows\[1\]\.name: inputs\.regoin does not exist: inputs has region"
    ):
        template.evaluate(SCOPE)


def test_what_is_substituted_is_bounded() -> None:
    template = compile_template(["${inputs.text}"] * 3)
    with pytest.raises(ExpressionError, match=r"^\[2\]: .*larger than 1048576 bytes"):
        template.evaluate({"inputs": {"text": "a" * 400_000}})


def test_reads_names_and_constancy_are_known_before_it_runs() -> None:
    template = compile_template(["${steps.a.output}", "x${inputs.b}", {"c": "${steps.b.?output.orValue(1)}"}])
    assert template.reads == {Read("a", "output", False), Read("b", "output", True)}
    assert template.names == {"steps", "inputs"}
    assert not template.constant
    assert compile_template(["$${a}", 1]).constant


@pytest.mark.parametrize(
    ("template", "path"),
    [
        ("${steps.load.output.rows}", ("steps", "load", "output", "rows")),
        ("${ inputs['a-b'][0] }", ("inputs", "a-b", 0)),
        ("${inputs.limit + 1}", None),
        ("${steps.load.?output}", None),
        ("x ${inputs.limit}", None),
        (["${inputs.limit}"], None),
        ("inputs.limit", None),
    ],
)
def test_only_one_whole_path_is_plain(template: Json, path: tuple[str | int, ...] | None) -> None:
    assert compile_template(template).plain_path == path


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("inputs", "regoin"), "inputs.regoin does not exist: inputs has region, limit"),
        (("steps", "skipped", "output", "x"), "steps.skipped.output does not exist: the step is Skipped"),
        (
            ("steps", "load", "output", "rows", 2),
            "steps.load.output.rows[2] does not exist: steps.load.output.rows has 2 it",
        ),
        (("steps", "load", "output", "rows", -1), "does not exist"),
        (("inputs", "limit", "x"), "inputs.limit.x does not exist: inputs.limit is an integer"),
        (("inputs", "nothing", "x"), "inputs.nothing is null"),
        (("item",), "item does not exist"),
    ],
)
def test_copying_names_the_part_that_is_missing(path: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(ExpressionError) as error:
        copy_path(SCOPE, path)
    assert message in error.value.message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def escape(value: Json) -> Json:
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, list):
        return [escape(item) for item in value]
    if isinstance(value, dict):
        return {key.replace("${", "$${"): escape(item) for key, item in value.items()}
    return value


@settings(deadline=None)
@given(json_values.filter(lambda value: "${" not in repr(value)))
def test_a_tree_without_expressions_is_itself(value: Json) -> None:
    template = compile_template(value)
    assert template.constant
    assert template.evaluate({}) == value


@settings(deadline=None)
@given(st.text(alphabet="a${}'\"$", max_size=12).filter(lambda text: "$${" not in text))
def test_any_text_can_be_written_by_escaping(text: str) -> None:
    assert compile_template(escape(text)).evaluate({}) == text


@settings(deadline=None)
@given(json_values)
def test_any_value_passes_through_a_template_as_it_is(value: Json) -> None:
    assert compile_template("${inputs.value}").evaluate({"inputs": {"value": value}}) == value


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4), json_values)
def test_copying_a_path_agrees_with_cel(keys: list[str], leaf: Json) -> None:
    inputs: Json = {"a": {"a": 1, "b": {"c": "x"}}, "b": [1], "c": None}
    source = ".".join(["inputs", *keys])
    scope: dict[str, Json] = {"inputs": inputs}
    try:
        expected = compile_expression(source).evaluate(scope)
    except ExpressionError:
        with pytest.raises(ExpressionError):
            copy_path(scope, ("inputs", *keys))
    else:
        assert copy_path(scope, ("inputs", *keys)) == expected


@settings(deadline=None)
@given(st.text(alphabet="${}'\"\\/ rinputs.a1+", max_size=40))
def test_no_text_makes_anything_but_a_template_or_a_clear_refusal(text: str) -> None:
    try:
        template = compile_template({"x": text})
    except InvalidExpression as refused:
        names_its_place(refused, text)
        return
    try:
        template.evaluate({"inputs": {"a": 1}})
    except ExpressionError as failed:
        names_its_place(failed, text)


def names_its_place(error: InvalidExpression | ExpressionError, text: str) -> None:
    assert error.path == "x"
    assert not isinstance(error, InvalidExpression) or 0 <= error.offset <= len(text)
