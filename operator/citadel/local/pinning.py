"""Agents and Tools of a file that a workflow reaches, and what a definition pins of them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from citadel.api.agent import AgentSpec
from citadel.api.problems import Problem
from citadel.api.tool import ToolSpec
from citadel.api.validate import problems_with_positions
from citadel.core.agentsteps import with_agents
from citadel.core.openapi import InvalidDocument
from citadel.core.pinned import pinned_agents, pinned_tools
from citadel.core.placing import InvalidDefinition
from citadel.core.plan import Workflow, compile_workflow
from citadel.local.contents import Contents, WorkflowDocument
from citadel.local.operations import operation_problems, spec_of

#: What a function takes of which nothing is known.
_UNKNOWN = {"description": "", "parameters": {"type": "object"}}


def agents_of(workflow: WorkflowDocument, contents: Contents) -> dict[str, AgentSpec]:
    """The Agents of the file that steps of a workflow run, and those that are tools of these."""
    found: dict[str, AgentSpec] = {}
    left = [step.agent.name for _, step in _steps(workflow) if step.agent is not None]
    while left:
        name = left.pop(0)
        agent = contents.agents.get(name)
        if agent is not None and name not in found:
            found[name] = agent
            left += [tool.agent for tool in agent.tools if tool.agent is not None]
    return found


def tools_of(workflow: WorkflowDocument, contents: Contents) -> dict[str, ToolSpec]:
    """The Tools of the file that they may call."""
    return {
        name: contents.tools[name] for _, name, _ in named_tools(workflow, contents) if name in contents.tools
    }


def named_tools(workflow: WorkflowDocument, contents: Contents) -> Iterator[tuple[str, str, str | None]]:
    """Every Tool that is named: where, which, and which function of it."""
    for path, step in _steps(workflow):
        if step.tool is not None:
            yield f"step {path}", step.tool.name, step.tool.function
    for name, agent in agents_of(workflow, contents).items():
        for tool in agent.tools:
            if tool.tool is not None:
                yield f"Agent {name}, tool {tool.name}", tool.tool, tool.function


def named_agents(workflow: WorkflowDocument, contents: Contents) -> Iterator[tuple[str, str]]:
    """Every Agent that is named: where, and which."""
    for path, step in _steps(workflow):
        if step.agent is not None:
            yield f"step {path}", step.agent.name
    for name, agent in agents_of(workflow, contents).items():
        for tool in agent.tools:
            if tool.agent is not None:
                yield f"Agent {name}, tool {tool.name}", tool.agent


def pinned(workflow: WorkflowDocument, contents: Contents) -> dict[str, Any]:
    """What a definition has of Agents and Tools; nothing where there are none."""
    agents = {name: _agent(spec, contents) for name, spec in agents_of(workflow, contents).items()}
    tools = {name: _tool(name, workflow, contents) for name in tools_of(workflow, contents)}
    return {**({"agents": agents} if agents else {}), **({"tools": tools} if tools else {})}


def resolve(contents: Contents) -> list[Problem]:
    """Gives each workflow the hidden steps of its agents, where there is all that takes; what is wrong."""
    problems = list(operation_problems(contents))
    for name, workflow in list(contents.workflows.items()):
        try:
            compiled = _resolved(workflow, contents)
        except InvalidDefinition as error:
            problems += problems_with_positions(workflow.document, error.problems)
            continue
        if compiled is not workflow.compiled:
            contents.workflows[name] = replace(workflow, compiled=compiled)
    return problems


def _resolved(workflow: WorkflowDocument, contents: Contents) -> Workflow:
    if not any(named_agents(workflow, contents)) and not any(named_tools(workflow, contents)):
        return workflow.compiled
    compiled = compile_workflow(workflow.spec)
    known = all(name in contents.agents for _, name in named_agents(workflow, contents))
    if not known or not all(name in contents.tools for _, name, _ in named_tools(workflow, contents)):
        return compiled
    given = pinned(workflow, contents)
    steps = with_agents(compiled.steps, pinned_agents(given), pinned_tools(given), {})
    return replace(compiled, steps=steps)


def _agent(spec: AgentSpec, contents: Contents) -> dict[str, Any]:
    written = spec.model_dump(by_alias=True, exclude_none=True, mode="json")
    if spec.system_from is not None:
        reference = spec.system_from.config_map_key_ref
        del written["systemFrom"]
        text = contents.data.get(("ConfigMap", reference.name), {}).get(reference.key)
        written |= {"system": text} if text else {}
    return written


def _tool(name: str, workflow: WorkflowDocument, contents: Contents) -> dict[str, Any]:
    spec = contents.tools[name]
    with suppress(InvalidDocument):  # which is told beside
        if (request := spec_of(contents, name)) is not None:
            return {"spec": request}
    found: dict[str, Any] = {"spec": spec.model_dump(by_alias=True, exclude_none=True, mode="json")}
    if spec.mcp is not None:
        wanted = {
            function for _, tool, function in named_tools(workflow, contents) if tool == name and function
        }
        found["functions"] = contents.functions.get(name) or dict.fromkeys(sorted(wanted), _UNKNOWN)
    if spec.workflow is not None and spec.parameters is None:
        called = contents.workflows.get(spec.workflow.name)
        found["parameters"] = (called.spec.inputs if called is not None else None) or {"type": "object"}
    if spec.code is not None and spec.code.code_from is not None:
        reference = spec.code.code_from.config_map_key_ref
        code = contents.data.get(("ConfigMap", reference.name), {}).get(reference.key)
        found |= {"code": code} if code else {}
    return found


def _steps(workflow: WorkflowDocument) -> Iterator[tuple[str, Any]]:
    """What acts, but for compensations, which neither run agents nor call tools."""
    return ((path, step) for path, step in workflow.spec.every_step() if hasattr(step, "agent"))
