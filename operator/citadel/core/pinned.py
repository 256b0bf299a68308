"""Agents and tools as a definition pins them: nothing of them is read again while an execution runs.

`"agents": {name: AgentSpec}`, where the text of `systemFrom` stands in `system`, and `"tools": {name:
{"spec", "functions": {name: {description, parameters}}, "parameters", "code"}}`: functions of an MCP server
or an OpenAPI document, the schema that counts for any other kind, and the text that `codeFrom` leads to.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citadel.api.agent import AgentSpec, AgentTool
from citadel.api.model import destination_of
from citadel.api.tool import Http, Mcp, ToolCredential, ToolSpec
from citadel.api.validate import without_nulls

Schema = Mapping[str, Any]
#: What a tool takes that says nothing of it.
_ANY: Schema = {"type": "object"}


@dataclass(frozen=True)
class PinnedTool:
    """A Tool, and what it turned out to be."""

    name: str
    spec: ToolSpec
    functions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Description and parameters of each function of an MCP server, by name; of an operation likewise."""
    parameters: Schema | None = None
    code: str | None = None

    @property
    def destination(self) -> str | None:
        """Where it is called, as `host:port`; None for one that is nowhere."""
        return None if self._remote is None else destination_of(self._remote.url)

    @property
    def credential(self) -> ToolCredential | None:
        """By what its server knows who calls."""
        return None if self._remote is None else self._remote.credential

    @property
    def _remote(self) -> Http | Mcp | None:
        return self.spec.http or self.spec.mcp

    def schema(self, function: str | None) -> Schema:
        """JSON Schema of its arguments, or of those of one of its functions."""
        if function is not None and function in self.functions:
            return dict(self.functions[function].get("parameters") or _ANY)
        return self.parameters or self.spec.parameters or _ANY

    def description(self, function: str | None) -> str:
        """What is said of it, or of one of its functions."""
        if function is not None and (told := self.functions.get(function, {}).get("description")):
            return str(told)
        if self.spec.description is None and len(self.functions) == 1:
            return str(next(iter(self.functions.values())).get("description") or "")
        return self.spec.description or ""


def pinned_agents(definition: Mapping[str, Any]) -> dict[str, AgentSpec]:
    """The agents of a definition, by name."""
    given = definition.get("agents", {})
    return {name: AgentSpec.model_validate(without_nulls(AgentSpec, item)) for name, item in given.items()}


def pinned_tools(definition: Mapping[str, Any]) -> dict[str, PinnedTool]:
    """The tools of a definition, by name."""
    return {
        name: PinnedTool(
            name,
            ToolSpec.model_validate(without_nulls(ToolSpec, item["spec"])),
            item.get("functions", {}),
            item.get("parameters"),
            item.get("code"),
        )
        for name, item in definition.get("tools", {}).items()
    }


def told(tool: AgentTool, agents: Mapping[str, AgentSpec], tools: Mapping[str, PinnedTool]) -> dict[str, Any]:
    """What a model is told of a tool that it may call."""
    if tool.agent is not None:
        agent = agents[tool.agent]
        description, parameters = agent.description or f"The agent {tool.agent}.", agent.parameters
    else:
        found = tools[str(tool.tool)]
        description, parameters = found.description(tool.function), dict(found.schema(tool.function))
    return {"name": tool.name, "description": tool.description or description, "parameters": parameters}
