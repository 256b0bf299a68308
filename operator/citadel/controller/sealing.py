"""Sealing what one other process of ours alone may read."""

import base64
import json
from typing import Any

from nacl.public import PublicKey, SealedBox

from citadel.kube.client import KubeClient
from citadel.kube.resources import SECRETS


class Sealer:
    """Seals to the key pair whose public half stands in a Secret."""

    def __init__(self, kube: KubeClient, namespace: str, secret: str) -> None:
        self._kube, self._namespace, self._secret = kube, namespace, secret
        self._box: SealedBox[Any] | None = None

    async def seal(self, text: str) -> str:
        """A text as the other process alone can read it."""
        if self._box is None:
            secret = await self._kube.get(SECRETS, self._secret, self._namespace)
            public = base64.b64decode((secret.get("data") or {}).get("public", ""))
            self._box = SealedBox(PublicKey(base64.b64decode(public)))
        return base64.b64encode(self._box.encrypt(text.encode())).decode()

    async def credential(self, key: str, destination: str | None) -> str:
        """A credential, with the one place where it may be sent."""
        return await self.seal(json.dumps({"key": key, "host": destination}))
