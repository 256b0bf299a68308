"""Servers of tools, asked: what they give, and how they fail, is told without the credential of the call."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2

from citadel.calls.exchanges import Sending, ToolError
from citadel.calls.httpcalls import call_http
from citadel.calls.mcpcalls import McpServer
from citadel.core.jsonvalues import Json
from citadel.core.masking import Mask
from citadel.core.toolcalls import ToolTask


async def call_tool(
    client: httpx2.AsyncClient,
    task: ToolTask,
    credential: str | None,
    idempotency_key: str,
    sending: Sending,
) -> Json:
    """What a tool gives; raises ToolError."""
    with _masked(credential) as mask:
        if task.spec.http is not None:
            return mask.value(await call_http(client, task, credential, idempotency_key, sending))
        async with _server(client, task, credential) as server:
            return mask.value(await server.call(idempotency_key, sending))


async def list_functions(
    client: httpx2.AsyncClient, task: ToolTask, credential: str | None
) -> dict[str, dict[str, Any]]:
    """The functions of an MCP server; raises ToolError."""
    with _masked(credential) as mask:
        async with _server(client, task, credential) as server:
            masked: Any = mask.value({**await server.functions()})
            return dict(masked)


@contextmanager
def _masked(credential: str | None) -> Iterator[Mask]:
    mask = Mask(credential)
    try:
        yield mask
    except ToolError as error:
        raise ToolError(error.reason, mask.excerpt(error.message), sent=error.sent) from None


@asynccontextmanager
async def _server(
    client: httpx2.AsyncClient, task: ToolTask, credential: str | None
) -> AsyncIterator[McpServer]:
    server = McpServer(client, task, credential)
    try:
        yield server
    finally:
        await server.close()
