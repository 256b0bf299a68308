"""What is wrong with Agents and Tools that their grammar cannot see: their schemas, and rules over args."""

from collections.abc import Iterator, Mapping
from typing import Any

from citadel.api.agent import AgentSpec
from citadel.api.problems import Path, Problem
from citadel.api.tool import ToolSpec
from citadel.core.outputs import compile_output
from citadel.core.rules import InvalidExpression, compile_rule
from citadel.core.schemas import InvalidSchema


def agent_problems(spec: AgentSpec) -> list[Problem]:
    """What is wrong with an Agent, whatever else there is."""
    found = [*_of_schema(("spec", "parameters"), spec.parameters)]
    found += _of_schema(("spec", "outputSchema"), spec.output_schema)
    for position, tool in enumerate(spec.tools):
        for index, constraint in enumerate(tool.constraints):
            try:
                compile_rule(constraint.rule)
            except InvalidExpression as error:
                path: Path = ("spec", "tools", position, "constraints", index, "rule")
                found.append(Problem(path, str(error)))
    return found


def tool_problems(spec: ToolSpec) -> list[Problem]:
    """The same of a Tool."""
    found = [*_of_schema(("spec", "parameters"), spec.parameters)]
    return [*found, *_of_schema(("spec", "outputSchema"), spec.output_schema)]


def _of_schema(path: Path, schema: Mapping[str, Any] | None) -> Iterator[Problem]:
    try:
        if schema is not None:
            compile_output(schema)
    except InvalidSchema as error:
        yield Problem((*path, *error.path), error.message)
