"""What the shell proposes for an argument: names in the cluster.

Somebody waits with a finger on the key: what does not answer in time, or at all, proposes nothing and says
nothing. Only reads.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from citadel.cli.remote import Cluster
    from citadel.kube.resources import Object

PATIENCE = 3.0

Read = Callable[["Cluster"], Awaitable[list[CompletionItem]]]


def executions(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of Executions, the newest first, each with its phase."""

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.kube.resources import EXECUTIONS

        found = await cluster.kube.list(EXECUTIONS, cluster.namespace)
        newest = sorted(
            found.items, key=lambda item: str(item["metadata"]["creationTimestamp"]), reverse=True
        )
        return [_item(obj, (obj.get("status") or {}).get("phase")) for obj in newest]

    return _proposed(ctx, incomplete, read)


def workflows(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of Workflows."""

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.kube.resources import WORKFLOWS

        return [_item(obj) for obj in (await cluster.kube.list(WORKFLOWS, cluster.namespace)).items]

    return _proposed(ctx, incomplete, read)


def triggers(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of Triggers, each with its schedule."""

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.kube.resources import TRIGGERS

        found = (await cluster.kube.list(TRIGGERS, cluster.namespace)).items
        return [_item(obj, ((obj.get("spec") or {}).get("cron") or {}).get("schedule")) for obj in found]

    return _proposed(ctx, incomplete, read)


def workflows_or_files(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of Workflows; files where none begins so."""
    if ctx.params.get("local"):
        return [CompletionItem(incomplete, type="file")]
    return workflows(ctx, parameter, incomplete) or [CompletionItem(incomplete, type="file")]


def steps(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the steps of the Execution that is already on the line."""
    # An option that still lacks its value ends click's parsing before the arguments have names.
    execution = ctx.params.get("execution") or next(iter(ctx.args), None)

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.kube.resources import WORKFLOWS

        found = await cluster.execution(str(execution))
        workflow = await cluster.kube.get(WORKFLOWS, found["spec"]["workflowRef"]["name"], cluster.namespace)
        return [CompletionItem(step["name"]) for step in workflow["spec"]["steps"]]

    return _proposed(ctx, incomplete, read) if execution else []


def asking(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of Executions that ask for a decision, each with the step that does."""

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.cli.asking import pending

        asked = [obj["spec"] for obj in await pending(cluster)]
        return [CompletionItem(spec["executionRef"]["name"], help=spec["step"]) for spec in asked]

    return _proposed(ctx, incomplete, read)


def _item(obj: "Object", help: str | None = None) -> CompletionItem:  # noqa: A002  (click's name)
    return CompletionItem(obj["metadata"]["name"], help=help)


def _proposed(ctx: click.Context, incomplete: str, read: Read) -> list[CompletionItem]:
    try:
        found = asyncio.run(asyncio.wait_for(_read(ctx.params, read), PATIENCE))
    except Exception:
        # Whatever it was: the command itself will say so. Here it would land in the middle of a line.
        return []
    return [item for item in found if str(item.value).startswith(incomplete)]


async def _read(given: dict[str, Any], read: Read) -> list[CompletionItem]:
    from citadel.cli.remote import Target, connect

    target = Target(given.get("namespace"), given.get("kubeconfig") or "", given.get("context") or "")
    async with connect(target) as cluster:
        return await read(cluster)
