"""The Execution that a Trigger starts. Pure: its name and time are arguments."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from citadel.api.meta import API_VERSION, SCHEDULED_ANNOTATION, TRIGGER_LABEL
from citadel.api.trigger import TriggerSpec, substitute


def execution_of(
    spec: TriggerSpec, trigger: str, namespace: str, name: str, scheduled: datetime
) -> dict[str, Any]:
    """The Execution of a time of a Trigger. Nobody owns it: what ran outlives what started it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Execution",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {TRIGGER_LABEL: trigger},
            "annotations": {SCHEDULED_ANNOTATION: _in_its_zone(spec, scheduled)},
        },
        "spec": {
            "workflowRef": {"name": spec.workflow_ref.name},
            "inputs": inputs_at(spec, trigger, scheduled),
        },
    }


def inputs_at(spec: TriggerSpec, trigger: str, scheduled: datetime) -> dict[str, Any]:
    """The inputs of the execution of a time."""
    known = {"name": trigger, "scheduledTime": _in_its_zone(spec, scheduled)}
    found: dict[str, Any] = substitute(spec.inputs, known)
    return found


def _in_its_zone(spec: TriggerSpec, at: datetime) -> str:
    """As a CronJob's annotation: what the clock of its zone shows, with the offset."""
    text = at.astimezone(ZoneInfo(spec.cron.time_zone)).isoformat(timespec="seconds")
    return text.replace("+00:00", "Z")
