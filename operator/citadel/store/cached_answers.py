"""Answers of models that were given before, in Redis. Without Redis, or while it is away, there are none.

Redis is no place that is trusted: what stands there is encrypted by a key that the model gateway alone has.
So nobody else reads it, and what somebody else wrote counts as nothing.
"""

import hashlib
import hmac
import logging
import time

from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

#: Bytes of an answer that are kept at most.
MOST_BYTES = 256 * 1024
#: Seconds that Redis is waited for, and for which it is left alone when it fails.
_PATIENCE, _PAUSE = 0.25, 5.0


class RedisAnswers:
    """Answers by what was asked."""

    def __init__(self, host: str, port: int, password: str | None, secret: bytes) -> None:
        """`secret` is what keys are derived from."""
        self._redis = Redis(
            host=host,
            port=port,
            password=password,
            socket_timeout=_PATIENCE,
            socket_connect_timeout=_PATIENCE,
            retry=Retry(NoBackoff(), 0),
        )
        self._naming = hashlib.blake2b(secret, digest_size=32, person=b"cache names").digest()
        self._box = SecretBox(hashlib.blake2b(secret, digest_size=32, person=b"cache values").digest())
        self._away_until = 0.0

    async def get(self, question: bytes) -> bytes | None:
        """A miss, where Redis does not answer."""
        if time.monotonic() < self._away_until:
            return None
        name = self._name(question)
        try:
            found = await self._redis.get(name)
        except (RedisError, OSError) as error:
            self._failed(error)
            return None
        if not isinstance(found, bytes):
            return None
        try:
            answered, _, answer = self._box.decrypt(found).partition(b"\0")
        except (CryptoError, ValueError):
            return None
        # What was moved to another name is the answer to another question.
        return answer if answered == name.encode() else None

    async def put(self, question: bytes, answer: bytes, seconds: float) -> None:
        """Nothing, where Redis does not answer."""
        if len(answer) > MOST_BYTES or time.monotonic() < self._away_until:
            return
        name = self._name(question)
        try:
            sealed = bytes(self._box.encrypt(name.encode() + b"\0" + answer))
            await self._redis.set(name, sealed, px=max(1, int(seconds * 1000)))
        except (RedisError, OSError) as error:
            self._failed(error)

    async def close(self) -> None:
        """Cuts the connections."""
        await self._redis.aclose()

    def _name(self, question: bytes) -> str:
        return f"answer:{hmac.new(self._naming, question, hashlib.sha256).hexdigest()}"

    def _failed(self, error: Exception) -> None:
        log.warning("Redis is away, and nothing cached for %.0f seconds: %s", _PAUSE, type(error).__name__)
        self._away_until = time.monotonic() + _PAUSE
