"""Whose pod a token belongs to, checked offline against the cluster's keys.

An offline check accepts the token of a deleted pod until it expires; so the caller
must also know the pod's uid.
"""

import asyncio
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


class KeysUnavailable(Exception):
    """No keys are published yet, so nothing can be said of any token: ask again."""


@dataclass(frozen=True)
class PodIdentity:
    """The pod that a token is bound to."""

    name: str
    uid: str


class TokenVerifier:
    """Verifies projected ServiceAccount tokens. `fetch` gives the published keys: `{"issuer", "jwks"}`."""

    def __init__(
        self,
        fetch: Callable[[], Awaitable[Mapping[str, Any] | None]],
        namespace: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetch = fetch
        self._namespace = namespace
        self._clock = clock
        self._fetching = asyncio.Lock()
        self._issuer = ""
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched = float("-inf")

    async def pod(self, token: str) -> PodIdentity:
        """The pod of a valid token; raises InvalidToken, KeysUnavailable."""
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                algorithms=_ALGORITHMS,
                audience=AUDIENCE,
                issuer=self._issuer,
                options={"require": ["exp", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(f"the token is not valid: {error}") from None
        except ValueError:
            # Such as a lone surrogate, which no token has.
            raise InvalidToken("the token is not valid: it is not text") from None
        bound = claims.get("kubernetes.io")
        bound = bound if isinstance(bound, dict) else {}
        pod = bound.get("pod")
        if not isinstance(pod, dict) or bound.get("namespace") != self._namespace:
            raise InvalidToken(f"the token is not bound to a pod of namespace {self._namespace}")
        return PodIdentity(str(pod.get("name")), str(pod.get("uid")))

    async def _key(self, kid: str) -> jwt.PyJWK:
        # One fetch at a time, which all wait for: a token that comes meanwhile is not invalid, and a fetch
        # that fails or finds nothing does not count: the first pods of an installation may be there before
        # its keys are.
        async with self._fetching:
            if kid not in self._keys and self._clock() - self._fetched > REFETCH_SECONDS:
                published = await self._fetch()
                if published is None:
                    raise KeysUnavailable("the cluster's keys are not published yet")
                self._fetched = self._clock()
                self._issuer = published["issuer"]
                keys = jwt.PyJWKSet.from_dict(dict(published["jwks"])).keys
                self._keys = {str(key.key_id): key for key in keys}
        try:
            return self._keys[kid]
        except KeyError:
            raise InvalidToken("the token is signed by a key that the cluster has not published") from None
