"""Outputs that came are written where others were expected, and nothing else of the file changes."""

from typing import Any

import pytest

from citadel.local.updating import flow, updated

HEAD = "# kept\nworkflow: w.yaml\ntests:\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "- name: a\n  expect:\n    outputs: {sum: 1}    # kept\n    order: [a]\n",
            "- name: a\n  expect:\n    outputs: {sum: 2}    # kept\n    order: [a]\n",
        ),
        (
            "- name: a\n  expect:\n    outputs:\n      sum: 1   # gone\n\n    # kept\n    order: [a]\n",
            "- name: a\n  expect:\n    outputs:\n      {sum: 2}\n\n    # kept\n    order: [a]\n",
        ),
        (
            "- {name: a, expect: {outputs: {sum: [1,\n  2]}}}\n# kept",
            "- {name: a, expect: {outputs: {sum: 2}}}\n# kept",
        ),
        (
            "- name: a\n  expect:\n    outputs:\n      sum: |\n        x\n\n- name: b\n",
            "- name: a\n  expect:\n    outputs:\n      {sum: 2}\n\n- name: b\n",
        ),
    ],
)
def test_only_the_outputs_change(before: str, after: str) -> None:
    assert updated(HEAD + before, {0: {"sum": 2}}) == HEAD + after


def test_several_tests_of_a_file_change_at_once() -> None:
    tests = "".join(f"- name: {name}\n  expect: {{outputs: {{x: {name}}}}}\n" for name in "abc")
    changed = updated(HEAD + tests, {0: {"x": "long enough to move the rest"}, 2: {"x": None}})
    assert changed is not None
    assert changed.splitlines()[3:] == [
        "- name: a",
        "  expect: {outputs: {x: long enough to move the rest}}",
        "- name: b",
        "  expect: {outputs: {x: b}}",
        "- name: c",
        "  expect: {outputs: {x: null}}",
    ]


@pytest.mark.parametrize(
    "tests",
    [
        "- name: a\n  expect: &e {outputs: {x: 1}}\n- name: b\n  expect: *e\n",
        "- name: a\n  expect: &e {outputs: {x: 1}}\n- name: b\n  expect: {<<: *e}\n",
        "- name: a\n- name: b\n  expect: {phase: Succeeded}\n",
    ],
)
def test_what_stands_elsewhere_is_left_alone(tests: str) -> None:
    assert updated(HEAD + tests, {1: {"x": 2}}) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a b": 1, "y": "no", "x": "yes it is"}, '{a b: 1, "y": "no", x: yes it is}'),
        (["1", "a: b", "", "#", "é\n", "2026-01-01", "null"], None),
        ({"deep": [{"x": [1.5, 2.0, True, None]}]}, "{deep: [{x: [1.5, 2, true, null]}]}"),
    ],
)
def test_values_are_written_as_people_write_them(value: Any, text: str | None) -> None:
    assert text is None or flow(value) == text
    whole = f"{HEAD}- name: a\n  expect:\n    outputs: {{}}\n"
    assert updated(whole, {0: {"v": value}}) == whole.replace("{}", f"{{v: {flow(value)}}}")
