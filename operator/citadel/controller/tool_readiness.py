"""Whether Tools can be called: their conditions, and what MCP servers say that they have.

No server is asked from here: a check is left for the process `tools`, which asks through the egress proxy, as
the policies of the Tool's namespace let it.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

from citadel.api.model import destination_of
from citadel.api.reasons import Reason
from citadel.api.tool import ToolFunction
from citadel.controller.checking import Unusable, together
from citadel.controller.credentials import Credential
from citadel.controller.objects import status_of
from citadel.controller.readiness import RECHECK, Readiness
from citadel.controller.sealing import Sealer
from citadel.controller.tools import READ_AGAIN, FoundTool, Tools, read_tool
from citadel.core.jsonvalues import canonical, digest
from citadel.core.toolcalls import CREDENTIAL, check_body
from citadel.kube.cache import Cache
from citadel.kube.resources import TOOLS, Object
from citadel.store.tool_checks import Check, Checked, ToolChecks

#: Seconds between two looks at a Tool that is ready: what its Secret holds nobody tells us, nor what its
#: server has.
AGAIN = 300.0
_TOLD = 10


class ToolReadiness:
    """Reconciles the status of Tools."""

    def __init__(
        self,
        cache: Cache,
        tools: Tools,
        checks: ToolChecks,
        sealer: Sealer,
        readiness: Readiness,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._cache, self._tools, self._checks = cache, tools, checks
        self._sealer, self._readiness, self._now = sealer, readiness, now

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One Tool; returns seconds after which to look again."""
        obj = self._cache.get(TOOLS, namespace, name)
        if obj is None:
            await self._checks.forget(namespace, name)
            return None
        try:
            tool = read_tool(obj)
        except Unusable as invalid:
            await self._readiness.write(TOOLS, obj, invalid)
            return None
        problems, key = await self._means(tool)
        fields: dict[str, Any] = {}
        if tool.spec.mcp is not None and not problems:
            wrong, fields = _of_server(tool, await self._asked(tool, key))
            problems += wrong
        elif tool.spec.mcp is None:
            wrong, functions = await self._of_itself(tool)
            problems, fields = [*wrong, *problems], {"digest": None, "functions": functions}
        problem = together(problems)
        await self._readiness.write(TOOLS, obj, problem, **fields)
        if problem is not None:
            return RECHECK if problem.waits else None
        if (tool.spec.http and tool.spec.http.openapi) or (tool.spec.code and tool.spec.code.code_from):
            return READ_AGAIN
        remote = tool.spec.mcp or tool.spec.http
        return AGAIN if remote is not None else None

    async def _means(self, tool: FoundTool) -> tuple[list[Unusable], Credential | None]:
        """Why its server cannot be reached, and its credential."""
        problems: list[Unusable] = []
        key = None
        try:
            key = await self._tools.credential(tool)
        except Unusable as problem:
            problems.append(problem)
        try:
            await self._tools.permitted(tool)
        except Unusable as problem:
            problems.append(problem)
        return problems, key

    async def _of_itself(self, tool: FoundTool) -> tuple[list[Unusable], list[Any] | None]:
        """What is wrong with what it refers to; and the operation that it is, for people."""
        try:
            pinned = await self._tools.pinned(tool, tool.namespace)
        except Unusable as problem:
            return [problem], None
        if tool.spec.http is None or tool.spec.http.openapi is None:
            return [], None
        said = ToolFunction(
            name=tool.spec.http.openapi.operation,
            description=pinned["spec"]["description"],
            parameters=pinned["parameters"],
        )
        return [], [said.model_dump(mode="json", by_alias=True)]

    async def _asked(self, tool: FoundTool, key: Credential | None) -> Checked | None:
        """What its server answered when it was asked last, as the Tool is now."""
        assert tool.spec.mcp is not None
        spec = tool.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
        destination = destination_of(tool.spec.mcp.url)
        # Another digest does not change what is asked; another credential may.
        asked = {**spec, "mcp": {**spec["mcp"], "digest": None}}
        version = digest(
            canonical([tool.obj["metadata"]["uid"], asked, None if key is None else key.version])
        )
        sealed = None if key is None else {CREDENTIAL: await self._sealer.credential(key.key, destination)}
        check = Check(tool.namespace, tool.name, version, check_body(tool.name, spec), (destination,), sealed)
        found = await self._checks.checked(tool.namespace, tool.name)
        failed = found is not None and "reason" in found.result
        await self._checks.place(check, again=self._now() - (RECHECK if failed else AGAIN))
        return found if found is not None and found.digest == version else None


