"""What the API server checks beyond types: CEL rules on the models, written into the CRDs.

Every rule here restates what the models check themselves, or guards a change, which a model cannot see.
"""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from citadel.api.actions import EnvVar, Run, Wait
from citadel.api.agent import AgentBudget, AgentSpec, AgentTool
from citadel.api.approval import ApprovalSpec
from citadel.api.budget import Budget, DailyBudget
from citadel.api.execution import ExecutionSpec, RerunOf
from citadel.api.meta import STEP_NAME_PATTERN
from citadel.api.model import ModelSpec
from citadel.api.packages import ECOSYSTEMS
from citadel.api.policy import LabelRequirement, RuntimeClassRules
from citadel.api.runtime import Pool, RuntimeSpec
from citadel.api.step import ACTIONS, Compensate, Step
from citadel.api.tool import KINDS as TOOL_KINDS
from citadel.api.tool import ToolSpec
from citadel.api.trigger import Cron

#: Fields of an Execution's spec that may change after it was created.
MUTABLE = frozenset({"stop", "suspend"})
#: The same of an Approval's: it is set once.
DECIDED = frozenset({"decision"})


@dataclass(frozen=True)
class Rule:
    """One CEL rule: true if the object may be stored; else `message`, at `path` below the model."""

    expression: str
    message: str
    path: str | None = None
    one_of: tuple[str, ...] = ()
    """Fields of which exactly one is given, where that is what the rule says."""

    def on_the_wire(self) -> dict[str, Any]:
        """As an item of x-kubernetes-validations."""
        wire = {"rule": self.expression, "message": self.message}
        return wire if self.path is None else {**wire, "fieldPath": self.path}


def rules(model: type[BaseModel]) -> tuple[Rule, ...]:
    """The rules that a model's objects are held to."""
    if model is Step:
        return (_ONE_ACTION, _STEP_NAME)
    if model is Run:
        return (_ONE_SOURCE,)
    if model is Wait:
        return (_ONE_REASON,)
    if model is Compensate:
        return (_ONE_REMEDY,)
    if model is EnvVar:
        return (_NOT_RESERVED,)
    if model is RuntimeSpec:
        return (*_OWN_PACKAGES, _NOT_OF_THE_SYSTEM)
    if model is LabelRequirement:
        return (_VALUES_FIT,)
    if model is RuntimeClassRules:
        return (_ALLOWS_ITS_OWN,)
    if model is Pool:
        return (_POOL_ORDER,)
    if model is ModelSpec:
        return _FITS_ITS_PROVIDER
    if model is AgentSpec:
        return (_TOLD_ONCE,)
    if model is AgentTool:
        return (_ONE_TARGET, _NOT_BESIDE)
    if model is ToolSpec:
        return (_ONE_KIND,)
    if model is AgentBudget:
        return (_BOUNDS_AN_AGENT,)
    if model is Budget:
        return (_BOUNDS_SOMETHING,)
    if model is DailyBudget:
        return (_BOUNDS_A_DAY,)
    if model is ExecutionSpec:
        return (
            *_immutable(model, MUTABLE, "create another Execution instead"),
            _STOP_ESCALATES,
            _RERUN_BY_ITS_OWN,
        )
    if model is RerunOf:
        return (_ONE_POINT,)
    if model is Cron:
        return (_NO_ZONE,)
    if model is ApprovalSpec:
        return (*_immutable(model, DECIDED, "only the decision is yours"), *_ONE_DECISION)
    return ()


def _exactly_one(fields: tuple[str, ...], message: str) -> Rule:
    """Exactly one of these fields is given."""
    # A word that CEL keeps for itself is written so in rules.
    spelt = (f"__{field}__" if field == "for" else field for field in fields)
    expression = " + ".join(f"(has(self.{field}) ? 1 : 0)" for field in spelt) + " == 1"
    return Rule(expression, message, one_of=fields)


