"""`--archived`: executions whose objects are gone, as the api knows them from the journal."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from citadel.cli.remote import ExitCode, Refused

if TYPE_CHECKING:
    from citadel.cli.tunnel import Api
    from citadel.kube.resources import Object


def archived_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option by which a command means the archive."""
    text = "Executions whose objects are gone: the journal keeps them longer."
    return click.option("--archived", is_flag=True, help=text)(command)


async def list_archived(api: "Api") -> list["Object"]:
    """The newest executions of the archive, in the shape of objects; says so when there are more."""
    found = await _get(api, "")
    if found["more"]:
        click.echo(f"citadel: only the newest {len(found['items'])} are shown", err=True)
    items: list[Object] = found["items"]
    return items


async def read_archived(api: "Api", name: str) -> tuple["Object", dict[str, Any]]:
    """An execution of the archive: the object that it was, and what the journal has of it."""
    found = dict(await _get(api, name))
    return found.pop("object"), found


async def _get(api: "Api", path: str) -> Any:
    from citadel.cli.tunnel import TunnelClosed

    try:
        return await api.get(path)
    except TunnelClosed as error:
        raise Refused(str(error), ExitCode.UNREACHABLE) from error
