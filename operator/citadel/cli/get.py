"""`citadel get`: executions, or one of them with all its steps, or what it gave."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from citadel.cli import completing
from citadel.cli.archive import archived_option, list_archived, read_archived
from citadel.cli.drawing import Frame, render
from citadel.cli.following import ended, exit_code, read_journal, view_of
from citadel.cli.places import places_of
from citadel.cli.remote import (
    Cluster,
    ExitCode,
    Refused,
    Target,
    connect,
    finish,
    object_name,
    target_options,
)
from citadel.cli.steps import duration, lasted, seconds_of
from citadel.cli.terminal import one_line, safe
from citadel.store.revisions import short

if TYPE_CHECKING:
    from citadel.cli.tunnel import Api
    from citadel.kube.resources import Object

_COLUMNS = ("NAME", "WORKFLOW", "PHASE", "REASON", "PROGRESS", "DURATION", "AGE")
_COLOURS = {"Succeeded": "green", "Failed": "red", "TimedOut": "red", "Running": "cyan", "Waiting": "yellow"}


@click.command()
@click.argument("execution", required=False, shell_complete=completing.executions)
@click.option("-A", "--all-namespaces", is_flag=True, help="List the executions of all namespaces.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["json"]),
    help="JSON as kubectl gives it; EXECUTION with all its steps.",
)
@click.option("--outputs", is_flag=True, help="Only what EXECUTION gave, in full, as JSON.")
@click.option(
    "--step",
    metavar="NAME",
    shell_complete=completing.steps,
    help="With --outputs: what this step gave.",
)
@archived_option
@target_options
def get(
    execution: str | None,
    all_namespaces: bool,
    output: str | None,
    outputs: bool,
    step: str | None,
    archived: bool,
    target: Target,
) -> None:
    """List executions, or show EXECUTION with all its steps."""
    if execution is None and (outputs or step):
        raise click.UsageError("--outputs and --step need the name of an EXECUTION")
    if step and not outputs:
        raise click.UsageError("--step goes with --outputs")
    if execution is not None and all_namespaces:
        raise click.UsageError("EXECUTION is of one namespace: leave out --all-namespaces")
    if archived and all_namespaces:
        raise click.UsageError("the archive is of one namespace: leave out --all-namespaces")
    if execution is None:
        finish(_list(target, all_namespaces, output == "json", archived))
    elif outputs:
        finish(_outputs(target, execution, step, archived))
    else:
        finish(_one(target, execution, output == "json", archived))


async def _items(cluster: Cluster, everywhere: bool, archived: bool) -> list["Object"]:
    from citadel.cli.tunnel import open_api
    from citadel.kube.resources import EXECUTIONS

    if archived:
        async with open_api(cluster, archived=True) as api:
            return await list_archived(api)
    return (await cluster.kube.list(EXECUTIONS, None if everywhere else cluster.namespace)).items


async def _list(target: Target, everywhere: bool, as_json: bool, archived: bool) -> int:
    async with connect(target) as cluster:
        found = await _items(cluster, everywhere, archived)
        items = sorted(found, key=lambda item: str(item["metadata"].get("creationTimestamp")))
        if as_json:
            listed = [_without_bookkeeping(item) for item in items]
            _print_json({"apiVersion": "v1", "kind": "List", "items": listed})
        elif items:
            places = {} if everywhere or archived else await places_of(cluster, items)
            click.echo(table(items, time.time(), everywhere, colour=sys.stdout.isatty(), places=places))
        else:
            where = "any namespace" if everywhere else f"namespace {cluster.namespace}"
            what = "archived executions" if archived else "executions"
            click.echo(f"There are no {what} in {where}.", err=True)
    return ExitCode.OK


def table(
    items: Sequence["Object"],
    now: float,
    everywhere: bool,
    *,
    colour: bool = False,
    places: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Executions as columns, as kubectl would show them; `places` are those in queues, by name."""
    rows = [_COLUMNS, *(_row(item, now, places) for item in items)]
    if everywhere:
        spaces = ["NAMESPACE", *(item["metadata"]["namespace"] for item in items)]
        rows = [(space, *row) for space, row in zip(spaces, rows, strict=True)]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        if colour:
            cells = [
                click.style(cell, fg=_COLOURS[cell.strip()]) if cell.strip() in _COLOURS else cell
                for cell in cells
            ]
        lines.append("   ".join(cells).rstrip())
    return "\n".join(lines)


def _row(item: "Object", now: float, places: Mapping[str, str]) -> tuple[str, ...]:
    status, metadata = item.get("status") or {}, item["metadata"]
    created = seconds_of(metadata.get("creationTimestamp"))
    took = lasted(seconds_of(status.get("startedAt")), seconds_of(status.get("finishedAt")), now)
    cells = (
        metadata["name"],
        ((item.get("spec") or {}).get("workflowRef") or {}).get("name"),
        status.get("phase") or "Pending",
        f"{status.get('reason') or ''} {places.get(metadata['name'], '')}".rstrip(),
        (status.get("progress") or {}).get("text"),
        status.get("duration") or took,
        "" if created is None else _age(max(0, int(now - created))),
    )
    return tuple(one_line(str(cell)) if cell else "" for cell in cells)


