"""`citadel record`: what the agents of an execution in the cluster did, as a file."""

import json
from pathlib import Path

import click

from citadel.api.problems import counted
from citadel.cli import completing
from citadel.cli.remote import ExitCode, Refused, Target, connect, finish, object_name, target_options


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@click.argument("step", required=False, shell_complete=completing.steps)
@click.option(
    "-o",
    "output",
    metavar="FILE",
    default="-",
    shell_complete=completing.files,
    help="Where to write it; else to stdout.",
)
@target_options
def record(execution: str, step: str | None, output: str, target: Target) -> None:
    """Write down what the agents of EXECUTION did, or that of its STEP alone, for `citadel replay`.

    It has all that they were given, each answer of a model, and each call of a tool with what came of it;
    questions too where an ExecutionPolicy says recordPrompts. You need the right to read its logs.
    """
    path = None if output == "-" else Path(output).expanduser().absolute()
    finish(_record(execution, step, path, target))


async def _record(execution: str, step: str | None, path: Path | None, target: Target) -> int:
    from citadel.cli.tunnel import TunnelClosed, open_api
    from citadel.local.cassettes import InvalidCassette, read_cassette, write_cassette

    async with connect(target) as cluster, open_api(cluster) as api:
        await cluster.execution(object_name("Execution", execution))
        try:
            found = await api.get(f"{execution}/recording", **({} if step is None else {"step": step}))
            cassette = read_cassette(json.dumps(found))
        except TunnelClosed as error:
            raise Refused(str(error), ExitCode.UNREACHABLE) from error
        except InvalidCassette as error:
            raise Refused(f"the cluster's recording cannot be read: {error}") from None
    if not cassette.attempts:
        what = "no step" if step is None else f"step {step}"
        raise Refused(f"execution {execution}: {what} has an attempt of an agent that has ended")
    if path is None:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return ExitCode.OK
    try:
        write_cassette(path, cassette)
    except OSError as error:
        raise Refused(f"-o {path}: {error.strerror}") from None
    click.echo(f"{counted(len(cassette.attempts), 'attempt')} of agents in {path}", err=True)
    return ExitCode.OK
