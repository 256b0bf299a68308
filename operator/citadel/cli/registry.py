"""`citadel agents` and `citadel tools`: what a namespace can run and call, its own and the shared ones."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from citadel.api.meta import API_VERSION
from citadel.cli import completing
from citadel.cli.columns import columns
from citadel.cli.remote import Cluster, ExitCode, Target, connect, finish, target_options
from citadel.cli.terminal import one_line, safe

if TYPE_CHECKING:
    from citadel.kube.resources import Object, Resource

_LONGEST_WHY = 160
_OUTPUT = click.Choice(["json", "yaml", "name"])


@click.command()
@click.option(
    "--capability",
    metavar="NAME",
    shell_complete=completing.capabilities,
    help="Only those that have this capability.",
)
@click.option("-A", "--all-namespaces", is_flag=True, help="List those of all namespaces.")
@click.option("-o", "--output", type=_OUTPUT, help="Objects as kubectl gives them, or their names.")
@target_options
def agents(capability: str | None, all_namespaces: bool, output: str | None, target: Target) -> None:
    """List the agents that steps can run: the namespace's own, and those that all namespaces share.

    \b
    citadel agents --capability review -o name
    """

    def wanted(obj: "Object") -> bool:
        return capability is None or capability in _listed(obj, "capabilities")

    what = "agents" if capability is None else f"agents with the capability {capability}"
    finish(_list(target, "agents", all_namespaces, output, wanted, what))


@click.command()
@click.option("-A", "--all-namespaces", is_flag=True, help="List those of all namespaces.")
@click.option("-o", "--output", type=_OUTPUT, help="Objects as kubectl gives them, or their names.")
@target_options
def tools(all_namespaces: bool, output: str | None, target: Target) -> None:
    """List the tools that agents and steps can call: the namespace's own, and those that all share."""
    finish(_list(target, "tools", all_namespaces, output, lambda obj: True, "tools"))


async def _list(
    target: Target,
    plural: str,
    everywhere: bool,
    output: str | None,
    wanted: Callable[["Object"], bool],
    what: str,
) -> int:
    from citadel.kube.resources import AGENTS, TOOLS

    resource = AGENTS if plural == "agents" else TOOLS
    async with connect(target) as cluster:
        found = [obj for obj in await usable(cluster, resource, everywhere=everywhere) if wanted(obj)]
        namespace = cluster.namespace
    if output is not None:
        _print(found, plural, output)
    elif found:
        rows = _agents(found) if plural == "agents" else _tools(found)
        click.echo(columns(rows))
    else:
        where = "any namespace" if everywhere else f"namespace {namespace}, nor shared ones"
        click.echo(f"There are no {what} in {where}.", err=True)
    return ExitCode.OK


async def usable(cluster: Cluster, resource: "Resource", *, everywhere: bool = False) -> "list[Object]":
    """Those of the namespace and the shared ones, which its own of the same name hide; or those of all."""
    from citadel.kube.errors import Forbidden

    shared = cluster.target.system_namespace
    found = (await cluster.kube.list(resource, None if everywhere else cluster.namespace)).items
    if not everywhere and cluster.namespace != shared:
        own = {obj["metadata"]["name"] for obj in found}
        try:
            others = (await cluster.kube.list(resource, shared)).items
        except Forbidden as error:
            click.echo(f"citadel: shared ones are not listed: {one_line(error.message)}", err=True)
            others = []
        found = [*found, *(obj for obj in others if obj["metadata"]["name"] not in own)]

    def place(obj: "Object") -> tuple[bool, str, str]:
        metadata = obj["metadata"]
        return metadata["namespace"] == shared, metadata["namespace"], metadata["name"]

    return sorted(found, key=place)


def _agents(found: "Sequence[Object]") -> list[tuple[str, ...]]:
    header = ("NAMESPACE", "NAME", "MODEL", "CAPABILITIES", "VERSION", "READY", "WHY")
    rows = []
    for obj in found:
        spec = _spec(obj)
        said = (spec.get("model"), ",".join(_listed(obj, "capabilities")), spec.get("version"))
        rows.append((*_place(obj), *(_cell(item) for item in said), *_ready(obj)))
    return [header, *rows]


def _tools(found: "Sequence[Object]") -> list[tuple[str, ...]]:
    header = ("NAMESPACE", "NAME", "KIND", "WHERE", "VERSION", "READY", "WHY")
    return [header, *((*_place(obj), *_kind(_spec(obj)), *_ready(obj)) for obj in found)]


def _kind(spec: dict[str, Any]) -> tuple[str, ...]:
    """What kind of tool it is, and what it leads to."""
    names = {"http": "url", "mcp": "url", "workflow": "name", "code": "runtime"}
    kind = next((name for name in names if spec.get(name) is not None), "")
    leads = spec[kind].get(names[kind]) if kind and isinstance(spec[kind], dict) else None
    return _cell(kind), _cell(leads), _cell(spec.get("version"))


def _place(obj: "Object") -> tuple[str, str]:
    return _cell(obj["metadata"]["namespace"]), _cell(obj["metadata"]["name"])


def _ready(obj: "Object") -> tuple[str, str]:
    """Whether it is ready, and else why not: of another spec than this one nothing is known yet."""
    status = obj.get("status") or {}
    conditions = [item for item in status.get("conditions") or () if item.get("type") == "Ready"]
    if not conditions or status.get("observedGeneration") != obj["metadata"].get("generation"):
        return "Unknown", ""
    ready = conditions[0]
    if ready.get("status") == "True":
        return "True", ""
    why = f"{ready.get('reason')}: {ready.get('message')}"
    return _cell(ready.get("status")), _cell(why if len(why) <= _LONGEST_WHY else f"{why[:_LONGEST_WHY]}…")


def _spec(obj: "Object") -> dict[str, Any]:
    found = obj.get("spec")
    return found if isinstance(found, dict) else {}


def _listed(obj: "Object", name: str) -> list[str]:
    found = _spec(obj).get(name)
    return [str(item) for item in found] if isinstance(found, list) else []


def _cell(value: Any) -> str:
    return "" if value is None else one_line(str(value))


def _print(found: "Sequence[Object]", plural: str, output: str) -> None:
    if output == "name":
        for obj in found:
            click.echo(f"{plural.removesuffix('s')}.citadel.dev/{one_line(obj['metadata']['name'])}")
        return
    kind = {"apiVersion": API_VERSION, "kind": plural.removesuffix("s").capitalize()}
    items = [
        # Items of a list do not say what they are.
        {
            **obj,
            **kind,
            "metadata": {key: item for key, item in obj["metadata"].items() if key != "managedFields"},
        }
        for obj in found
    ]
    document = {"apiVersion": "v1", "kind": "List", "items": items}
    if output == "yaml":
        from citadel.cli.revisions import as_text

        text = as_text(document).rstrip("\n")
    else:
        text = json.dumps(document, indent=2, ensure_ascii=False)
    click.echo(safe(text) if sys.stdout.isatty() else text)
