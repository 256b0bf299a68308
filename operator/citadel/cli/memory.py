"""`citadel memory`: what an agent remembers of its conversations; to look at, and to delete."""

import json
import sys
from datetime import datetime
from typing import Any
from urllib.parse import quote

import click

from citadel.cli.columns import columns
from citadel.cli.remote import ExitCode, Refused, Target, connect, finish, object_name, target_options
from citadel.cli.terminal import one_line, safe

_COLUMNS = ("CONVERSATION", "MESSAGES", "SUMMARISED", "FIRST", "LAST")

_json = click.option("-o", "--output", type=click.Choice(["json"]), help="JSON instead of text.")
_conversation = click.option("--conversation", metavar="NAME", help="As the step that runs the agent says.")


@click.group()
def memory() -> None:
    """Show and delete what agents remember."""


@memory.command("list")
@click.argument("agent")
@_json
@target_options
def list_(agent: str, output: str | None, target: Target) -> None:
    """List the conversations that AGENT remembers, the one that went on last first."""
    finish(_list(target, agent, output == "json"))


@memory.command()
@click.argument("agent")
@_conversation
@_json
@target_options
def show(agent: str, conversation: str | None, output: str | None, target: Target) -> None:
    """Show what AGENT remembers of a conversation."""
    if conversation is None:
        raise click.UsageError("name the conversation: --conversation NAME; `citadel memory list` has them")
    finish(_show(target, agent, conversation, output == "json"))


@memory.command()
@click.argument("agent")
@_conversation
@click.option("--all", "everything", is_flag=True, help="All conversations of the agent.")
@target_options
def delete(agent: str, conversation: str | None, everything: bool, target: Target) -> None:
    """Let AGENT forget a conversation, or all."""
    if (conversation is None) != everything:
        raise click.UsageError("say what to delete: --conversation NAME, or --all")
    finish(_delete(target, agent, conversation))


async def _list(target: Target, agent: str, as_json: bool) -> int:
    found = (await _asked(target, agent))["items"]
    if as_json:
        _print(found)
    elif found:
        click.echo(columns([_COLUMNS, *(_cells(item) for item in found)]))
    else:
        click.echo(f"Agent {agent} remembers no conversation", err=True)
    return ExitCode.OK


def _cells(item: dict[str, Any]) -> tuple[str, ...]:
    return (
        one_line(item["conversation"]),
        str(item["messages"]),
        "yes" if item["summarised"] else "no",
        _time(item["createdAt"]),
        _time(item["changedAt"]),
    )


async def _show(target: Target, agent: str, conversation: str, as_json: bool) -> int:
    found = await _asked(target, agent, conversation)
    if as_json:
        _print(found)
        return ExitCode.OK
    if found["summary"]:
        click.echo(safe(f"summary of what was before:\n{_indented(found['summary'])}\n"))
    for item in found["messages"]:
        click.echo(safe(f"{_time(item['at'])} {item['role']}\n{_indented(item['content'])}"))
    return ExitCode.OK


async def _delete(target: Target, agent: str, conversation: str | None) -> int:
    found = await _asked(target, agent, conversation, delete=True)
    count = found["deleted"]
    click.echo(f"Agent {agent} has forgotten {count} conversation{'' if count == 1 else 's'}")
    return ExitCode.OK


async def _asked(target: Target, agent: str, conversation: str | None = None, *, delete: bool = False) -> Any:
    from citadel.cli.tunnel import TunnelClosed, open_api

    path = f"{object_name('Agent', agent)}/conversations"
    if conversation is not None:
        if not conversation:
            raise click.UsageError("--conversation: found nothing, expected a name")
        path += f"/{quote(conversation, safe='')}"
    async with connect(target) as cluster, open_api(cluster) as api:
        try:
            return await (api.delete(path, of="agents") if delete else api.get(path, of="agents"))
        except TunnelClosed as error:
            raise Refused(str(error), ExitCode.UNREACHABLE) from error


def _time(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _print(found: Any) -> None:
    text = json.dumps(found, indent=2, ensure_ascii=False)
    click.echo(safe(text) if sys.stdout.isatty() else text)
