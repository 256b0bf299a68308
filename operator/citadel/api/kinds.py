"""The kinds of resources: their names, their models, and what `kubectl get` shows of them."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from citadel.api.agent import AgentSpec, AgentStatus
from citadel.api.approval import ApprovalSpec, ApprovalStatus
from citadel.api.execution import ExecutionSpec, ExecutionStatus
from citadel.api.meta import GROUP
from citadel.api.model import ModelSpec
from citadel.api.policy import ExecutionPolicySpec
from citadel.api.runtime import RuntimeSpec, RuntimeStatus
from citadel.api.tool import ToolSpec, ToolStatus
from citadel.api.trigger import MAX_NAME, TriggerSpec, TriggerStatus
from citadel.api.workflow import DefinitionStatus, WorkflowSpec


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; wide ones show with -o wide."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False

    def on_the_wire(self) -> dict[str, Any]:
        """As an item of additionalPrinterColumns."""
        wire: dict[str, Any] = {
            "name": self.name,
            "type": self.type,
            "description": self.description,
            "jsonPath": self.path,
        }
        return {**wire, "priority": 1} if self.wide else wire


@dataclass(frozen=True)
class Kind:
    """One kind of resource: its names, its models and its columns."""

    name: str
    plural: str
    short_name: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: tuple[Column, ...]
    namespaced: bool = True
    longest_name: int | None = None
    """Characters of a name, where fewer are allowed than anyway."""

    @property
    def file_name(self) -> str:
        return f"{GROUP}_{self.plural}.yaml"


_AGE = Column("Age", ".metadata.creationTimestamp", "Time since creation.", "date")


def _condition(name: str, field: str, description: str, *, wide: bool = False) -> Column:
    return Column(name, f'.status.conditions[?(@.type=="Ready")].{field}', description, wide=wide)


KINDS = (
    Kind(
        "Workflow",
        "workflows",
        "ctwf",
        "Workflow is a definition: the steps that an Execution of it takes.",
        WorkflowSpec,
        DefinitionStatus,
        (
            _condition("Ready", "status", "Whether it can be executed."),
            _condition("Reason", "reason", "Why."),
            _AGE,
        ),
    ),
    Kind(
        "Runtime",
        "runtimes",
        "ctrt",
        "Runtime is the image in which code of one language runs, and where.",
        RuntimeSpec,
        RuntimeStatus,
        (
            Column("Language", ".spec.language", "Language whose harness the image carries."),
            Column("Image", ".spec.image", "Image of the sandboxes."),
            _condition("Ready", "status", "Whether steps can use it."),
            Column("Pool", ".status.pool.ready", "Warm sandboxes that wait.", "integer", wide=True),
            _AGE,
        ),
    ),
    Kind(
        "Model",
        "models",
        "ctml",
        "Model is a language model that steps may ask: who provides it, and what it costs.",
        ModelSpec,
        DefinitionStatus,
        (
            Column("Provider", ".spec.provider", "Who answers."),
            Column("Model", ".spec.model", "What the provider calls it."),
            _condition("Ready", "status", "Whether steps can ask it."),
            _condition("Reason", "reason", "Why."),
            _AGE,
            _condition("Message", "message", "What is missing.", wide=True),
        ),
    ),
    Kind(
        "Agent",
        "agents",
        "agt",
        "Agent is a model that works on tasks in turns: its tools, its limits, and what it may spend.",
        AgentSpec,
        AgentStatus,
        (
            Column("Model", ".spec.model", "Model that it asks."),
            Column("Tools", ".status.tools", "How many tools it may call.", "integer"),
            _condition("Ready", "status", "Whether steps can run it."),
            _condition("Reason", "reason", "Why."),
            _AGE,
            Column("Version", ".spec.version", "Its version.", wide=True),
            _condition("Message", "message", "What is missing.", wide=True),
        ),
    ),
    Kind(
        "Tool",
        "tools",
        "cttl",
        "Tool is something that agents, and steps, may call: by HTTP, of an MCP server, a workflow, or code.",
        ToolSpec,
        ToolStatus,
        (
            _condition("Ready", "status", "Whether it can be called."),
            _condition("Reason", "reason", "Why."),
            _AGE,
            Column("Version", ".spec.version", "Its version.", wide=True),
            _condition("Message", "message", "What is missing.", wide=True),
        ),
    ),
    Kind(
        "Execution",
        "executions",
        "ctex",
        "Execution is one run of a Workflow.",
        ExecutionSpec,
        ExecutionStatus,
        (
            Column("Workflow", ".spec.workflowRef.name", "Workflow that is run."),
            Column("Phase", ".status.phase", "Where it stands."),
            Column("Reason", ".status.reason", "Why."),
            Column("Progress", ".status.progress.text", "Steps that have ended, of all."),
            _AGE,
            Column("Duration", ".status.duration", "From start to end.", wide=True),
            Column("Message", ".status.message", "Why, for people.", wide=True),
            Column("Tokens", ".status.usage.totalTokens", "Tokens of models.", "integer", wide=True),
            Column("Cost", ".status.usage.cost", "Dollars of models.", wide=True),
        ),
    ),
    Kind(
        "ExecutionPolicy",
        "executionpolicies",
        "ctpol",
        "ExecutionPolicy is what the cluster's admin lets sandboxes of some namespaces be, use and reach.",
        ExecutionPolicySpec,
        DefinitionStatus,
        (
            _condition("Ready", "status", "Whether it is understood; if not, nothing runs where it holds."),
            _condition("Message", "message", "Why."),
            _AGE,
        ),
        namespaced=False,
    ),
    Kind(
        "Approval",
        "approvals",
        "ctap",
        "Approval is what an Execution asks people, and what one of them answered.",
        ApprovalSpec,
        ApprovalStatus,
        (
            Column("Execution", ".spec.executionRef.name", "Execution that asks."),
            Column("Step", ".spec.step", "Step that waits."),
            Column("Phase", ".status.phase", "Where it stands."),
            Column("By", ".spec.decision.by", "Who decided."),
            _AGE,
            Column("Deadline", ".spec.deadline", "When it is too late to decide.", wide=True),
        ),
    ),
    Kind(
        "Trigger",
        "triggers",
        "cttr",
        "Trigger is what starts Executions of a Workflow by itself: at the times of a schedule.",
        TriggerSpec,
        TriggerStatus,
        (
            Column("Workflow", ".spec.workflowRef.name", "Workflow that is run."),
            Column("Schedule", ".spec.cron.schedule", "When."),
            Column("Suspend", ".spec.suspend", "Whether nothing is started.", "boolean"),
            Column("Last", ".status.lastScheduleTime", "Time since the last start.", "date"),
            # Not a date: of those to come kubectl says <invalid>.
            Column("Next", ".status.nextScheduleTime", "When the next one starts."),
            _AGE,
            Column("Time Zone", ".spec.cron.timeZone", "Time zone of the schedule.", wide=True),
            _condition("Ready", "status", "Whether it can start anything.", wide=True),
            _condition("Message", "message", "Why not.", wide=True),
        ),
        longest_name=MAX_NAME,
    ),
)
