"""What a file holds, as everybody here looks at it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from citadel.api.agent import AgentSpec
from citadel.api.execution import ExecutionSpec
from citadel.api.loader import Document
from citadel.api.model import ModelSpec
from citadel.api.problems import Problem
from citadel.api.runtime import RuntimeSpec
from citadel.api.tool import ToolSpec
from citadel.api.trigger import TriggerSpec
from citadel.api.workflow import WorkflowSpec
from citadel.core.plan import Workflow


@dataclass(frozen=True)
class WorkflowDocument:
    """One Workflow of the file."""

    name: str
    spec: WorkflowSpec
    compiled: Workflow
    document: Document


@dataclass
class Contents:
    """The objects of a file, by name, and what is wrong with it."""

    workflows: dict[str, WorkflowDocument] = field(default_factory=dict)
    executions: dict[str, tuple[ExecutionSpec, Document]] = field(default_factory=dict)
    models: dict[str, ModelSpec] = field(default_factory=dict)
    agents: dict[str, AgentSpec] = field(default_factory=dict)
    tools: dict[str, ToolSpec] = field(default_factory=dict)
    triggers: dict[str, tuple[TriggerSpec, Document]] = field(default_factory=dict)
    runtimes: dict[str, RuntimeSpec] = field(default_factory=dict)
    data: dict[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    """Texts by key, of (kind, name): ConfigMap or Secret."""
    functions: dict[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """Functions of MCP servers by Tool, where these were asked."""
    documents: dict[tuple[str, str], Document] = field(default_factory=dict)
    """Where Agents and Tools stand, by kind and name, for problems of what they name."""
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Specs of Tools that name an operation, as templates of its request, where the document was read."""
    problems: list[Problem] = field(default_factory=list)
