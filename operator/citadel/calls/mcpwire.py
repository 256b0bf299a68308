"""MCP's messages: how a request is written in either era of the protocol, and how an answer is read."""

import base64
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from citadel.api.reasons import Reason
from citadel.calls.exchanges import EXCERPT, ToolError
from citadel.core.jsonvalues import Json

MODERN = "2026-07-28"
#: Those that begin with a handshake, the newest first.
LEGACY = ("2025-11-25", "2025-06-18", "2025-03-26")
_UNSUPPORTED_VERSION = -32022
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}")
_PLAIN = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")
_META = "io.modelcontextprotocol/"


class RpcError(Exception):
    """A server answers a request with an error."""

    def __init__(self, code: int, message: str, data: Json = None) -> None:
        super().__init__(message)
        self.code, self.message, self.data = code, message, data

    @property
    def of_older_server(self) -> bool:
        """Whether a server of the older era may answer so what it does not understand."""
        if self.code != _UNSUPPORTED_VERSION:
            return True
        supported = self.data.get("supported") if isinstance(self.data, dict) else None
        return not isinstance(supported, list) or any(version in LEGACY for version in supported)

    def told(self, *, sent: bool = False) -> ToolError:
        """The error of the call."""
        what = f"error {self.code}: " if self.code else ""
        return ToolError(Reason.TOOL_FAILED, f"the server says: {what}{self.message[:EXCERPT]}", sent=sent)


def encoded(number: int, method: str, parameters: Mapping[str, Any], version: str | None) -> dict[str, Any]:
    """A request."""
    said = dict(parameters)
    if version == MODERN:
        said["_meta"] = {
            **said.get("_meta", {}),
            f"{_META}protocolVersion": MODERN,
            f"{_META}clientInfo": {"name": "citadel", "version": "1"},
            f"{_META}clientCapabilities": {},
        }
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": said}


def headers_of(version: str | None, session: str | None) -> list[tuple[str, str]]:
    """Headers of every request."""
    headers = [("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream")]
    if version is not None:
        headers.append(("MCP-Protocol-Version", version))
    if session is not None:
        headers.append(("Mcp-Session-Id", session))
    return headers


def named(method: str, parameters: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Headers by which what stands between routes a request of the newer era."""
    headers = [("Mcp-Method", method)]
    if method == "tools/call":
        headers.append(("Mcp-Name", header_value(str(parameters["name"]))))
    return headers


def header_value(text: str) -> str:
    """A text as a header has it: as it is, or marked as base64."""
    if _PLAIN.fullmatch(text) and not text.startswith("=?base64?"):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode()}?="


def argument_headers(schema: Mapping[str, Any], arguments: Mapping[str, Json]) -> list[tuple[str, str]]:
    """Headers that a function's schema wants some arguments repeated in (`x-mcp-header`)."""
    found = []
    for name, value in _repeated(schema, arguments):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if len(text) <= 4096:
            found.append((f"Mcp-Param-{name}", header_value(text)))
    return found


def _repeated(schema: Any, value: Any) -> Iterator[tuple[str, str | int]]:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(properties, dict) or not isinstance(value, dict):
        return
    for name, item in properties.items():
        if name not in value or not isinstance(item, dict):
            continue
        header = item.get("x-mcp-header")
        if isinstance(header, str) and _TOKEN.fullmatch(header) and isinstance(value[name], str | int):
            yield header, value[name]
        yield from _repeated(item, value[name])


def answer_of(message: Json, number: int) -> dict[str, Any] | None:
    """The result of a request, if this is its answer; raises RpcError where that is an error."""
    if not isinstance(message, dict) or "method" in message:
        return None
    error = message.get("error")
    if isinstance(error, dict) and message.get("id") in (number, None):
        code = error.get("code")
        text = str(error.get("message", ""))
        raise RpcError(code if isinstance(code, int) else 0, text, error.get("data"))
    result = message.get("result")
    return result if message.get("id") == number and isinstance(result, dict) else None


async def bounded(parts: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """The parts of a stream of events; raises ToolError beyond so many bytes in all."""
    size = 0
    async for part in parts:
        size += len(part)
        if size > most:
            message = f"found more than {most} bytes of events, expected at most that many"
            raise ToolError(Reason.OUTPUT_TOO_LARGE, message, sent=True)
        yield part


def content_of(result: Mapping[str, Any]) -> Json:
    """What a function gives: its structured content, else its texts; raises ToolError for an error of it."""
    kind = result.get("resultType", "complete")
    if kind != "complete":
        message = f"the function asks for more ({str(kind)[:40]}), which nobody can give it here"
        raise ToolError(Reason.TOOL_FAILED, message, sent=True)
    content = result.get("content")
    texts = [_text_of(item) for item in content] if isinstance(content, list) else []
    text = "\n".join(texts)
    if result.get("isError") is True:
        raise ToolError(Reason.TOOL_FAILED, text[:EXCERPT] or "the function says that it failed", sent=True)
    structured: Json = result.get("structuredContent")
    return structured if structured is not None else text


def _text_of(item: Any) -> str:
    """A part of what a function gives as text; what is none is described."""
    if not isinstance(item, dict):
        return ""
    kind = item.get("type")
    if kind == "text":
        return str(item.get("text", ""))
    if kind in ("image", "audio"):
        size = len(str(item.get("data", ""))) * 3 // 4
        return f"[{kind} {item.get('mimeType', '')}, {size} bytes: not passed on]"
    if kind == "resource_link":
        return f"[{item.get('name', 'resource')}: {item.get('uri', '')}]"
    resource = item.get("resource")
    if kind == "resource" and isinstance(resource, dict):
        if isinstance(resource.get("text"), str):
            return str(resource["text"])
        return f"[resource {resource.get('uri', '')} {resource.get('mimeType', '')}: not passed on]"
    return f"[{str(kind)[:40]}: not passed on]"
