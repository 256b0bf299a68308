"""An execution of the cluster as it runs: the object's watch says that something changed, the api says what.

Reads only. Without the api (no right to forward a port) it shows what the object's status names.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import click

from citadel.api.reasons import Phase
from citadel.cli.remote import Cluster, ExitCode, Refused
from citadel.cli.steps import StepRow, View, lasted, render, rows_of_json, seconds_of
from citadel.cli.terminal import one_line

if TYPE_CHECKING:
    from rich.console import Console

    from citadel.cli.tunnel import Api
    from citadel.kube.resources import Object

#: Seconds between two looks while something is shown.
_LOOK = 0.5
#: Seconds for which a cluster that does not answer is asked again.
_PATIENCE = 60.0


class Show(Protocol):
    """Where a view goes."""

    def update(self, view: View) -> None:
        """How the execution stands now."""

    def close(self, view: View) -> None:
        """How it ended, or how it stood last."""


def ended(execution: Mapping[str, Any]) -> bool:
    """Whether nothing more will happen to an Execution."""
    phase = (execution.get("status") or {}).get("phase")
    return phase in [known.value for known in Phase if known.terminal]


def exit_code(execution: Mapping[str, Any]) -> ExitCode:
    """What a command ends with that waited for this Execution."""
    succeeded = (execution.get("status") or {}).get("phase") == Phase.SUCCEEDED.value
    return ExitCode.OK if succeeded else ExitCode.FAILED


def view_of(execution: Mapping[str, Any], journal: Mapping[str, Any] | None = None) -> View:
    """An Execution for people; without what the journal has of it, the steps that its status names."""
    status = execution.get("status") or {}
    more = journal or {}
    return View(
        name=execution["metadata"]["name"],
        phase=str(status.get("phase") or Phase.PENDING.value),
        reason=str(status.get("reason") or ""),
        message=str(status.get("message") or ""),
        started=seconds_of(more.get("startedAt") or status.get("startedAt")),
        finished=seconds_of(more.get("finishedAt") or status.get("finishedAt")),
        steps=rows_of_json((more if more else status).get("steps") or ()),
        counted="" if more else str((status.get("progress") or {}).get("text") or ""),
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


class _Journal:
    """What the journal has of an execution, as far as the api tells it."""

    def __init__(self, api: "Api", name: str) -> None:
        self._api, self._name = api, name
        self._useful = True
        self._known: dict[str, Any] | None = None

    async def read(self, last: bool) -> dict[str, Any] | None:
        """What it has now; from an api that is only away what it had before, but never at the end."""
        from citadel.cli.tunnel import TunnelClosed

        if not self._useful:
            return None
        try:
            self._known = await read_journal(self._api, self._name)
        except TunnelClosed:
            return None if last else self._known
        except Refused as error:
            self._useful = False
            self._known = None
            click.echo(f"citadel: only steps that the status names are shown: {error}", err=True)
        return self._known


async def wait_for_end(cluster: Cluster, api: "Api", name: str, show: Show) -> "Object":
    """Shows an execution until it has ended; returns the object then. Raises Refused when it is deleted."""
    latest: Object = await cluster.execution(name)
    changed = asyncio.Event()
    changed.set()

    async def watch() -> None:
        nonlocal latest
        async for found in observed(cluster, latest):
            latest = found
            changed.set()

    watching = asyncio.create_task(watch())
    journal = _Journal(api, name)
    known: dict[str, Any] | None = None
    view = view_of(latest)
    try:
        while True:
            if watching.done():
                await watching
            news, over = changed.is_set(), ended(latest)
            changed.clear()
            if news:
                known = await journal.read(over)
            view = view_of(latest, known)
            if over:
                return latest
            show.update(view)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await changed.wait()
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        show.close(view)


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


class Live:
    """The view in place, on a terminal."""

    def __init__(self, console: "Console") -> None:
        from rich.live import Live as RichLive

        self._console = console
        self._live = RichLive(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def update(self, view: View) -> None:
        self._live.update(render(view, time.time(), self._console.height - 1), refresh=True)

    def close(self, view: View) -> None:
        self._live.stop()
        self._console.print(render(view, time.time()))


class Lines:
    """One line for each change of a step, where nothing can be redrawn."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._told: dict[str, tuple[str, int]] = {}

    def update(self, view: View) -> None:
        for row in view.steps:
            now = (row.status, row.attempt)
            if self._told.get(row.name, ("Pending", 0)) != now and row.status != "Ready":
                self._write(_told(row))
            self._told[row.name] = now

    def close(self, view: View) -> None:
        self.update(view)
        told = (view.phase, view.progress, lasted(view.started, view.finished, time.time()))
        message = f": {one_line(view.message)}" if view.message else ""
        self._write(f"{view.name}  {'  '.join(part for part in told if part)}{message}")


def _told(row: StepRow) -> str:
    attempt = f" (attempt {row.attempt})" if row.attempt > 1 else ""
    took = f"  {lasted(row.started, row.finished, time.time())}" if row.finished and row.started else ""
    why = ": ".join(one_line(part) for part in (row.reason, row.message) if part)
    return f"{one_line(row.name)}  {row.status}{attempt}{took}" + (f"  {why}" if why else "")


def show_on_stderr() -> Show:
    """A live view where the standard error is a terminal, else lines: the standard output is for outputs."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        return Live(console)
    return Lines(lambda line: click.echo(line, err=True))
