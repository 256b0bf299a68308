"""What agents remember, for people: they read and delete it, as far as the cluster lets them.

`agents/memory` is no resource of the API server: it stands for the right to do this.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from citadel.kube.resources import AGENTS
from citadel.store.conversations import Conversation, Conversations, Key, named
from citadel.web.access import Access, Identity

_PATH = "/api/v1/namespaces/{namespace}/agents/{name}/conversations"


class MemoryRoutes:
    """Handlers of conversations. `who` tells who asks, `since` when a namespace was made."""

    def __init__(
        self,
        conversations: Conversations,
        access: Access,
        who: Callable[[web.Request], Awaitable[Identity]],
        since: Callable[[str], Awaitable[float]],
    ) -> None:
        self._conversations, self._access = conversations, access
        self._who, self._since = who, since

    def add_to(self, app: web.Application) -> None:
        """Serves its paths."""
        app.router.add_get(_PATH, self.listed)
        app.router.add_get(f"{_PATH}/{{conversation:.+}}", self.shown)
        app.router.add_delete(_PATH, self.deleted)
        app.router.add_delete(f"{_PATH}/{{conversation:.+}}", self.deleted)

    async def listed(self, request: web.Request) -> web.Response:
        """The conversations of an agent, the one changed last first; the agent itself may be gone."""
        namespace, agent = await self._agent(request, "get")
        return web.json_response({"items": [_about(item) for item in await self._of(namespace, agent)]})

    async def shown(self, request: web.Request) -> web.Response:
        """One of them: its summary, and the messages since."""
        namespace, agent = await self._agent(request, "get")
        key = Key(namespace, agent, named(request.match_info["conversation"]))
        known = next(
            (item for item in await self._of(namespace, agent) if item.conversation == key.conversation), None
        )
        found = None if known is None else await self._conversations.read(key)
        if known is None or found is None:
            raise _unknown(key)
        summary, said = found
        messages = [
            {"role": item.role, "content": item.content, "at": item.at, "execution": item.execution}
            for item in said
        ]
        return web.json_response({**_about(known), "summary": summary, "messages": messages})

    async def deleted(self, request: web.Request) -> web.Response:
        """Deletes one of them, or all; what is under way brings nothing of it back."""
        namespace, agent = await self._agent(request, "delete")
        conversation = request.match_info.get("conversation")
        name = None if conversation is None else named(conversation)
        count = await self._conversations.forget(namespace, agent, name)
        if name is not None and not count:
            raise _unknown(Key(namespace, agent, name))
        return web.json_response({"deleted": count})

    async def _agent(self, request: web.Request, verb: str) -> tuple[str, str]:
        """Namespace and name of the Agent a request names, once its sender may do that with its memory."""
        who = await self._who(request)
        namespace, name = request.match_info["namespace"], request.match_info["name"]
        try:
            AGENTS.path(namespace, name)
        except ValueError:
            raise web.HTTPNotFound(text=f"found {name!r:.80}, expected the name of an Agent") from None
        await self._access.require(who, verb, "memory", namespace, name, resource="agents")
        return namespace, name

    async def _of(self, namespace: str, agent: str) -> list[Conversation]:
        """Those of the namespace as it is now: what another of this name had is nobody's business."""
        since = await self._since(namespace)
        return [item for item in await self._conversations.of(namespace, agent) if item.created_at >= since]


def _about(item: Conversation) -> dict[str, Any]:
    return {
        "conversation": item.conversation,
        "messages": item.messages,
        "summarised": item.summarised,
        "createdAt": item.created_at,
        "changedAt": item.changed_at,
    }


def _unknown(key: Key) -> web.HTTPNotFound:
    text = f"Agent {key.agent} of namespace {key.namespace} remembers no conversation {key.conversation!r}"
    return web.HTTPNotFound(text=text)
