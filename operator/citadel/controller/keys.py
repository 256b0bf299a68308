"""Publishing the cluster's token signing keys in the journal, where gateways find them."""

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from citadel.kube.client import KubeClient

REFRESH_SECONDS = 60.0


class KeyStore(Protocol):
    """Where the keys are kept."""

    async def get(self) -> Mapping[str, Any] | None: ...

    async def set(self, body: Mapping[str, Any]) -> None: ...


async def publish(kube: KubeClient, store: KeyStore) -> None:
    """Reads issuer and keys from the API server, and stores them where they differ."""
    discovery = await kube.raw("/.well-known/openid-configuration")
    jwks = await kube.raw("/openid/v1/jwks")
    published = {"issuer": discovery["issuer"], "jwks": jwks}
    if await store.get() != published:
        await store.set(published)


async def keep_published(kube: KubeClient, store: KeyStore) -> None:
    """One round of keeping them fresh: keys rotate."""
    await asyncio.sleep(REFRESH_SECONDS)
    await publish(kube, store)
