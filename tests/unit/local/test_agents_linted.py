"""What is found wrong with an Agent or a Tool before anything runs."""

from typing import Any

import pytest

from citadel.local.documents import read

AGENT = """
apiVersion: citadel.dev/v1alpha1
kind: Agent
metadata: {name: writer}
spec:
  model: writer
  %s
"""
TOOL = """
apiVersion: citadel.dev/v1alpha1
kind: Tool
metadata: {name: search}
spec:
  description: Searches.
  http: {url: "https://a.example.com/"}
  %s
"""


@pytest.mark.parametrize(
    ("text", "given", "problem"),
    [
        (AGENT, "parameters: {type: object, $id: x}", '7:30: spec.parameters["$id"]: $id is not supported'),
        (AGENT, "outputSchema: {type: nothing}", "spec.outputSchema"),
        (
            AGENT,
            "tools: [{name: a, tool: b, constraints: [{rule: args.x > 1}, {rule: inputs.x}]}]",
            "spec.tools[0].constraints[1].rule: found inputs, expected args alone: the arguments of the call",
        ),
        (TOOL, "parameters: {type: object, $ref: 'https://a.example.com/b'}", "8:3: spec.parameters: "),
        (TOOL, "parameters: {type: object}", None),
        (AGENT, "tools: [{name: a, tool: b, constraints: [{rule: args.x > 1}]}]", None),
    ],
)
def test_schemas_and_rules_are_looked_into(text: str, given: str, problem: Any) -> None:
    found = [found.located for found in read(text % given).problems]
    assert len(found) == (problem is not None), found
    if problem is not None:
        assert problem in found[0]


@pytest.mark.parametrize(
    ("closed", "rule", "problem"),
    [
        ("", "args.amont < 5", "found args.amont, but args has amount, to, did you mean amount?"),
        ("", "args.to.name == 'a'", "found the field name of args.to, which is a text"),
        ("", "!has(args.dry) && args.amount < 5", None),
        ("", "args.?dry.orValue(true)", None),
        ("", "args.all(name, name in ['amount', 'to'])", None),
        ("", "size(args.to) < 9 && args.amount > 0", None),
        (", additionalProperties: true", "args.amont < 5", None),
        (", additionalProperties: false", "args.amont < 5", "found args.amont, but"),
    ],
)
def test_a_constraint_that_no_call_can_fulfil_is_told_where_the_tool_stands_beside_it(
    closed: str, rule: str, problem: str | None
) -> None:
    fields = "amount: {type: number}, to: {type: string}"
    tool = TOOL % f"parameters: {{type: object, properties: {{{fields}}}{closed}}}"
    entry = f'tools: [{{name: pay, tool: search, constraints: [{{rule: "true"}}, {{rule: "{rule}"}}]}}]'
    found = [found.located for found in read(f"{tool}---{AGENT % entry}").problems]
    assert len(found) == (problem is not None), found
    if problem is not None:
        assert f"spec.tools[0].constraints[1].rule: {problem}" in found[0]


def test_a_constraint_of_another_agent_s_arguments_is_told_too() -> None:
    other = (AGENT % "system: Be brief.").replace("writer}", "critic}")
    entry = "tools: [{name: ask, agent: critic, constraints: [{rule: size(args.promt) < 9}]}]"
    (found,) = [found.located for found in read(f"{other}---{AGENT % entry}").problems]
    assert "found args.promt, but args has prompt, did you mean prompt?" in found
