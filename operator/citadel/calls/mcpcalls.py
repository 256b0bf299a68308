"""Functions of servers that speak MCP by streamable HTTP: listed, and called.

Of the protocol's two eras the newer one (2026-07-28) has requests that stand for themselves; before that
there was a handshake, and mostly a session. A server is asked in the newer way first. What it sends of its
own accord is passed over: progress, logs; and what it asks for (samples, input) it does not get.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import httpx2

from citadel.api.reasons import Reason
from citadel.calls.exchanges import Exchange, Sending, ToolError, body_of, kind_of_body, parsed, refusal
from citadel.calls.httpcalls import credential_header
from citadel.calls.mcpwire import (
    LEGACY,
    MODERN,
    RpcError,
    answer_of,
    argument_headers,
    bounded,
    content_of,
    encoded,
    headers_of,
    named,
)
from citadel.calls.sse import events
from citadel.core.jsonvalues import Json, canonical
from citadel.core.mcp import MOST_BYTES, MOST_FUNCTIONS, InvalidListing, function_digest, functions_of
from citadel.core.toolcalls import ToolTask

#: Pages of a listing, requests of a server while one call lasts, and bytes of one answer with all beside it.
_PAGES, _DECLINED, _MOST = 20, 16, 4 * 1024 * 1024
#: Seconds for what a server is told after a call.
_FAREWELL = 2.0
#: Statuses by which servers of the older era refuse what they do not know.
_OLDER = (400, 404, 405, 406, 415, 422)


class McpServer:
    """One server, for one call or check."""

    def __init__(self, client: httpx2.AsyncClient, task: ToolTask, credential: str | None) -> None:
        self._exchange, self._task = Exchange(client), task
        self._url = task.remote.url
        self._credential = credential_header(task, credential)
        self._version: str | None = None
        """What was agreed on; None until something was."""
        self._session: str | None = None
        self._ids = 0
        self._declined = 0

    async def functions(self) -> dict[str, dict[str, Any]]:
        """What the server has; raises ToolError."""
        try:
            return functions_of(await self._listed())
        except InvalidListing as error:
            raise ToolError(Reason.TOOL_FAILED, str(error)) from None
        except RpcError as error:
            raise error.told() from None

    async def call(self, idempotency_key: str, sending: Sending) -> Json:
        """Calls the function of the task, if it is what was pinned; raises ToolError."""
        name, arguments = self._task.function, dict(self._task.arguments or {})
        function = (await self.functions()).get(name or "")
        if function is None:
            raise ToolError(Reason.SCHEMA_CHANGED, f"the server has no function {name} any more")
        if function_digest(name or "", function) != self._task.digest:
            message = f"function {name} is not what was pinned any more: look at it, then pin it again"
            raise ToolError(Reason.SCHEMA_CHANGED, message)
        extra = argument_headers(function["parameters"], arguments) if self._version == MODERN else []
        meta = {"citadel.dev/idempotency-key": idempotency_key}
        parameters = {"name": name, "arguments": arguments, "_meta": meta}
        try:
            result = await self._request("tools/call", parameters, extra, sending)
        except RpcError as error:
            raise error.told(sent=True) from None
        return content_of(result)

    async def close(self) -> None:
        """Ends the session, if there is one."""
        if self._session is None:
            return
        headers = [*headers_of(self._version, self._session), *self._credential]
        with suppress(ToolError, TimeoutError):
            async with asyncio.timeout(_FAREWELL), self._exchange.ask("DELETE", self._url, headers):
                pass  # it may refuse, too

    async def _listed(self) -> list[Json]:
        found: list[Json] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            parameters = {} if cursor is None else {"cursor": cursor}
            result = await (self._first if self._version is None else self._request)("tools/list", parameters)
            items = result.get("tools")
            found += items if isinstance(items, list) else []
            cursor = result.get("nextCursor") if isinstance(result.get("nextCursor"), str) else None
            if not cursor or len(found) > MOST_FUNCTIONS:
                return found
        raise ToolError(Reason.TOOL_FAILED, f"found more than {_PAGES} pages of functions")

    async def _first(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The first request, by which the era is found."""
        self._version = MODERN
        try:
            return await self._request(method, parameters)
        except RpcError as error:
            if not error.of_older_server:
                raise
        self._version = None
        await self._handshake()
        return await self._request(method, parameters)

    async def _handshake(self) -> None:
        parameters = {
            "protocolVersion": LEGACY[0],
            "capabilities": {},
            "clientInfo": {"name": "citadel", "version": "1"},
        }
        result = await self._request("initialize", parameters)
        version = result.get("protocolVersion")
        if version not in LEGACY:
            known = ", ".join((MODERN, *LEGACY))
            message = f"found the protocol {str(version)[:40]}, expected one of {known}"
            raise ToolError(Reason.TOOL_FAILED, message)
        self._version = version
        await self._notify({"jsonrpc": "2.0", "method": "notifications/initialized"})

    async def _request(
        self,
        method: str,
        parameters: dict[str, Any],
        extra: list[tuple[str, str]] = [],  # noqa: B006 - never changed
        sending: Sending | None = None,
    ) -> dict[str, Any]:
        """One request and its result; raises RpcError and ToolError."""
        self._ids += 1
        number, version = self._ids, self._version
        body = canonical(encoded(number, method, parameters, version))
        headers = [*headers_of(version, self._session), *extra, *self._credential]
        if version == MODERN:
            headers += named(method, parameters)
        answered = False
        try:
            async with self._exchange.ask("POST", self._url, headers, body, sending) as response:
                found = await self._read(response, number)
                answered = True
                if method == "initialize":
                    self._session = _session_of(response)
                return found
        finally:
            # Where it is not told by the end of the connection.
            if not answered and sending is not None and version in LEGACY:
                await self._cancelled(number)

    async def _read(self, response: httpx2.Response, number: int) -> dict[str, Any]:
        kind, _ = kind_of_body(response)
        if not response.is_success:
            if response.status_code not in _OLDER:
                raise await refusal(response)
            with suppress(ToolError):
                answer_of(parsed(await body_of(response)), number)
            raise RpcError(0, f"status {response.status_code}")
        if kind == "text/event-stream":
            async for message in self._events(response):
                found = answer_of(message, number)
                if found is not None:
                    return found
                await self._decline(message)
            raise ToolError(Reason.TOOL_UNAVAILABLE, "the server said no more, and gave no answer", sent=True)
        if kind != "application/json":
            told = f"found an answer of the type {kind[:100] or 'none'}, expected JSON or events"
            raise ToolError(Reason.TOOL_FAILED, told, sent=True)
        found = answer_of(parsed(await body_of(response, MOST_BYTES * 8), MOST_BYTES * 8), number)
        if found is None:
            raise ToolError(Reason.TOOL_FAILED, "found an answer to something else", sent=True)
        return found

    async def _events(self, response: httpx2.Response) -> AsyncIterator[Json]:
        async for data in events(bounded(response.aiter_raw(), _MOST)):
            yield parsed(data, _MOST)

    async def _decline(self, message: Json) -> None:
        """What the server asks, it does not get; it is told so, or it would wait."""
        if not isinstance(message, dict) or "method" not in message or "id" not in message:
            return
        self._declined += 1
        if self._declined > _DECLINED:
            raise ToolError(Reason.TOOL_FAILED, "the server asks for more and more of its own", sent=True)
        told: dict[str, Any] = {"jsonrpc": "2.0", "id": message["id"]}
        if message["method"] == "ping":
            told["result"] = {}
        else:
            told["error"] = {"code": -32601, "message": "this client has no such thing"}
        with suppress(ToolError):
            await self._notify(told)

    async def _cancelled(self, number: int) -> None:
        """Nobody waits for a request any more."""
        told = {"requestId": number, "reason": "given up"}
        with suppress(ToolError, TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                await self._notify({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": told})

    async def _notify(self, message: Mapping[str, Any]) -> None:
        headers = [*headers_of(self._version, self._session), *self._credential]
        body = canonical(dict(message))
        async with self._exchange.ask("POST", self._url, headers, body) as response:
            if not response.is_success:
                raise await refusal(response)


def _session_of(response: httpx2.Response) -> str | None:
    found = response.headers.get("mcp-session-id")
    if found is not None and not (0 < len(found) <= 1024 and found.isascii() and found.isprintable()):
        raise ToolError(Reason.TOOL_FAILED, "found a session id that is none")
    return found