_ONE_ACTION = _exactly_one(ACTIONS, f"expected exactly one action of {', '.join(ACTIONS)}")
_STEP_NAME = Rule(
    f"self.name.matches('{STEP_NAME_PATTERN}')",
    "expected a step name: a letter, then at most 62 letters, digits or _",
    ".name",
)
_ONE_SOURCE = _exactly_one(
    ("code", "codeFrom", "entrypoint"), "expected exactly one of code, codeFrom and entrypoint"
)
_ONE_REASON = _exactly_one(("for", "until", "signal"), "expected exactly one of for, until and signal")
_ONE_REMEDY = _exactly_one(
    ("run", "container", "workflow"), "expected exactly one of run, container and workflow"
)
_NOT_RESERVED = Rule(
    "!self.name.startsWith('CITADEL_')", "expected a name without the reserved prefix CITADEL_", ".name"
)
_NOT_OF_THE_SYSTEM = Rule(
    "!has(self.priorityClassName) || !self.priorityClassName.startsWith('system-')",
    "expected a PriorityClass that is not the cluster's own (system-…)",
    ".priorityClassName",
)
_OWN_PACKAGES = tuple(
    Rule(
        f"!has(self.packages) || !has(self.packages.{ecosystem}) || size(self.packages.{ecosystem}) == 0"
        f" || self.language == '{language}'",
        f"packages.{ecosystem} is for the language {language} alone",
        ".packages",
    )
    for language, ecosystem in ECOSYSTEMS.items()
)
_VALUES_FIT = Rule(
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
    "expected values with In and NotIn, and none with Exists and DoesNotExist",
    ".values",
)
_ALLOWS_ITS_OWN = Rule(
    "!has(self.name) || !has(self.allowed) || self.name in self.allowed", "expected name to be one of allowed"
)
_POOL_ORDER = Rule("self.min <= self.max", "expected a min of at most max", ".min")
_NO_ZONE = Rule(
    "!self.schedule.contains('TZ')",
    "expected a schedule without a time zone, which goes into timeZone",
    ".schedule",
)
_FITS_ITS_PROVIDER = (
    Rule(
        "self.provider == 'scripted' || has(self.model)",
        "expected what the provider calls the model",
        ".model",
    ),
    Rule(
        "self.provider != 'bedrock' || has(self.endpoint)",
        "expected where the provider bedrock answers, which depends on the region",
        ".endpoint",
    ),
    Rule(
        "(self.provider == 'scripted') == (has(self.script) && size(self.script) > 0)",
        "expected a script of at least one answer for the provider scripted, and none for any other",
        ".script",
    ),
    Rule(
        "self.provider != 'scripted' || !has(self.endpoint) && !has(self.credential)",
        "endpoint and credential mean nothing for the provider scripted",
    ),
    Rule(
        "!has(self.credential) || !has(self.endpoint) || self.endpoint.startsWith('https:')",
        "found a credential and an endpoint without TLS, expected https",
        ".endpoint",
    ),
)
_TOLD_ONCE = Rule(
    "!has(self.system) || !has(self.systemFrom)", "expected at most one of system and systemFrom"
)
_ONE_TARGET = _exactly_one(("tool", "agent"), "expected exactly one of tool and agent")
_NOT_BESIDE = Rule(
    "!(self.name in ['compensate', 'onError', 'refused'])", "expected a name that is not reserved", ".name"
)
_ONE_KIND = _exactly_one(TOOL_KINDS, f"expected exactly one of {', '.join(TOOL_KINDS)}")
_BOUNDS_AN_AGENT = Rule(
    "has(self.cost) || has(self.tokens) || has(self.costPerDay) || has(self.tokensPerDay)",
    "expected cost, tokens, costPerDay or tokensPerDay",
)
_BOUNDS_SOMETHING = Rule("has(self.cost) || has(self.tokens)", "expected cost or tokens")
_BOUNDS_A_DAY = Rule("has(self.costPerDay) || has(self.tokensPerDay)", "expected costPerDay or tokensPerDay")
_STOP_ESCALATES = Rule(
    "!has(oldSelf.stop) || has(self.stop) && (self.stop == oldSelf.stop || oldSelf.stop == 'Cancel')",
    "stop may be set, and raised from Cancel to Terminate, but never taken back",
    ".stop",
)
_RERUN_BY_ITS_OWN = Rule(
    "!has(self.rerunOf) || !has(self.workflowRef.revision)",
    "expected no workflowRef.revision: rerunOf.definition says by what a rerun runs",
    ".workflowRef",
)
_ONE_POINT = Rule(
    "!has(self.from) || !has(self.failed) || !self.failed", "expected one of from and failed, found both"
)
_ONE_DECISION = (
    Rule(
        "!has(oldSelf.decision) || has(self.decision) && self.decision == oldSelf.decision",
        "a decision is set once; it can be neither changed nor taken back",
        ".decision",
    ),
    Rule(
        "!has(self.decision) || self.decision.digest == self.digest",
        "expected the digest of this Approval: decide what you have seen",
        ".decision.digest",
    ),
    Rule(
        "!has(self.decision) || !self.reasonRequired"
        " || has(self.decision.reason) && size(self.decision.reason.trim()) > 0",
        "expected a reason: this Approval requires one",
        ".decision.reason",
    ),
    Rule(
        "!has(self.decision) || !has(self.decision.form) || has(self.form)",
        "this Approval has no form to be filled in",
        ".decision.form",
    ),
)


def _immutable(model: type[BaseModel], mutable: frozenset[str], instead: str) -> tuple[Rule, ...]:
    """One rule for each field that may not change: a field added later is immutable by itself."""
    fields = [info.alias or name for name, info in model.model_fields.items()]
    return tuple(
        Rule(
            f"has(self.{field}) == has(oldSelf.{field})"
            f" && (!has(self.{field}) || self.{field} == oldSelf.{field})",
            f"{field} cannot be changed after creation; {instead}",
            f".{field}",
        )
        for field in fields
        if field not in mutable
    )
