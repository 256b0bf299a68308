"""What the shell proposes for an argument: files, and names in the cluster.

Somebody waits with a finger on the key: what does not answer in time, or at all, proposes nothing and says
nothing. Only reads.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from citadel.cli.remote import Cluster
    from citadel.kube.resources import Object

PATIENCE = 3.0

Read = Callable[["Cluster"], Awaitable[list[CompletionItem]]]


def files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, by the shell itself."""
    return [CompletionItem(incomplete, type="file")]


def executions(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of Executions, the newest first, each with its phase; with --archived those of the archive."""

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.cli.tunnel import open_api
        from citadel.kube.resources import EXECUTIONS

        if ctx.params.get("archived"):
            async with open_api(cluster, archived=True) as api:
                items = (await api.get(""))["items"]
        else:
            items = (await cluster.kube.list(EXECUTIONS, cluster.namespace)).items
        newest = sorted(items, key=lambda item: str(item["metadata"]["creationTimestamp"]), reverse=True)
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
    """Names of the steps of the Execution that is already on the line, and of their turns that it names."""
    execution = _execution(ctx)

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        found = await cluster.execution(str(execution))
        workflow = await _workflow_of(cluster, found)
        names = [str(step["name"]) for step in _top(workflow)]
        shown = (str(step["name"]) for step in (found.get("status") or {}).get("steps") or ())
        return [CompletionItem(name) for name in dict.fromkeys((*names, *shown))]

    return _proposed(ctx, incomplete, read) if execution else []


def signals(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Signals that the Execution on the line waits for anywhere, each with the step that does."""
    execution = _execution(ctx)

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        workflow = await _workflow_of(cluster, await cluster.execution(str(execution)))
        found = {
            str(step["wait"]["signal"]): str(step["name"])
            for step in _every(_top(workflow))
            if (step.get("wait") or {}).get("signal")
        }
        return [CompletionItem(name, help=step) for name, step in found.items()]

    return _proposed(ctx, incomplete, read) if execution else []


def revisions(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Revisions of the Workflow on the line that ran, the last first, each with when it last did."""
    workflow = ctx.params.get("workflow") or next(iter(ctx.args), None)

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from datetime import datetime

        from citadel.cli.revisions import read_revisions

        found = await read_revisions(cluster, str(workflow))
        return [
            CompletionItem(row["revision"], help=f"{datetime.fromtimestamp(row['lastAt']):%Y-%m-%d %H:%M}")
            for row in found
        ]

    return _proposed(ctx, incomplete, read) if workflow else []


def capabilities(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Capabilities of the agents that can be run, each with those that have it."""

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.cli.registry import usable
        from citadel.kube.resources import AGENTS

        found: dict[str, list[str]] = {}
        everywhere = bool(ctx.params.get("all_namespaces"))
        for obj in await usable(cluster, AGENTS, everywhere=everywhere):
            for name in (obj.get("spec") or {}).get("capabilities") or ():
                found.setdefault(str(name), []).append(obj["metadata"]["name"])
        return [CompletionItem(name, help=", ".join(found[name])) for name in sorted(found)]

    return _proposed(ctx, incomplete, read)


def asking(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of Executions that ask for a decision, each with the step that does."""

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.cli.asking import pending

        asked = [obj["spec"] for obj in await pending(cluster)]
        return [CompletionItem(spec["executionRef"]["name"], help=spec["step"]) for spec in asked]

    return _proposed(ctx, incomplete, read)


def steps_that_ask(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Steps of the Execution on the line that ask for a decision."""
    execution = _execution(ctx)

    async def read(cluster: "Cluster") -> list[CompletionItem]:
        from citadel.cli.asking import pending

        return [CompletionItem(obj["spec"]["step"]) for obj in await pending(cluster, str(execution))]

    return _proposed(ctx, incomplete, read) if execution else []


def _execution(ctx: click.Context) -> str | None:
    # An option that still lacks its value ends click's parsing before the arguments have names.
    return ctx.params.get("execution") or next(iter(ctx.args), None)


async def _workflow_of(cluster: "Cluster", execution: "Object") -> "Object":
    from citadel.kube.resources import WORKFLOWS

    return await cluster.kube.get(WORKFLOWS, execution["spec"]["workflowRef"]["name"], cluster.namespace)


def _top(workflow: "Object") -> list[Mapping[str, Any]]:
    spec = workflow["spec"]
    return [*spec["steps"], *(spec.get("finally") or ())]


def _every(steps: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The steps, and all within them."""
    for step in steps:
        yield step
        yield from _every(step.get("steps") or ())
        yield from _every((step.get("onError") or {}).get("steps") or ())


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

    target = Target(
        given.get("namespace"),
        given.get("kubeconfig") or "",
        given.get("context") or "",
        given.get("system_namespace") or "citadel-system",
    )
    async with connect(target) as cluster:
        return await read(cluster)
