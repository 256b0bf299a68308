"""Executions as the API tells them: every step of one, and in the archive the objects that they were."""

import time
from dataclasses import asdict
from typing import Any

from citadel.core.events import Usage
from citadel.core.state import State, StepState
from citadel.core.state import listed as steps_in_order
from citadel.core.summary import summarise
from citadel.core.telling import Told, news, told
from citadel.core.tickets import Standing, Ticket, position
from citadel.kube.resources import EXECUTIONS
from citadel.render.status import Observed, execution_status, timestamp, usage_summary
from citadel.store.archive import Archived
from citadel.store.journal import Journal, json_of

#: Executions of the archive that one answer lists.
MOST_LISTED = 500
#: What a status says of the object rather than of what ran.
_OF_THE_OBJECT = ("observedGeneration", "conditions")


def described(state: State) -> dict[str, Any]:
    """An execution and all its steps, for views on it."""
    steps = [_described(state, name, step) for name, step in steps_in_order(state)]
    return _in_short(state) | {"steps": steps}


def changed(before: State, state: State, told_of: State | None = None) -> dict[str, Any]:
    """An execution, and those of its steps that differ from how they were before, as `told_of` has them."""
    about = told_of or state
    steps = [_step(told(about, step.name, about.steps[step.name])) for step in news(before, state)]
    return _in_short(about) | {"steps": steps}


def _in_short(state: State) -> dict[str, Any]:
    summary = summarise(state)
    return {
        "phase": summary.phase,
        "reason": summary.reason,
        "message": summary.message,
        "startedAt": state.created_at,
        "finishedAt": state.finished_at,
        "done": state.ended_steps,
        "total": state.total_steps,
        "now": time.time(),
        "usage": _usage(state.usage),
    }


def queued(ticket: Ticket, standing: Standing) -> dict[str, Any]:
    """What there is to say of one that waits for its turn. No status says it, as it changes too often."""
    queue = {
        "group": ticket.group,
        "limit": ticket.limit,
        "position": standing.ahead + 1,
        "of": standing.ahead + 1 + standing.behind,
        "running": [holder.name for holder in standing.holders],
    }
    return {"message": position(standing, ticket), "queue": queue}


def _described(state: State, name: str, step: StepState) -> dict[str, Any]:
    artifacts = {left: asdict(content) for left, content in step.artifacts.items()}
    more = {"sandbox": step.sandbox, "artifacts": artifacts, "usage": _usage(step.usage)}
    return _step(told(state, name, step)) | more


def _step(step: Told) -> dict[str, Any]:
    found = {
        "name": step.name,
        "status": step.status,
        "attempt": step.attempt,
        "reason": step.reason or None,
        "message": step.message or None,
        "startedAt": step.started,
        "finishedAt": step.finished,
        "index": step.index,
    }
    tries = [
        {"readyAt": one.ready_at, "beganAt": one.began_at, "endedAt": one.ended_at, "reason": one.reason}
        for one in step.tries
    ]
    more = {
        "readyAt": step.ready,
        "beganAt": step.began,
        "tries": tries or None,
        "total": step.total,
        "finally": step.final or None,
        "execution": step.execution or None,
        "action": step.action or None,
    }
    return found | {key: value for key, value in more.items() if value is not None}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    found = usage_summary(usage)
    return None if found is None else found.model_dump(mode="json", by_alias=True)


def listed(row: Archived) -> dict[str, Any]:
    """An execution of the archive, in the shape of the object that it was."""
    status = {
        "phase": row.phase,
        "reason": row.reason,
        "message": row.message,
        "progress": {"done": row.done, "total": row.total, "text": f"{row.done}/{row.total}"},
        "startedAt": timestamp(row.created_at),
        "finishedAt": None if row.finished_at is None else timestamp(row.finished_at),
    }
    spec = {"workflowRef": {"name": row.workflow}}
    return _object(row.uid, row.namespace, row.name, row.created_at, spec, status)


async def object_of(state: State, journal: Journal) -> dict[str, Any]:
    """The object that an execution was: what was asked, and how it ended."""
    start = state.created or state.rejected
    assert start is not None
    spec: dict[str, Any] = {"workflowRef": {"name": start.workflow}}
    outputs: Any = None
    if state.created is not None:
        if state.created.rerun_of is not None:
            spec["rerunOf"] = {"name": state.created.rerun_of}
        spec["inputs"] = await json_of(journal, start.uid, state.created.inputs)
    if state.finished is not None and state.finished.outputs is not None:
        outputs = await json_of(journal, start.uid, state.finished.outputs)
    status = execution_status(Observed(state, 0, outputs=outputs))
    kept = {key: value for key, value in status.items() if key not in _OF_THE_OBJECT}
    return _object(start.uid, start.namespace, start.name, state.created_at, spec, kept)


def _object(
    uid: str, namespace: str, name: str, created_at: float, spec: dict[str, Any], status: dict[str, Any]
) -> dict[str, Any]:
    made = timestamp(created_at)
    return {
        "apiVersion": EXECUTIONS.api_version,
        "kind": "Execution",
        "metadata": {"name": name, "namespace": namespace, "uid": uid, "creationTimestamp": made},
        "spec": spec,
        "status": {key: value for key, value in status.items() if value is not None},
    }
