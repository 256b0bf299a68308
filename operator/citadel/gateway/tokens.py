"""Whose pod a token belongs to, checked offline against the cluster's keys.

An offline check accepts the token of a deleted pod until it expires; so the caller
must also know the pod's uid.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from citadel.render.pod import AUDIENCE

#: Seconds between two looks for a key that is not known.
REFETCH_SECONDS = 2.0
_ALGORITHMS = ["RS256", "ES256", "ES384", "RS384", "RS512"]


class InvalidToken(Exception):
    """The token is not one of a sandbox pod; the message says why, and never repeats the token."""


@dataclass(frozen=True)
class PodIdentity:
    """The pod that a token is bound to."""

    name: str
    uid: str


class TokenVerifier:
    """Verifies projected ServiceAccount tokens. `fetch` gives the published keys: `{"issuer", "jwks"}`."""

    def __init__(self, fetch: Callable[[], Awaitable[Mapping[str, Any] | None]], namespace: str) -> None:
        self._fetch = fetch
        self._namespace = namespace
        self._issuer = ""
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = float("-inf")

    async def pod(self, token: str) -> PodIdentity:
        """The pod of a valid token; raises InvalidToken."""
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(token, key, algorithms=_ALGORITHMS, audience=AUDIENCE, issuer=self._issuer)
        except jwt.PyJWTError as error:
            raise InvalidToken(f"the token is not valid: {error}") from None
        bound = claims.get("kubernetes.io")
        bound = bound if isinstance(bound, dict) else {}
        pod = bound.get("pod")
        if not isinstance(pod, dict) or bound.get("namespace") != self._namespace:
            raise InvalidToken(f"the token is not bound to a pod of namespace {self._namespace}")
        return PodIdentity(str(pod.get("name")), str(pod.get("uid")))

    async def _key(self, kid: str) -> jwt.PyJWK:
        if kid not in self._keys and time.monotonic() - self._fetched > REFETCH_SECONDS:
            self._fetched = time.monotonic()
            published = await self._fetch()
            if published is not None:
                self._issuer = published["issuer"]
                keys = jwt.PyJWKSet.from_dict(dict(published["jwks"])).keys
                self._keys = {str(key.key_id): key for key in keys}
        try:
            return self._keys[kid]
        except KeyError:
            raise InvalidToken("the token is signed by a key that the cluster has not published") from None
