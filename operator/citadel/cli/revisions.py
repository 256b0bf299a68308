"""`citadel history` and `citadel diff`: the definitions by which a workflow ran, and what differs in them."""

import difflib
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime
from io import StringIO
from typing import Any
from urllib.parse import quote

import click

from citadel.cli import completing
from citadel.cli.columns import columns
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
from citadel.cli.terminal import safe

_COLUMNS = ("REVISION", "FIRST RUN", "LAST RUN", "EXECUTIONS")
_NOW = "now"


@click.command()
@click.argument("workflow", shell_complete=completing.workflows)
@click.option("-o", "--output", type=click.Choice(["json"]), help="JSON instead of columns.")
@target_options
def history(workflow: str, output: str | None, target: Target) -> None:
    """List the revisions of WORKFLOW that ran, the last first.

    A revision is the definition as an execution pinned it: steps, code, Runtimes. It is kept as long as the
    journal keeps an execution of it. `citadel run --revision`, or `spec.workflowRef.revision` of an
    Execution, runs one again.
    """
    finish(_history(target, workflow, output == "json"))


@click.command()
@click.argument("workflow", shell_complete=completing.workflows)
@click.argument("revisions", nargs=-1, metavar="[REV [REV]]", shell_complete=completing.revisions)
@target_options
def diff(workflow: str, revisions: tuple[str, ...], target: Target) -> None:
    """Show what differs between two revisions of WORKFLOW.

    Without REV: from the one that ran last to the Workflow as it is now. With one: from it to now. Runtimes
    and code of ConfigMaps are part of a revision, not of the Workflow: two revisions differ in them too.
    Ends with 1 when something differs.
    """
    if len(revisions) > 2:
        raise click.UsageError(f"found {len(revisions)} revisions, expected at most two")
    finish(_diff(target, workflow, revisions))


async def _history(target: Target, workflow: str, as_json: bool) -> int:
    async with connect(target) as cluster:
        found = await read_revisions(cluster, workflow)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        click.echo(table(found))
    else:
        click.echo(f"no execution of Workflow {workflow} that the journal knows has started", err=True)
    return ExitCode.OK


def table(rows: list[dict[str, Any]]) -> str:
    """Revisions as columns."""
    return columns([_COLUMNS, *(_cells(row) for row in rows)])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    first, last = (
        f"{datetime.fromtimestamp(row[at]).astimezone():%Y-%m-%d %H:%M:%S}" for at in ("firstAt", "lastAt")
    )
    return row["revision"], first, last, str(row["executions"])


async def _diff(target: Target, workflow: str, revisions: tuple[str, ...]) -> int:
    async with connect(target) as cluster:
        if not revisions:
            known = await read_revisions(cluster, workflow)
            if not known:
                raise Refused(f"Workflow {workflow}: no execution that the journal knows has started")
            revisions = (known[0]["revision"],)
        before = await read_revision(cluster, workflow, revisions[0])
        if len(revisions) == 2:
            after = await read_revision(cluster, workflow, revisions[1])
        else:
            before = {**before, "document": {"spec": before["document"]["spec"]}}
            after = {"revision": _NOW, "document": {"spec": await _current(cluster, workflow)}}
    lines = list(
        difflib.unified_diff(
            as_text(before["document"]).splitlines(),
            as_text(after["document"]).splitlines(),
            f"{workflow} {before['revision']}",
            f"{workflow} {after['revision']}",
            lineterm="",
        )
    )
    for line in _coloured(lines) if sys.stdout.isatty() else lines:
        click.echo(line)
    return ExitCode.FAILED if lines else ExitCode.OK


def as_text(document: Mapping[str, Any]) -> str:
    """A definition as YAML, texts of several lines as blocks: made for a diff by lines."""
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import SafeRepresenter

    class Blocks(SafeRepresenter):
        """Texts of several lines as blocks."""

        def represent_str(self, data: str) -> Any:
            style = "|" if "\n" in data else None
            return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

        def ignore_aliases(self, data: Any) -> bool:
            return True

    Blocks.add_representer(str, Blocks.represent_str)
    yaml = YAML(typ="safe", pure=True)
    yaml.Representer = Blocks
    yaml.default_flow_style = False
    yaml.width = 100_000
    text = StringIO()
    yaml.dump(dict(document), text)
    return text.getvalue()


def _coloured(lines: list[str]) -> Iterator[str]:
    for line in lines:
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
        yield click.style(safe(line), fg=colour, bold=line.startswith(("+++", "---")))


async def read_revisions(cluster: Cluster, workflow: str) -> list[dict[str, Any]]:
    """The revisions of a Workflow, as the api tells them; raises Refused."""
    found: list[dict[str, Any]] = await _asked(cluster, f"{_named(workflow)}/revisions")
    return found


async def read_revision(cluster: Cluster, workflow: str, revision: str) -> dict[str, Any]:
    """One revision with its document; raises Refused."""
    found: dict[str, Any] = await _asked(cluster, f"{_named(workflow)}/revisions/{quote(revision, safe='')}")
    return found


def _named(workflow: str) -> str:
    return object_name("Workflow", workflow)


async def _asked(cluster: Cluster, path: str) -> Any:
    from citadel.cli.tunnel import TunnelClosed, open_api

    async with open_api(cluster) as api:
        try:
            return await api.get(path, of="workflows")
        except TunnelClosed as error:
            raise Refused(str(error), ExitCode.UNREACHABLE) from error


async def _current(cluster: Cluster, workflow: str) -> Any:
    from citadel.kube.errors import NotFound
    from citadel.kube.resources import WORKFLOWS

    try:
        return (await cluster.kube.get(WORKFLOWS, workflow, cluster.namespace))["spec"]
    except NotFound:
        message = f"Workflow {workflow} does not exist in namespace {cluster.namespace} any more"
        raise Refused(f"{message}; name two revisions") from None
