"""What agents remember goes with the namespace in which it was said: another of the same name begins anew."""

import asyncio
from datetime import datetime

from citadel.kube.cache import Cache
from citadel.kube.client import KubeClient
from citadel.kube.errors import NotFound
from citadel.kube.resources import NAMESPACES
from citadel.store.conversations import Conversations

#: Seconds between two looks for what was said in namespaces that went unheard.
LOOK_SECONDS = 600.0


async def namespace_changed(cache: Cache, conversations: Conversations, name: str) -> None:
    """Forgets what was said in a namespace that is gone."""
    if cache.get(NAMESPACES, "", name) is None:
        await conversations.forget(name)


async def forget_gone(kube: KubeClient, conversations: Conversations) -> None:
    """Forgets what was said in namespaces that are gone, or were made after it. Raises ApiError."""
    for name, since in await conversations.namespaces():
        try:
            found = await kube.get(NAMESPACES, name)
        except NotFound:
            await conversations.forget(name)
            continue
        made = datetime.fromisoformat(found["metadata"]["creationTimestamp"]).timestamp()
        if since < made:
            await conversations.forget(name, before=made)


async def keep_forgetting(kube: KubeClient, conversations: Conversations) -> None:
    """One round of that."""
    await forget_gone(kube, conversations)
    await asyncio.sleep(LOOK_SECONDS)
