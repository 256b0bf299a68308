"""`citadel approvals`, `approve` and `reject`: people's part in an execution.

A decision is written to the Approval, in the name of the kubeconfig's user; whether they may, the API server
says.
"""

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from citadel.cli import completing
from citadel.cli.asking import described, pending, table, the_one
from citadel.cli.givens import given_inputs, input_option, read_json
from citadel.cli.remote import Cluster, ExitCode, Refused, Target, connect, finish, target_options
from citadel.cli.terminal import one_line, safe

if TYPE_CHECKING:
    from citadel.core.jsonvalues import Json
    from citadel.kube.resources import Object


@click.command()
@click.argument("execution", required=False, shell_complete=completing.asking)
@click.option("-A", "--all-namespaces", is_flag=True, help="List those of all namespaces.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="JSON as kubectl gives it.")
@target_options
def approvals(execution: str | None, all_namespaces: bool, output: str | None, target: Target) -> None:
    """List the steps that wait for a decision, or show all that EXECUTION asks."""
    if execution is not None and all_namespaces:
        raise click.UsageError("EXECUTION is of one namespace: leave out --all-namespaces")
    finish(_list(target, execution, all_namespaces, output == "json"))


@click.command()
@click.argument("execution", shell_complete=completing.asking)
@click.argument("step", required=False, shell_complete=completing.steps_that_ask)
@click.option("--reason", default="", help="Why; some steps require it.")
@input_option("A field of the form. Text becomes a number or list where the form wants one.")
@click.option(
    "-f",
    "--file",
    metavar="FILE",
    shell_complete=completing.files,
    help="The form, filled in, as JSON; - is standard input.",
)
@target_options
def approve(
    execution: str,
    step: str | None,
    reason: str,
    pairs: tuple[str, ...],
    file: str | None,
    target: Target,
) -> None:
    """Let the step of EXECUTION that asks go on. STEP names it where several do.

    \b
    citadel approvals order-7
    citadel approve order-7 --reason "within the budget" -i limit=500
    """
    if pairs and file is not None:
        raise click.UsageError("found both -i and -f, expected one: they fill in the same form")
    finish(_decide(target, execution, step, True, reason, pairs, file))


@click.command()
@click.argument("execution", shell_complete=completing.asking)
@click.argument("step", required=False, shell_complete=completing.steps_that_ask)
@click.option("--reason", default="", help="Why; some steps require it.")
@target_options
def reject(execution: str, step: str | None, reason: str, target: Target) -> None:
    """Let the step of EXECUTION that asks fail. STEP names it where several do."""
    finish(_decide(target, execution, step, False, reason, (), None))


async def _list(target: Target, execution: str | None, everywhere: bool, as_json: bool) -> int:
    async with connect(target) as cluster:
        found = await pending(cluster, execution, everywhere=everywhere)
    if as_json:
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": found}, indent=2, ensure_ascii=False)
        click.echo(safe(text) if sys.stdout.isatty() else text)
    elif not found:
        where = "any namespace" if everywhere else f"namespace {cluster.namespace}"
        what = "Nothing" if execution is None else f"Nothing of execution {execution}"
        click.echo(f"{what} waits for a decision in {where}.", err=True)
    elif execution is not None:
        click.echo("\n\n".join(map(described, found)))
    else:
        click.echo(table(found, time.time(), everywhere=everywhere))
    return ExitCode.OK


async def _decide(
    target: Target,
    execution: str,
    step: str | None,
    approved: bool,
    reason: str,
    pairs: tuple[str, ...],
    file: str | None,
) -> int:
    async with connect(target) as cluster:
        asked = await the_one(cluster, execution, step)
        spec = asked["spec"]
        if spec.get("reasonRequired") and not reason.strip():
            raise Refused(f"step {spec['step']} requires a reason: add --reason")
        decision: dict[str, Any] = {
            "by": await _whoami(cluster),
            "approve": approved,
            "reason": reason,
            "digest": spec["digest"],
        }
        if approved and (form := _form(spec.get("form"), pairs, file)) is not None:
            decision["form"] = form
        await _write(cluster, asked, decision)
    done = "approved" if approved else "rejected"
    click.echo(f"step {one_line(spec['step'])} of execution {execution} {done} by {decision['by']}")
    return ExitCode.OK


def _form(
    schema: "dict[str, Json] | None", pairs: tuple[str, ...], file: str | None
) -> "dict[str, Json] | None":
    """The form as it will count, with its defaults; raises Refused: what was set cannot be set again."""
    from citadel.core.inputs import InvalidInputs, InvalidSchema, compile_inputs

    given = read_json(file) if file is not None else given_inputs(pairs, (), schema)
    if schema is None:
        if given:
            raise Refused("the step has no form to be filled in: leave out -i and -f")
        return None
    if not isinstance(given, dict):
        raise Refused("the form: expected a JSON object")
    try:
        return compile_inputs(schema).apply(given, "form")
    except InvalidInputs as error:
        raise Refused("\n".join(error.messages)) from None
    except InvalidSchema as error:
        raise Refused(f"the form of the step is no schema that can be used: {error}") from None


async def _whoami(cluster: Cluster) -> str:
    """The name by which the API server knows the kubeconfig's user."""
    from citadel.kube.resources import SELFSUBJECTREVIEWS

    body = {"apiVersion": SELFSUBJECTREVIEWS.api_version, "kind": "SelfSubjectReview", "metadata": {}}
    found = await cluster.kube.create(SELFSUBJECTREVIEWS, body)
    return str(found["status"]["userInfo"]["username"])


async def _write(cluster: Cluster, asked: "Object", decision: dict[str, Any]) -> None:
    from citadel.kube.resources import APPROVALS

    # The uid: one that was made anew meanwhile is not what was looked at.
    body = {"metadata": {"uid": asked["metadata"]["uid"]}, "spec": {"decision": decision}}
    await cluster.kube.patch(APPROVALS, asked["metadata"]["name"], body, cluster.namespace)
