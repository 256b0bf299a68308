"""Writes what one advance came to, inside its transaction. Decides nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from citadel.core import events as ev
from citadel.core.jsonvalues import canonical
from citadel.core.values import Inline
from citadel.store.calls import PlacedCall
from citadel.store.recalling import Memory
from citadel.store.rows import Changes, ExecutionRow
from citadel.store.sql import tables as t
from citadel.store.sql.announcing import payloads
from citadel.store.sql.conversations import append
from citadel.store.sql.engine import Connection
from citadel.store.sql.statements import CALL, EVENT, STEP, VALUE, Statements, columns_of


async def write(
    connection: Connection,
    statements: Statements,
    changes: Changes,
    log: Sequence[Mapping[str, Any]],
    values: Mapping[str, bytes],
    calls: Sequence[PlacedCall],
) -> None:
    """Writes an advance: `log` its events, `values` digest -> canonical JSON, `calls` of tools."""
    uid = changes.execution.uid
    rows = [{"uid": uid, "digest": digest, "body": body} for digest, body in values.items()]
    steps = [vars(step) for step in changes.steps]
    parameters = _renamed(changes.execution, "uid")
    if statements.postgres:
        parameters["notices"] = payloads(changes.notices)
        written = []
        for table, names, found in (
            (t.events, EVENT, log),
            (t.values, VALUE, rows),
            (t.steps, STEP, steps),
            (t.tool_calls, CALL, [_call_row(call) for call in calls]),
        ):
            if found:
                written.append(table.name)
                parameters |= columns_of(table, names, found)
        await connection.execute(statements.usual(*written), parameters)
    else:
        for statement, many in (
            (statements.new_events, log),
            (statements.new_value, rows),
            (statements.step, steps),
        ):
            if many:
                await connection.execute(statement, many)
        await connection.execute(statements.execution, parameters)
    if changes.wanted:
        await connection.execute(statements.new_sandbox, [asdict(row) for row in changes.wanted])
    if changes.draining:
        drained = [
            {"of_name": name, "new_immediate": at_once} for name, at_once in sorted(changes.draining.items())
        ]
        await connection.execute(statements.drain, drained)
    if changes.delivered:
        await connection.execute(statements.no_delivery, {"of_sandboxes": changes.delivered})
    for delivery in changes.deliveries:
        row = asdict(delivery)
        news = {f"new_{name}": value for name, value in row.items() if name != "sandbox"}
        await connection.execute(statements.new_delivery, row | news)
    if changes.builds:
        built = [
            {
                "namespace": build.key.namespace,
                "key": build.key.digest,
                "program": build.program.digest,
                "size": build.program.size,
            }
            for build in changes.builds
        ]
        await connection.execute(statements.new_build, built)
    if changes.recalled:
        noted = [
            {
                "uid": item.uid,
                "step": item.step,
                "attempt": 0,
                "name": item.name,
                "namespace": item.namespace,
                "digest": item.content.digest,
                "size": item.content.size,
            }
            for item in changes.recalled
        ]
        await connection.execute(statements.new_artifacts, noted)
    for approval in changes.approvals:
        row = asdict(approval)
        del row["object"]  # which is for the controller to say
        news = {f"new_{name}": row[name] for name in ("phase", "ended_at", "decided_by", "reason")}
        await connection.execute(statements.approval, row | news)
    for memory in changes.memories:
        await _remember(connection, statements, memory, values)
    for answered in changes.answered:
        await append(connection, answered, values, postgres=statements.postgres)


def _call_row(call: PlacedCall) -> dict[str, Any]:
    """What a call begins with; the rest is its holder's."""
    fields = ("uid", "step", "attempt", "namespace")
    return {name: getattr(call, name) for name in fields} | {
        "body": dict(call.body),
        "hosts": list(call.hosts),
    }


async def _remember(
    connection: Connection, statements: Statements, memory: Memory, values: Mapping[str, bytes]
) -> None:
    """The first stays while it is valid: the two are as good."""
    output, key = memory.output, {"namespace": memory.key.namespace, "key": memory.key.digest}
    of_key = {f"of_{name}": value for name, value in key.items()} | {"of_seconds": memory.seconds}
    body = canonical(output.value) if isinstance(output, Inline) else values[output.digest]
    await connection.execute(statements.outdated, of_key)
    row = {**key, "output": body, "execution": memory.execution, "of_seconds": memory.seconds}
    await connection.execute(statements.new_cached, row)
    if memory.artifacts:
        left = [{**key, "name": name, **asdict(content)} for name, content in memory.artifacts.items()]
        await connection.execute(statements.new_cached_artifacts, left)


def _renamed(row: ExecutionRow, key: str) -> dict[str, Any]:
    found = {f"new_{name}": value for name, value in vars(row).items()}
    found[f"of_{key}"] = found.pop(f"new_{key}")
    for fixed in ("namespace", "name", "workflow", "definition"):
        del found[f"new_{fixed}"]
    return found


def new_execution(start: ev.Created | ev.Rejected) -> dict[str, Any]:
    """The row with which an execution begins; the advance that makes it fills in the rest."""
    return {
        "uid": start.uid,
        "namespace": start.namespace,
        "name": start.name,
        "workflow": start.workflow,
        "definition": start.definition if isinstance(start, ev.Created) else None,
        "seq": 0,
        "phase": "Pending",
        "reason": "",
        "message": "",
        "suspended": False,
        "done": 0,
        "total": 0,
        "created_at": 0.0,
        "changed_at": 0.0,
    }
