"""Circuit breakers: a Model that fails again and again is left alone for a while; its fallbacks are asked.

Only failures count that say that nobody answers. A rate limit is waited for, and a refusal is an answer. A
scripted Model has none: what it says is to follow from its script alone.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.llm.provider import ProviderError

#: Failures one after another after which a Model is left alone, and seconds for which it is.
FAILURES, PAUSE_SECONDS = 5, 30.0
#: Models that are kept in mind; of those that fail no more nothing is.
_MOST = 1000


class Open(ProviderError):
    """A Model is left alone for now."""

    def __init__(self, failures: int, seconds: float) -> None:
        message = f"left alone after {failures} failures one after another, asked again in {seconds:.0f}s"
        super().__init__(Reason.MODEL_UNAVAILABLE, message, retry_after=seconds, sent=False)


@dataclass
class _Breaker:
    failures: int = 0
    asked_at: float = 0.0
    """When it may be asked again, once it is open."""
    probing: bool = False

    @property
    def is_open(self) -> bool:
        return self.failures >= FAILURES


class Breakers:
    """The breakers of one process, by Model and endpoint: one that is given another begins anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._breakers: dict[tuple[str, str], _Breaker] = {}

    @property
    def open(self) -> int:
        """How many Models are left alone now."""
        return sum(breaker.is_open for breaker in self._breakers.values())

    @contextmanager
    def asking(self, model: str, spec: ModelSpec) -> Iterator[None]:
        """Around a call of `namespace/name`; raises Open in its stead.

        When the pause is over one call is let through, and what becomes of it decides.
        """
        if spec.provider == "scripted":
            yield
            return
        key = (model, str(spec.url))
        probes = self._let_through(key)
        failed: bool | None = None
        try:
            yield
            failed = False
        except ProviderError as error:
            failed = {Reason.MODEL_UNAVAILABLE: True, Reason.MODEL_ERROR: False}.get(error.reason)
            raise
        finally:
            self._ended(key, failed, probes)

    def _let_through(self, key: tuple[str, str]) -> bool:
        breaker = self._breakers.get(key)
        if breaker is None or not breaker.is_open:
            return False
        left = breaker.asked_at - self._clock()
        if left > 0 or breaker.probing:
            raise Open(breaker.failures, max(1.0, left))
        breaker.probing = True
        return True

    def _ended(self, key: tuple[str, str], failed: bool | None, probes: bool) -> None:
        breaker = self._breakers.get(key)
        if breaker is not None and probes:
            breaker.probing = False
        if failed is False:
            self._breakers.pop(key, None)
        elif failed:
            if breaker is None:
                if len(self._breakers) >= _MOST:
                    return
                breaker = self._breakers[key] = _Breaker()
            breaker.failures += 1
            breaker.asked_at = self._clock() + PAUSE_SECONDS
