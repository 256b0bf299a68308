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
