"""`citadel watch`: an execution as it goes on. Only looks; the execution is left to itself."""

import asyncio
import sys

import click

from citadel.cli import completing
from citadel.cli.archive import archived_option, read_archived
from citadel.cli.changes import Steps
from citadel.cli.following import DEPTH, exit_code, goes_on, view_of, wait_for_end
from citadel.cli.remote import Target, connect, finish, object_name, target_options
from citadel.cli.showing import show_on


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@click.option(
    "--gantt/--no-gantt", default=None, help="Bars that say when each step ran; else where they fit."
)
@click.option(
    "--depth",
    type=click.IntRange(0, 8),
    default=DEPTH,
    show_default=True,
    help="How deep executions within executions are shown.",
)
@archived_option
@target_options
def watch(execution: str, gantt: bool | None, depth: int, archived: bool, target: Target) -> None:
    """Show EXECUTION as it goes on: every step, what it waits for, and when it ran.

    Of a loop with many turns those are shown that are under way, or failed. In a bar, light is the time
    that a step waited for a sandbox, full the time that it ran, a line what it waited for outside. Where
    the output is no terminal there is a line for each change; with --gantt, all of it once it has ended.

    Ctrl-C ends the showing, not the execution. Ends with 0 when that succeeded, 1 when it did not.
    """
    finish(_watch(target, execution, gantt, depth, archived))


async def _watch(target: Target, name: str, gantt: bool | None, depth: int, archived: bool) -> int:
    from citadel.cli.tunnel import open_api

    async with connect(target) as cluster, open_api(cluster, archived=archived) as api:
        if archived:
            found, _ = await read_archived(api, object_name("Execution", name))
            steps = Steps(api, name, depth, asyncio.Event())
            steps.over.set()
            await steps.follow()
            show_on(sys.stdout, gantt).close(view_of(found, steps.head, steps))
            return exit_code(found)
        try:
            found = await wait_for_end(cluster, api, name, show_on(sys.stdout, gantt), depth)
        except asyncio.CancelledError:
            click.echo(goes_on(cluster.namespace, name), err=True)
            raise
        return exit_code(found)
