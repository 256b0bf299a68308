"""`citadel replay`: agents run again by what was recorded of them, without any model."""

import asyncio
import sys
from typing import TYPE_CHECKING

import click

from citadel.api.problems import counted
from citadel.cli import completing
from citadel.cli.lint import text_of
from citadel.cli.remote import ExitCode
from citadel.cli.terminal import one_line, safe

if TYPE_CHECKING:
    from citadel.api.cassette import RecordedAttempt
    from citadel.local.isolation import Wanted
    from citadel.local.machine import Machine


@click.command()
@click.argument("file", shell_complete=completing.files)
@click.argument("step", required=False)
@click.option("--logs", is_flag=True, help="Show what the agents print.")
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "none"]),
    default="auto",
    show_default=True,
    help="What keeps agents from this machine; auto is bubblewrap where it works.",
)
def replay(file: str, step: str | None, logs: bool, isolation: "Wanted") -> None:
    """Run the agents of a recording again: FILE is one that `citadel record` or `citadel run --record` wrote,
    STEP one of its agent steps, else all of them.

    No model is asked and no tool is called: each gets what was recorded. What an agent now does otherwise is
    told, with the first call that differs.

    \b
    Ends with 0 when all do the same, 1 when one does not, 2 when the file is wrong, 130 when interrupted.
    """
    from citadel.local.cassettes import InvalidCassette, read_cassette
    from citadel.local.isolation import NotIsolated, choose
    from citadel.local.machine import Machine
    from citadel.local.tools import AGENT, ToolMissing

    try:
        cassette = read_cassette(text_of(file))
    except InvalidCassette as error:
        for line in str(error).splitlines():
            click.echo(f"{file}: {safe(line)}", err=True)
        sys.exit(ExitCode.INVALID)
    attempts = [one for one in cassette.attempts if step in (None, one.step)]
    if not attempts:
        known = ", ".join(dict.fromkeys(one.step for one in cassette.attempts)) or "none"
        wanted = "an agent step" if step is None else f"the agent step {step}"
        raise click.UsageError(f"{file}: expected {one_line(wanted)}, found {one_line(known)}")
    try:
        machine = Machine(choose(isolation), lambda text: click.echo(text, err=True))
        machine.equip({AGENT: ()})
    except (NotIsolated, ToolMissing) as error:
        raise click.UsageError(str(error)) from None
    click.echo(machine.isolation.told(egress=False), err=True)
    try:
        mismatches = asyncio.run(_all(attempts, machine, logs))
    except (KeyboardInterrupt, asyncio.CancelledError):
        click.echo("citadel: interrupted", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    sys.exit(ExitCode.FAILED if mismatches else ExitCode.OK)


async def _all(attempts: "list[RecordedAttempt]", machine: "Machine", logs: bool) -> int:
    """Runs them one after the other; how many did otherwise."""
    from citadel.local.capture import Output
    from citadel.local.replaying import replay as run_again

    mismatches = 0
    for recorded in attempts:
        name = recorded.step if recorded.attempt == 1 else f"{recorded.step} (attempt {recorded.attempt})"

        def tell(stream: str, line: str, name: str = name) -> None:
            if logs:
                click.echo(f"{one_line(name)} | {safe(line)}", err=True)

        mismatch = await run_again(recorded, machine, Output(tell))
        calls = f"{counted(len(recorded.models), 'model call')}, {counted(len(recorded.tools), 'tool call')}"
        if mismatch is None:
            click.echo(f"{click.style('ok  ', fg='green')} {one_line(name)}: {calls}")
            continue
        mismatches += 1
        click.echo(f"{click.style('FAIL', fg='red')} {one_line(name)}: ReplayMismatch: {safe(mismatch)}")
    return mismatches
