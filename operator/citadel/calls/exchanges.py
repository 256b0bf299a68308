"""How calls of tools fail, how answers of servers are read, and what is taken out of them: all within bounds.

A server is not trusted: what it says is data for whoever called, and holds no credential that it was sent.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2

from citadel.api.reasons import Reason
from citadel.core.jsonvalues import MAX_BYTES, InvalidValue, Json, normalise

#: Called when the first byte goes out of what cannot be taken back.
Sending = Callable[[], Awaitable[None]]
#: Characters of an answer that a message has.
EXCERPT = 400
_LOST = (OSError, EOFError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class ToolError(Exception):
    """A call gives nothing. `sent`: it may have had its effect all the same."""

    def __init__(self, reason: Reason, message: str, *, sent: bool = False) -> None:
        super().__init__(message)
        self.reason, self.message, self.sent = reason, message, sent


def problem(message: str, *, passes: bool, sent: bool) -> ToolError:
    """The error of the way there; see `dialling.Problem`."""
    return ToolError(Reason.TOOL_UNAVAILABLE if passes else Reason.TOOL_FAILED, message, sent=sent)


class Exchange:
    """Requests to one server, none of which follows a redirect."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        url: str,
        headers: list[tuple[str, str]],
        body: bytes | None = None,
        sending: Sending | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """One request, whose answer is read by the caller; raises ToolError."""
        began = False

        async def trace(event: str, _: Any) -> None:
            nonlocal began
            if not began and event.endswith("send_request_headers.started"):
                if sending is not None:
                    await sending()
                began = True

        # Compressed, a kilobyte becomes a gigabyte: the transport refuses what is.
        sent = [("Accept-Encoding", "identity"), *headers]
        request = self._client.build_request(method, url, headers=sent, content=body)
        request.extensions = {**request.extensions, "trace": trace}
        try:
            response = await self._client.send(request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        except (*_LOST, httpx2.HTTPError) as error:
            told = str(error) or type(error).__name__
            what = "the connection was lost" if began else "no connection"
            raise ToolError(Reason.TOOL_UNAVAILABLE, f"{what}: {told[:200]}", sent=began) from None


async def body_of(response: httpx2.Response, limit: int = MAX_BYTES) -> bytes:
    """The whole body of an answer; raises ToolError beyond a limit."""
    read = bytearray()
    async for part in response.aiter_raw():
        read += part
        if len(read) > limit:
            message = f"found an answer of more than {limit} bytes, expected at most that many"
            raise ToolError(Reason.OUTPUT_TOO_LARGE, message, sent=True)
    return bytes(read)


def kind_of_body(response: httpx2.Response) -> tuple[str, str]:
    """Media type and charset of an answer."""
    kind, *parameters = response.headers.get("content-type", "").split(";")
    named = (item.strip().partition("=") for item in parameters)
    charset = next((value.strip('"') for name, _, value in named if name.lower() == "charset"), "utf-8")
    return kind.strip().lower(), charset


def parsed(body: bytes, limit: int = MAX_BYTES) -> Json:
    """An answer that says it is JSON; raises ToolError."""
    try:
        return normalise(body.removeprefix(b"\xef\xbb\xbf"), limit)
    except InvalidValue as error:
        raise ToolError(Reason.TOOL_FAILED, f"the answer: {error}", sent=True) from None


async def refusal(response: httpx2.Response) -> ToolError:
    """The error of a status that is none of success."""
    status = response.status_code
    if status < 400:
        where = response.headers.get("location", "nowhere")[:200]
        message = f"status {status}: redirects are not followed, found one to {where}"
        return ToolError(Reason.TOOL_FAILED, message, sent=True)
    if status in (401, 403):
        message = f"status {status}: the server refuses who calls{await _excerpt(response)}"
        return ToolError(Reason.TOOL_FAILED, message, sent=True)
    passes = status >= 500 or status in (408, 425, 429)
    after = response.headers.get("retry-after", "")
    later = f", again after {after[:40]} s" if passes and after.isdigit() else ""
    reason = Reason.TOOL_UNAVAILABLE if passes else Reason.TOOL_FAILED
    return ToolError(reason, f"status {status}{later}{await _excerpt(response)}", sent=True)


async def _excerpt(response: httpx2.Response) -> str:
    """The beginning of what an answer says, if that is text."""
    kind, _ = kind_of_body(response)
    if kind and not kind.startswith("text/") and "json" not in kind and "xml" not in kind:
        return ""
    read = b""
    try:
        async for part in response.aiter_raw():
            read += part
            if len(read) > EXCERPT * 4:
                break
    except (*_LOST, ToolError, httpx2.HTTPError):
        pass  # the status says enough
    text = " ".join(read.decode("utf-8", "replace").split())
    return f": {text[:EXCERPT]}" if text else ""
