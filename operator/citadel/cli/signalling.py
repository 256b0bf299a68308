"""`citadel signal`: something from outside that a step of an execution waits for, or will."""

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import click

from citadel.cli import completing
from citadel.cli.givens import given_inputs, input_option, read_json
from citadel.cli.remote import ExitCode, Refused, Target, connect, finish, object_name, target_options

if TYPE_CHECKING:
    from citadel.cli.tunnel import Api

#: Seconds for which an execution that was only just created is tried, and between two tries.
PATIENCE, PAUSE = 15.0, 0.5


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@click.argument("name", shell_complete=completing.signals)
@input_option("A field of the payload; := takes JSON as it is.")
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    shell_complete=completing.files,
    help="The payload as JSON, of any kind; - is standard input.",
)
@click.option(
    "--key", help="Sent again with the same name and key, it is the same signal. Else each is its own."
)
@target_options
def signal(
    execution: str, name: str, pairs: tuple[str, ...], file: str | None, key: str | None, target: Target
) -> None:
    """Send EXECUTION the signal NAME: the step that waits for it goes on, with the payload as its output.

    A signal is kept until a step takes it, so it may come before the step does.

    \b
    citadel signal order-7 payment -i amount:=12.5 -i by=card --key invoice-2231
    """
    if pairs and file is not None:
        raise click.UsageError("found both -i and -f, expected one: they give the same payload")
    payload: Any = given_inputs(pairs, (), None) if pairs else None
    if file is not None:
        payload = read_json(file)
    # Made here and once: what is sent again because an answer was lost is the same signal.
    body = {"name": name, "key": key or uuid.uuid4().hex, "payload": payload}
    finish(_send(target, object_name("Execution", execution), body))


async def _send(target: Target, execution: str, body: dict[str, Any]) -> int:
    from citadel.cli.tunnel import open_api

    async with connect(target) as cluster, open_api(cluster) as api:
        await _delivered(api, f"{execution}/signals", body)
    click.echo(f"signal {body['name']} sent to execution {execution}")
    return ExitCode.OK


async def _delivered(api: "Api", path: str, body: dict[str, Any]) -> None:
    """Sends until it was taken; raises Refused. The key makes that harmless."""
    from citadel.cli.tunnel import NotStarted, TunnelClosed

    loop = asyncio.get_running_loop()
    give_up = loop.time() + PATIENCE
    while True:
        try:
            await api.send(path, body)
            return
        except NotStarted:
            if loop.time() > give_up:
                raise
        except TunnelClosed as error:
            if loop.time() > give_up:
                raise Refused(str(error), ExitCode.UNREACHABLE) from error
        await asyncio.sleep(PAUSE)