def _age(seconds: int) -> str:
    return f"{seconds}s" if seconds < 60 else duration(seconds)


async def _one(target: Target, name: str, as_json: bool, archived: bool) -> int:
    from citadel.cli.tunnel import TunnelClosed, open_api

    async with connect(target) as cluster, open_api(cluster, archived=archived) as api:
        journal: dict[str, Any] | None = None
        if archived:
            found, journal = await read_archived(api, object_name("Execution", name))
        else:
            found = await cluster.execution(name)
            try:
                journal = await read_journal(api, name)
            except (Refused, TunnelClosed) as error:
                click.echo(f"citadel: only steps that the status names are shown: {error}", err=True)
        if as_json:
            _print_json(_with_steps(found, journal))
        else:
            _show(found, journal)
            if not ended(found):
                await _show_asked(cluster, name)
    return ExitCode.OK


async def _show_asked(cluster: Cluster, name: str) -> None:
    """The decisions that an execution waits for."""
    from citadel.cli.asking import approvers, pending
    from citadel.kube.errors import ApiError

    try:
        asked = await pending(cluster, name)
    except ApiError:
        return  # who may not look at Approvals sees that the step waits
    for item in asked:
        spec = item["spec"]
        step, command = one_line(spec["step"]), f"citadel approve {name} '{one_line(spec['step'])}'"
        click.echo(f"\nstep {step} waits for a decision by {one_line(approvers(spec))}: `{command}`")


def _show(found: "Object", journal: dict[str, Any] | None) -> None:
    from rich.console import Console

    console = Console(soft_wrap=not sys.stdout.isatty())
    status = found.get("status") or {}
    view = view_of(found, journal)
    frame = Frame(console.width if console.is_terminal else None, gantt=False)
    console.print(render(view, view.now, frame), soft_wrap=True)
    if status.get("definition"):
        workflow = ((found.get("spec") or {}).get("workflowRef") or {}).get("name")
        before = ((found.get("spec") or {}).get("rerunOf") or {}).get("name")
        rerun = f", a rerun of {one_line(str(before))}" if before else ""
        revision = short(str(status["definition"]))
        click.echo(f"\nworkflow {one_line(str(workflow))}, revision {revision}{rerun}")
    if usage := status.get("usage"):
        most = "at most " if usage.get("estimated") else ""
        click.echo(f"\nmodels: {most}{usage.get('totalTokens')} tokens, ${usage.get('cost')}")
    failure = status.get("failure") or {}
    if failure.get("logTail"):
        click.echo(f"\nlast lines of step {failure.get('step')}:\n{_indented(failure['logTail'])}")
    if status.get("outputs") is not None:
        click.echo(f"\noutputs:\n{_indented(json.dumps(status['outputs'], indent=2, ensure_ascii=False))}")
    elif large := status.get("largeOutputs"):
        name = found["metadata"]["name"]
        click.echo(f"\noutputs: {large.get('size')} bytes; `citadel get {name} --outputs` prints them")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in safe(text.rstrip("\n")).split("\n"))


def _with_steps(found: "Object", journal: dict[str, Any] | None) -> "Object":
    """The object, its status naming every step instead of twenty."""
    found = _without_bookkeeping(found)
    if journal and journal["steps"]:
        named = [
            {key: _time(value) if key.endswith("At") else value for key, value in step.items() if value}
            for step in journal["steps"]
        ]
        found = {**found, "status": {**(found.get("status") or {}), "steps": named}}
    return found


def _time(at: Any) -> str:
    return datetime.fromtimestamp(float(at), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _without_bookkeeping(found: "Object") -> "Object":
    metadata = {key: value for key, value in found["metadata"].items() if key != "managedFields"}
    return {**found, "metadata": metadata}


async def _outputs(target: Target, name: str, step: str | None, archived: bool) -> int:
    from citadel.cli.tunnel import open_api

    async with connect(target) as cluster, open_api(cluster, archived=archived) as api:
        if archived:
            found, _ = await read_archived(api, object_name("Execution", name))
        else:
            found = await cluster.execution(name)
        if step is None and not ended(found):
            phase = (found.get("status") or {}).get("phase") or "Pending"
            raise Refused(f"execution {name} has not ended ({phase}): it has no outputs yet")
        if step is None and exit_code(found) != ExitCode.OK:
            status = found.get("status") or {}
            told = f"{status.get('phase')}: {status.get('message') or status.get('reason')}"
            raise Refused(f"execution {name} has no outputs: {told}", ExitCode.FAILED)
        _print_json(await read_outputs(api, found, step))
    return ExitCode.OK


async def read_outputs(api: "Api", execution: "Object", step: str | None = None) -> Any:
    """What an execution, or one of its steps, gave; large values from the api. Raises Refused."""
    from citadel.cli.tunnel import TunnelClosed

    status = execution.get("status") or {}
    if step is None and "largeOutputs" not in status:
        return status.get("outputs") or {}
    query = {} if step is None else {"step": step}
    try:
        return await api.get(f"{execution['metadata']['name']}/outputs", **query)
    except TunnelClosed as error:
        raise Refused(str(error), ExitCode.UNREACHABLE) from error


def _print_json(value: Any) -> None:
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo(safe(text) if sys.stdout.isatty() else text)
