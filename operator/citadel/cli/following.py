"""An execution of the cluster as it runs: the object's watch tells phase and end, the api tells the steps.

Reads only. Without the api (no right to forward a port) it shows what the object's status names.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from citadel.api.reasons import Phase
from citadel.cli.changes import Steps, ahead_of
from citadel.cli.remote import Cluster, ExitCode, Refused
from citadel.cli.showing import Show
from citadel.cli.steps import Tree, View, rows_of_json, seconds_of

if TYPE_CHECKING:
    from citadel.cli.tunnel import Api
    from citadel.kube.resources import Object

#: Seconds after which a view is shown again though nothing has changed but the time.
_LOOK = 1.0
#: Seconds for which the api may still tell the last of an execution that has ended.
_LAST = 20.0
#: Seconds for which a cluster that does not answer is asked again.
_PATIENCE = 60.0
#: How deep executions within executions are shown unless somebody says otherwise.
DEPTH = 1


def ended(execution: Mapping[str, Any]) -> bool:
    """Whether nothing more will happen to an Execution."""
    phase = (execution.get("status") or {}).get("phase")
    return phase in [known.value for known in Phase if known.terminal]


def exit_code(execution: Mapping[str, Any]) -> ExitCode:
    """What a command ends with that waited for this Execution."""
    succeeded = (execution.get("status") or {}).get("phase") == Phase.SUCCEEDED.value
    return ExitCode.OK if succeeded else ExitCode.FAILED


def view_of(
    execution: Mapping[str, Any], journal: Mapping[str, Any] | None = None, steps: Steps | None = None
) -> View:
    """An Execution for people; without what the journal has of it, the steps that its status names.

    `steps` are followed, and are those of the journal where that has any.
    """
    status = execution.get("status") or {}
    more = journal or {}
    counted = (status.get("progress") or {}).get("text")
    if more:
        counted = f"{more['done']}/{more['total']}" if more.get("total") else None
    if more and steps is not None:
        tree, ahead = steps.tree, steps.ahead
    else:
        tree, ahead = Tree(rows_of_json((more or status).get("steps") or ())), ahead_of(more)
    return View(
        name=execution["metadata"]["name"],
        phase=str(status.get("phase") or Phase.PENDING.value),
        reason=str(status.get("reason") or ""),
        message=str((more.get("message") if "queue" in more else None) or status.get("message") or ""),
        started=seconds_of(more.get("startedAt") or status.get("startedAt")),
        finished=seconds_of(more.get("finishedAt") or status.get("finishedAt")),
        steps=tree,
        counted=str(counted or ""),
        ahead=ahead,
    )


async def read_journal(api: "Api", name: str) -> dict[str, Any] | None:
    """An execution with every step, as the journal has it; None before it has started.

    Raises Refused, and TunnelClosed when the api does not answer twice.
    """
    from citadel.cli.tunnel import NotStarted, TunnelClosed

    for again in (True, False):
        try:
            return dict(await api.get(name))
        except NotStarted:
            return None
        except TunnelClosed:
            if not again:
                raise
    return None


async def wait_for_end(cluster: Cluster, api: "Api", name: str, show: Show, depth: int = DEPTH) -> "Object":
    """Shows an execution until it has ended; returns the object then. Raises Refused when it is deleted."""
    latest: Object = await cluster.execution(name)
    changed = asyncio.Event()

    async def watch() -> None:
        nonlocal latest
        async for found in observed(cluster, latest):
            latest = found
            changed.set()

    steps = Steps(api, name, depth, changed)
    watching = asyncio.create_task(watch())
    telling = asyncio.create_task(_told(steps))
    view = view_of(latest)
    try:
        while True:
            over = ended(latest)
            for task in (watching, telling):
                # One that has ended may go at once, as its ttlSecondsAfterFinished says: no matter then.
                if task.done() and not over:
                    task.result()
            changed.clear()
            if over:
                steps.over.set()
                await asyncio.wait((telling,), timeout=_LAST)
            # An end of which the journal has not told is shown as the status has it.
            known = steps.head if not over or (telling.done() and telling.result()) else None
            view = view_of(latest, known, steps)
            if over:
                return latest
            show.update(view)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await changed.wait()
    finally:
        for task in (watching, telling):
            task.cancel()
        await asyncio.gather(watching, telling, return_exceptions=True)
        show.close(view)


def goes_on(namespace: str, name: str) -> str:
    """What somebody is told who does not wait for the end."""
    where = f"-n {namespace} {name}"
    return f"\nexecution {name} goes on: `citadel watch {where}`, `citadel cancel {where}`"


async def _told(steps: Steps) -> bool:
    """Follows the steps to their end; False when the api tells them no more."""
    try:
        await steps.follow()
    except Refused as error:
        click.echo(f"citadel: only steps that the status names are shown: {error}", err=True)
        steps.head = None
        return False
    return True


async def observed(cluster: Cluster, execution: "Object") -> AsyncIterator["Object"]:
    """The object each time it changes; raises Refused when it is deleted, ApiError when nobody answers."""
    from citadel.kube.errors import Gone, Unavailable
    from citadel.kube.resources import EXECUTIONS

    name, uid = execution["metadata"]["name"], execution["metadata"]["uid"]
    version = str(execution["metadata"]["resourceVersion"])
    give_up: float | None = None
    while True:
        try:
            async for event in cluster.kube.watch(
                EXECUTIONS,
                cluster.namespace,
                resource_version=version,
                field_selector=f"metadata.name={name}",
            ):
                give_up = None
                version = event.resource_version or version
                if event.type == "BOOKMARK":
                    continue
                if event.type == "DELETED" or event.object["metadata"]["uid"] != uid:
                    raise Refused(f"execution {name} was deleted before it ended", ExitCode.FAILED)
                yield event.object
            continue
        except Gone:
            pass
        except Unavailable:
            give_up = give_up or time.monotonic() + _PATIENCE
            if time.monotonic() > give_up:
                raise
            await asyncio.sleep(1.0)
            continue
        found = await cluster.execution(name)
        version = str(found["metadata"]["resourceVersion"])
        yield found
