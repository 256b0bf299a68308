"""The way to the server of a Tool: its credential is opened here, for one call, and sent to its own host."""

import ssl
from typing import Any

import httpx2

from citadel.api.reasons import Reason
from citadel.calls.dialling import Proxied, Ticket
from citadel.calls.exchanges import Sending, ToolError, problem
from citadel.calls.proxy import EgressProxy
from citadel.calls.sealing import Opener, Unopened
from citadel.calls.servers import call_tool, list_functions
from citadel.calls.transport import ProxiedTransport, client_of
from citadel.core.jsonvalues import Json
from citadel.core.mcp import digest_of
from citadel.core.toolcalls import ToolTask


class Asker:
    """Asks servers. `to_servers` checks those who answer: by default as all do."""

    def __init__(self, opener: Opener, proxy: EgressProxy, to_servers: ssl.SSLContext | None = None) -> None:
        self._opener, self._proxy = opener, proxy
        self._to_servers = to_servers or ssl.create_default_context()

    def way(self, ticket: Ticket) -> Proxied:
        """The way to a server, which the egress proxy is shown this ticket for."""
        return Proxied(self._proxy, ticket, problem)

    async def call(
        self, task: ToolTask, sealed: str | None, way: Proxied, idempotency_key: str, sending: Sending
    ) -> Json:
        """What a tool gives; raises ToolError. Neither holds the credential."""
        credential = self._open(task, sealed)
        async with self._client(way) as client:
            return await call_tool(client, task, credential, idempotency_key, sending)

    async def check(self, task: ToolTask, sealed: str | None, ticket: Ticket) -> dict[str, Json]:
        """The functions of an MCP server, and their digest; raises ToolError."""
        credential = self._open(task, sealed)
        async with self._client(self.way(ticket)) as client:
            functions = await list_functions(client, task, credential)
        told: Any = functions
        return {"digest": digest_of(functions), "functions": told}

    def _open(self, task: ToolTask, sealed: str | None) -> str | None:
        if sealed is None:
            return None
        try:
            return self._opener.open(sealed, task.destination)
        except Unopened as error:
            reason = Reason.HOST_NOT_ALLOWED if error.elsewhere else Reason.TOOL_FAILED
            raise ToolError(reason, error.message) from None

    def _client(self, way: Proxied) -> httpx2.AsyncClient:
        return client_of(ProxiedTransport(way, self._to_servers))
