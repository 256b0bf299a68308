"""HTTP and MCP tools on this machine: called as the process for tools does in a cluster, if that is allowed.

What a model asks for leaves this machine only where whoever runs the file has said so.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from citadel.api.durations import seconds
from citadel.api.reasons import Reason
from citadel.api.tool import ToolSpec
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.mcp import digest_of, function_digest
from citadel.core.toolcalls import ToolTask, idempotency_key
from citadel.core.tools import WantedTool
from citadel.local.documents import Contents, WorkflowDocument
from citadel.local.pinning import named_tools
from citadel.local.start import CannotRun
from citadel.local.uses import reached

if TYPE_CHECKING:
    import httpx2

OPTION = "--allow-network"


class Servers:
    """The servers of a file's Tools."""

    def __init__(self, contents: Contents, allowed: bool) -> None:
        self._contents, self._allowed = contents, allowed

    async def call(
        self, uid: str, call: WantedTool, arguments: Mapping[str, Json], left: float | None
    ) -> "Json | Failure":
        """What a tool gives, within `left` seconds."""
        name, spec, function = call.tool.name, call.tool.spec, call.asks.function
        if not self._allowed:
            remote = spec.http or spec.mcp
            message = f"Tool {name}: {remote.url if remote else name} is not called without {OPTION}"
            return Failure(Reason.TOOL_UNAVAILABLE, message, final=True)
        pinned = call.tool.functions.get(function or "")
        known = None if pinned is None else function_digest(function or "", pinned)
        task = ToolTask(name, spec, function, dict(arguments), known)
        key = idempotency_key(uid, call.step, call.attempt)
        limit = seconds(spec.timeout) if left is None else min(left, seconds(spec.timeout))
        return await _guarded(str(task), limit, lambda: self._ask(task, key))

    async def _ask(self, task: ToolTask, key: str) -> Json:
        from citadel.calls.servers import call_tool

        async with _client() as client:
            return await call_tool(client, task, self._credential(task.spec), key, _sending)

    async def functions(self, name: str) -> "dict[str, Any] | Failure":
        """The functions of an MCP server, if they are those that are pinned."""
        from citadel.calls.servers import list_functions

        spec = self._contents.tools[name]
        task = ToolTask(name, spec)

        async def ask() -> Any:
            async with _client() as client:
                return await list_functions(client, task, self._credential(spec))

        found = await _guarded(str(task), seconds(spec.timeout), ask)
        if isinstance(found, Failure):
            return found
        assert isinstance(found, dict)
        assert spec.mcp is not None
        digest = digest_of(found)  # type: ignore[arg-type]
        if spec.mcp.digest not in (None, digest):
            message = f"Tool {name}: its functions are not those that are pinned: their digest is {digest}"
            return Failure(Reason.SCHEMA_CHANGED, message)
        return found

    def _credential(self, spec: ToolSpec) -> str | None:
        remote = spec.http or spec.mcp
        if remote is None or remote.credential is None:
            return None
        reference = remote.credential.secret_key_ref
        return self._contents.data["Secret", reference.name][reference.key].strip()


async def learn(workflow: WorkflowDocument, contents: Contents) -> None:
    """Asks MCP servers for the functions that a workflow's agents may call; raises CannotRun."""
    servers = Servers(contents, True)
    for one in reached(workflow, contents):
        for where, name, function in named_tools(one, contents):
            tool = contents.tools.get(name)
            if tool is None or tool.mcp is None:
                continue
            if name not in contents.functions:
                found = await servers.functions(name)
                if isinstance(found, Failure):
                    raise CannotRun(f"{where}: {found.message}")
                contents.functions[name] = found
            if function not in contents.functions[name]:
                known = ", ".join(contents.functions[name]) or "none"
                raise CannotRun(f"{where}: found function {function}, expected one of Tool {name}: {known}")


async def _guarded(title: str, limit: float, ask: Callable[[], Any]) -> "Json | Failure":
    from citadel.calls.exchanges import ToolError

    try:
        async with asyncio.timeout(limit):
            found: Json = await ask()
            return found
    except TimeoutError:
        return Failure(Reason.TOOL_UNAVAILABLE, f"{title}: no answer within {limit:.3g} s")
    except ToolError as error:
        return Failure.cut(error.reason, f"{title}: {error.message}")


async def _sending() -> None:
    """Nobody else could make the call."""


def _client() -> "httpx2.AsyncClient":
    import httpx2

    # Times are kept by the caller.
    return httpx2.AsyncClient(timeout=None, event_hooks={"request": [_at_home]})


async def _at_home(request: "httpx2.Request") -> None:
    """Names below localhost are this machine (RFC 6761), which not every resolver knows."""
    host = request.url.host
    if host.endswith(".localhost"):
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = request.url.copy_with(host="127.0.0.1")