def _of_server(tool: FoundTool, found: Checked | None) -> tuple[list[Unusable], dict[str, Any]]:
    """Why the functions of a server cannot be called, and what the status says of them."""
    assert tool.spec.mcp is not None
    wanted, known = tool.spec.mcp.digest, tool.status
    if found is None:
        if wanted is not None and known.digest == wanted:
            return [], {}  # it is asked again; what is pinned is known
        message = f"Tool {tool.name}: its server at {tool.spec.mcp.url} has not answered yet"
        return [Unusable(Reason.TOOL_UNAVAILABLE, message, waits=True)], {}
    if (reason := found.result.get("reason")) is not None:
        message = f"Tool {tool.name}: {found.result.get('message', reason)}"[:1024]
        return [Unusable(_reason(str(reason)), message, waits=True)], {}
    functions: Mapping[str, Any] = found.result.get("functions", {})
    here, told = str(found.result.get("digest", "")), _told(functions)
    fields = {"digest": here, "functions": _listed(functions)}
    if wanted == here:
        return [], fields
    if wanted is None:
        message = (
            f"Tool {tool.name}: no digest is pinned. Its server has {told}. To pin them as they are: "
            f"spec.mcp.digest: {here}"
        )
        return [Unusable(Reason.NOT_PINNED, message[:1024], waits=True)], fields
    differences = f"its server has {told}"
    if known.digest == wanted:
        # What was pinned stays to be looked at; the message says what is otherwise.
        differences = _differences({item.name: item for item in known.functions}, functions)
        fields = {}
    message = (
        f"Tool {tool.name}: the functions of its server are not those that are pinned: {differences}. "
        f"To pin them as they are: spec.mcp.digest: {here}"
    )
    return [Unusable(Reason.SCHEMA_CHANGED, message[:1024], waits=True)], fields


def _listed(functions: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = []
    for name, said in sorted(functions.items()):
        listed.append({"name": name, **said})
    return listed


def _told(functions: Mapping[str, Any]) -> str:
    names = sorted(functions)
    more = f" and {len(names) - _TOLD} more" if len(names) > _TOLD else ""
    return f"{len(names)} functions: {', '.join(names[:_TOLD])}{more}" if names else "no functions"


def _differences(before: Mapping[str, ToolFunction], now: Mapping[str, Any]) -> str:
    """What is otherwise, function by function."""
    fresh = {item["name"]: item for item in _listed(now)}
    changed = [
        name
        for name, item in fresh.items()
        if name in before
        and (item["description"], item["parameters"]) != (before[name].description, before[name].parameters)
    ]
    parts = (
        ("new are", sorted(fresh.keys() - before.keys())),
        ("gone are", sorted(before.keys() - fresh.keys())),
        ("otherwise are", sorted(changed)),
    )
    told = [f"{words} {', '.join(names[:_TOLD])}" for words, names in parts if names]
    return "; ".join(told) or "their digest is another one"


def _reason(text: str) -> Reason:
    try:
        return Reason(text)
    except ValueError:
        return Reason.TOOL_UNAVAILABLE


def changed(before: Object | None, now: Object | None) -> bool:
    """Whether what others go by has changed of a Tool or Agent: its spec, its annotations, or what its status
    says."""

    def seen(obj: Object | None) -> Any:
        if obj is None:
            return None
        metadata = obj["metadata"]
        return metadata["uid"], metadata.get("generation", 0), metadata.get("annotations"), status_of(obj)

    return bool(seen(before) != seen(now))
