"""`citadel eval --remote`: the Workflow of an evaluation, applied and run in the cluster."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from citadel.cli.remote import Cluster, Refused, Target, connect, finish

if TYPE_CHECKING:
    from citadel.kube.resources import Object
    from citadel.local.evaluations import EvaluationDocument
    from citadel.local.outcomes import Outcome


def evaluate_in_cluster(
    target: Target, document: "EvaluationDocument", tell: "Callable[[Sequence[Outcome]], int]"
) -> NoReturn:
    """Runs all of it; `tell` is told what came of the runs, and says the exit code."""
    finish(_evaluate(target, document, tell))


async def _evaluate(
    target: Target, document: "EvaluationDocument", tell: "Callable[[Sequence[Outcome]], int]"
) -> int:
    from citadel.cli.following import goes_on, wait_for_end
    from citadel.cli.get import read_outputs
    from citadel.cli.remote_run import create_execution
    from citadel.cli.showing import show_on
    from citadel.cli.tunnel import open_api
    from citadel.local.assembling import RUNS, items_of, objects_of
    from citadel.local.outcomes import outcomes

    agent = document.evaluation.agent
    if document.evaluation.model is not None and agent not in document.contents.agents:
        raise Refused(
            f"model: Agent {agent} is in none of the objects of {document.file}: name its file there"
        )
    async with connect(target) as cluster, open_api(cluster) as api:
        objects = objects_of(document)
        for item in objects:
            await _apply(cluster, item)
        workflow = objects[-1]["metadata"]["name"]
        created = await create_execution(cluster, {"name": workflow}, {}, None)
        name = created["metadata"]["name"]
        click.echo(f"execution.citadel.dev/{name} created", err=True)
        try:
            ended = await wait_for_end(cluster, api, name, show_on(sys.stderr))
        except BaseException:
            click.echo(goes_on(cluster.namespace, name), err=True)
            raise
        names = [item["name"] for item in items_of(document)]
        runs = await read_outputs(api, ended, RUNS) or [None] * len(names)
        return tell(outcomes(document, names, runs))


async def _apply(cluster: Cluster, item: Mapping[str, Any]) -> "Object":
    from citadel.kube.client import Patch
    from citadel.kube.resources import AGENTS, WORKFLOWS

    resource = AGENTS if item["kind"] == "Agent" else WORKFLOWS
    metadata = {**item["metadata"], "namespace": cluster.namespace}
    return await cluster.kube.patch(
        resource,
        metadata["name"],
        {**item, "metadata": metadata},
        cluster.namespace,
        kind=Patch.APPLY,
        field_manager="citadel-cli",
        force=False,
    )
