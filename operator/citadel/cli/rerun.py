"""`citadel rerun`: an execution again, without what is known already."""

from typing import TYPE_CHECKING, Any

import click

from citadel.cli import completing
from citadel.cli.archive import archived_option, read_archived
from citadel.cli.following import ended
from citadel.cli.remote import Cluster, Refused, Target, connect, finish, object_name, target_options

if TYPE_CHECKING:
    from citadel.kube.resources import Object


@click.command()
@click.argument("execution", shell_complete=completing.executions)
@click.option("--failed", is_flag=True, help="Take over everything that succeeded.")
@click.option(
    "--from",
    "point",
    metavar="STEP",
    shell_complete=completing.steps,
    help="Run STEP again and everything that depends on it; take over the rest.",
)
@click.option("-i", "--input", "pairs", multiple=True, metavar="NAME=TEXT|NAME:=JSON", help="Another input.")
@click.option(
    "--definition",
    type=click.Choice(["pinned", "current"]),
    default="pinned",
    show_default=True,
    help="The definition that it ran by, or the workflow as it is now.",
)
@click.option("--no-cache", is_flag=True, help="Run steps that have a cache, whatever is known.")
@click.option("--logs", is_flag=True, help="Show what the steps print.")
@click.option("--wait", is_flag=True, help="Wait for the end.")
@click.option("--name", help="Name of the new Execution; else the workflow's and five characters.")
@archived_option
@target_options
def rerun(
    execution: str,
    failed: bool,
    point: str | None,
    pairs: tuple[str, ...],
    definition: str,
    no_cache: bool,
    logs: bool,
    wait: bool,
    name: str | None,
    archived: bool,
    target: Target,
) -> None:
    """Run EXECUTION again, on its inputs: a new Execution, which says of what it is a rerun.

    With --failed or --from, what is recorded is not repeated: steps give at once what they gave before.
    Steps run again that depend on one which does, that were undone by their compensation, or, with
    --definition current, that are not defined as they were. Without either, everything runs again.

    \b
    citadel rerun sales-report-x7k2m --failed
    citadel rerun sales-report-x7k2m --from load -i limit:=10 --wait
    """
    if failed and point is not None:
        raise click.UsageError("expected one of --failed and --from, found both")
    of: dict[str, Any] = {"definition": definition}
    if failed:
        of["failed"] = True
    if point is not None:
        of["from"] = point
    asked = _rerun(
        target, execution, of, pairs, name=name, archived=archived, no_cache=no_cache, follow=(wait, logs)
    )
    finish(asked)


async def _rerun(
    target: Target,
    execution: str,
    of: dict[str, Any],
    pairs: tuple[str, ...],
    *,
    name: str | None,
    archived: bool,
    no_cache: bool,
    follow: tuple[bool, bool],
) -> int:
    from citadel.cli.givens import given_inputs
    from citadel.cli.remote_run import create_execution, follow_created

    if name is not None:
        object_name("Execution", name)
    async with connect(target) as cluster:
        found = await _found(cluster, execution, archived)
        if not ended(found):
            phase = (found.get("status") or {}).get("phase") or "Pending"
            raise Refused(f"execution {execution} has not ended ({phase}): it can be rerun when it has")
        workflow = found["spec"]["workflowRef"]["name"]
        # Texts become what the schema wants; whether all inputs fit is known with those of before.
        schema = await _schema(cluster, found, str(of["definition"])) if pairs else None
        inputs = given_inputs(pairs, (), schema)
        rerun_of = {"name": execution, "uid": found["metadata"]["uid"], **of}
        made = await create_execution(cluster, {"name": workflow}, inputs, name, rerun_of, no_cache)
        return await follow_created(cluster, made["metadata"]["name"], *follow)


async def _found(cluster: Cluster, name: str, archived: bool) -> "Object":
    from citadel.cli.tunnel import open_api

    if not archived:
        return await cluster.execution(name)
    async with open_api(cluster, archived=True) as api:
        found, _ = await read_archived(api, object_name("Execution", name))
        return found


async def _schema(cluster: Cluster, found: "Object", definition: str) -> dict[str, Any] | None:
    """The schema of the inputs that the rerun will have."""
    from citadel.cli.remote_run import as_it_was
    from citadel.kube.resources import WORKFLOWS

    workflow = found["spec"]["workflowRef"]["name"]
    digest = (found.get("status") or {}).get("definition")
    if definition == "current" or not digest:
        meant = await cluster.kube.get(WORKFLOWS, workflow, cluster.namespace)
    else:
        meant = await as_it_was(cluster, workflow, str(digest).removeprefix("sha256:")[:12])
    schema: dict[str, Any] | None = (meant.get("spec") or {}).get("inputs")
    return schema
