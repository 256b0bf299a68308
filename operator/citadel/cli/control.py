"""`citadel cancel`, `suspend` and `resume`: what people ask of an execution, written to its spec."""

from typing import TYPE_CHECKING, Any

import click

from citadel.cli import completing
from citadel.cli.following import ended
from citadel.cli.remote import Cluster, ExitCode, Refused, Target, connect, finish, target_options

if TYPE_CHECKING:
    from citadel.kube.resources import Object


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@click.option("--now", is_flag=True, help="Without a grace period for the steps that run.")
@target_options
def cancel(execution: str, now: bool, target: Target) -> None:
    """End EXECUTION: running steps get a grace period, nothing new starts."""
    finish(_cancel(target, execution, now))


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@target_options
def suspend(execution: str, target: Target) -> None:
    """Let nothing new of EXECUTION start; steps that run go on."""
    finish(_suspend(target, execution, True))


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@target_options
def resume(execution: str, target: Target) -> None:
    """Let a suspended EXECUTION go on."""
    finish(_suspend(target, execution, False))


async def _cancel(target: Target, name: str, now: bool) -> int:
    wanted = "Terminate" if now else "Cancel"
    async with connect(target) as cluster:
        found = await cluster.execution(name)
        asked = (found.get("spec") or {}).get("stop")
        if over := _ended(found):
            click.echo(f"execution {name} has already ended: {over}; there is nothing to cancel", err=True)
        elif asked in (wanted, "Terminate"):
            click.echo(f"execution {name} is already being ended (spec.stop is {asked})", err=True)
        else:
            await _patch(cluster, found, {"stop": wanted})
            click.echo(f"execution {name} " + ("ends now" if now else "is being cancelled"))
    return ExitCode.OK


async def _suspend(target: Target, name: str, wanted: bool) -> int:
    async with connect(target) as cluster:
        found = await cluster.execution(name)
        spec = found.get("spec") or {}
        done = "suspended" if wanted else "resumed"
        if over := _ended(found):
            raise Refused(f"execution {name} has already ended: {over}; it cannot be {done}")
        if spec.get("stop"):
            message = f"execution {name} is being ended (spec.stop is {spec['stop']}); it cannot be {done}"
            raise Refused(message)
        if bool(spec.get("suspend")) == wanted:
            click.echo(f"execution {name} is {'already' if wanted else 'not'} suspended", err=True)
        else:
            await _patch(cluster, found, {"suspend": wanted})
            click.echo(f"execution {name} {done}")
    return ExitCode.OK


def _ended(execution: "Object") -> str:
    return str(execution["status"]["phase"]) if ended(execution) else ""


async def _patch(cluster: Cluster, found: "Object", spec: dict[str, Any]) -> None:
    from citadel.kube.resources import EXECUTIONS

    # The uid: another execution that took the name meanwhile is not what was asked about.
    body = {"metadata": {"uid": found["metadata"]["uid"]}, "spec": spec}
    await cluster.kube.patch(EXECUTIONS, found["metadata"]["name"], body, cluster.namespace)
