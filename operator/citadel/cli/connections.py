"""`citadel connections`: what an execution reached beyond its sandboxes, and what it was refused."""

import json
import sys
from datetime import datetime
from typing import Any

import click

from citadel.cli import completing
from citadel.cli.archive import archived_option
from citadel.cli.columns import columns
from citadel.cli.remote import ExitCode, Refused, Target, connect, finish, object_name, target_options
from citadel.cli.steps import duration
from citadel.cli.terminal import one_line, safe

_COLUMNS = ("TIME", "STEP", "DESTINATION", "ADDRESS", "VERDICT", "SENT", "RECEIVED", "DURATION", "REASON")


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@click.option("-o", "--output", type=click.Choice(["json"]), help="JSON instead of columns.")
@archived_option
@target_options
def connections(execution: str, output: str | None, archived: bool, target: Target) -> None:
    """Show the connections that steps of EXECUTION opened to hosts they name, and those refused."""
    finish(_show(target, execution, output == "json", archived))


async def _show(target: Target, name: str, as_json: bool, archived: bool) -> int:
    from citadel.cli.tunnel import TunnelClosed, open_api

    async with connect(target) as cluster:
        object_name("Execution", name)
        if not archived:
            await cluster.execution(name)
        async with open_api(cluster, archived=archived) as api:
            try:
                found = await api.get(f"{name}/connections")
            except TunnelClosed as error:
                raise Refused(str(error), ExitCode.UNREACHABLE) from error
    if as_json:
        text = json.dumps(found, indent=2, ensure_ascii=False)
        click.echo(safe(text) if sys.stdout.isatty() else text)
    elif found:
        click.echo(table(found))
    else:
        click.echo(f"execution {name} has opened no connections", err=True)
    return ExitCode.OK


def table(rows: list[dict[str, Any]]) -> str:
    """Connections as columns, oldest first."""
    return columns([_COLUMNS, *(_cells(row) for row in rows)])


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    at = datetime.fromtimestamp(row["at"]).astimezone()
    refused = row["verdict"] == "refused"
    return (
        f"{at:%H:%M:%S}",
        f"{row['step']}/{row['attempt']}",
        one_line(f"{row['host']}:{row['port']}"),
        row["address"] or "-",
        row["verdict"],
        "-" if refused else str(row["sent"]),
        "-" if refused else str(row["received"]),
        "-" if refused else "open" if row["seconds"] is None else duration(row["seconds"]),
        one_line(row["reason"]),
    )
