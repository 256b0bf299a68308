"""What is wrong with Agents and Tools that their grammar cannot see: their schemas, and rules over args."""

from collections.abc import Iterator, Mapping
from typing import Any

from citadel.api.agent import AgentSpec, AgentTool
from citadel.api.problems import Path, Problem
from citadel.api.tool import ToolSpec
from citadel.core.outputs import compile_output
from citadel.core.rules import InvalidExpression, compile_rule
from citadel.core.schemas import InvalidSchema
from citadel.core.shapes import NoSuchPart, Shape


def agent_problems(spec: AgentSpec) -> list[Problem]:
    """What is wrong with an Agent, whatever else there is."""
    found = [*_of_schema(("spec", "parameters"), spec.parameters)]
    found += _of_schema(("spec", "outputSchema"), spec.output_schema)
    for position, tool in enumerate(spec.tools):
        for index, message in rule_problems(tool):
            found.append(Problem(("spec", "tools", position, "constraints", index, "rule"), message))
    return found


def rule_problems(tool: AgentTool) -> Iterator[tuple[int, str]]:
    """Constraints that cannot be understood, each by its index."""
    for index, constraint in enumerate(tool.constraints):
        try:
            compile_rule(constraint.rule)
        except InvalidExpression as error:
            yield index, str(error)


def constraint_problems(tool: AgentTool, parameters: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """Constraints that look for arguments which, by their schema, no call has, and so refuse every call.

    Each by its index, but for those of `rule_problems`.
    """
    schema = dict(parameters)
    args = Shape(schema, schema)
    for index, constraint in enumerate(tool.constraints):
        try:
            rule = compile_rule(constraint.rule)
            for chain in rule.chains:
                if chain.over is None:
                    args.part("args", chain.keys, chain.optional)
        except NoSuchPart as error:
            yield index, str(error)
        except InvalidExpression:
            continue


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
