"""The Trigger resource: what starts executions of a workflow by itself."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints

from citadel.api.conditions import Condition
from citadel.api.meta import HistoryLimit, Model, NameRef
from citadel.api.schedules import parse_schedule, parse_zone

#: The names of its executions end in 11 characters at most, and are labels of 63.
MAX_NAME = 52
DECADE = 10 * 365 * 24 * 3600
_Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


_SUBSTITUTED = re.compile(r"(\$\$\{)|\$\{\s*trigger\.(name|scheduledTime)\s*\}|(\$\{[^}]{0,40}\}?)")


def substitute(value: Any, trigger: Mapping[str, str]) -> Any:
    """A JSON value in which `${trigger.…}` stands for what `trigger` has of this name, and `$${` for `${`.

    Raises ValueError for any other `${…}`: what starts an execution knows nothing else.
    """
    if isinstance(value, dict):
        return {key: substitute(item, trigger) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, trigger) for item in value]
    if isinstance(value, str):
        return _SUBSTITUTED.sub(lambda match: _stands_for(match, trigger), value)
    return value


def _stands_for(match: re.Match[str], trigger: Mapping[str, str]) -> str:
    literal, name, other = match.groups()
    if other is not None:
        raise ValueError(
            f"found {other}, expected ${{trigger.scheduledTime}} or ${{trigger.name}}; write $${{ for ${{"
        )
    return "${" if literal else trigger[name]


def _known(inputs: dict[str, Any]) -> dict[str, Any]:
    substitute(inputs, {"name": "", "scheduledTime": ""})
    return inputs


def _schedule(text: str) -> str:
    parse_schedule(text)
    return text


def _zone(name: str) -> str:
    parse_zone(name)
    return name


class Cron(Model):
    """Times at which executions start; fields and their meaning are those of a CronJob."""

    schedule: Annotated[str, StringConstraints(min_length=1, max_length=256), AfterValidator(_schedule)]
    """Minute, hour, day of month, month, day of week, as 30 2 * * 1-5; or @hourly, @daily, @weekly, @monthly,
    @yearly."""
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_zone)] = "UTC"
    """Time zone of the schedule, a name of the IANA database."""
    concurrency_policy: Literal["Allow", "Forbid", "Replace"] = "Allow"
    """What a time means while an execution of this trigger runs: Allow starts another, Forbid waits until it
    has ended, Replace cancels it."""
    starting_deadline_seconds: Annotated[int, Field(ge=0, le=DECADE)] | None = None
    """How late an execution may start; without it, any time later than the last start."""


class TriggerSpec(Model):
    """Which workflow is executed, on what, and when."""

    workflow_ref: NameRef
    """Workflow of the same namespace."""
    inputs: Annotated[dict[str, Any], Field(max_length=128), AfterValidator(_known)] = Field(
        default_factory=dict
    )
    """Inputs by name: JSON, with trigger.name and trigger.scheduledTime in dollar-brace form."""
    suspend: bool = False
    """While true, nothing starts; what runs goes on. Times that come meanwhile count as missed."""
    cron: Cron
    """Times at which executions start."""
    successful_executions_history_limit: HistoryLimit = 3
    """How many executions that succeeded are kept as objects."""
    failed_executions_history_limit: HistoryLimit = 1
    """How many executions that ended otherwise are kept as objects."""


class ActiveExecution(Model):
    """An execution that has not ended."""

    name: Annotated[str, StringConstraints(max_length=253)]
    """Name of the Execution."""
    uid: Annotated[str, StringConstraints(max_length=64)]
    """Its uid."""


class TriggerStatus(Model):
    """What the trigger did, and does next."""

    observed_generation: int = Field(default=0, ge=0)
    """Generation of the spec this status was derived from."""
    last_schedule_time: _Time | None = None
    """Latest time of the schedule for which an execution was started."""
    last_successful_time: _Time | None = None
    """When an execution of this trigger last succeeded."""
    next_schedule_time: _Time | None = None
    """Next time of the schedule; absent while suspended."""
    active: Annotated[
        tuple[ActiveExecution, ...], Field(max_length=20, json_schema_extra={"map": "name"})
    ] = ()
    """Executions that have not ended; the newest 20."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=8, json_schema_extra={"map": "type"})] = ()
    """Ready, and Stalled where only an edit can help."""
