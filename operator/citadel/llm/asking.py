"""One question to a Model and its fallbacks: tried again, asked elsewhere; each try with a reservation.

Prompts and answers are never logged. Whatever becomes of a try, its reservation is settled or charged.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace

from citadel.api.durations import seconds
from citadel.api.model import ModelSpec, RateLimit
from citadel.api.reasons import Reason
from citadel.core.spending import Amount, Reservation, cost_of, unpriced
from citadel.llm.asked import Asked, Failed, Payer, Target, Told
from citadel.llm.breaking import Breakers, Open
from citadel.llm.caching import AnswerCache
from citadel.llm.provider import Answer, Delta, Provider, ProviderError, Request
from citadel.llm.replies import pieces
from citadel.store.ledger import Ledger, OutOfTurns, OverBudget, Throttled
from citadel.store.model_records import ModelRecord

#: How often one Model is tried, and the pauses between.
TRIES = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: Of a step that has no timeout: how long a rate limit, of ours or the provider's, is waited for at most.
PATIENCE = 300.0


@dataclass(frozen=True)
class Common:
    """What all calls of one process have in common."""

    breakers: Breakers = field(default_factory=Breakers)
    cache: AnswerCache | None = None
    trace: Callable[[Asked], None] | None = None
    """Told of each attempt to ask a provider."""


#: What is asked of a Model: not the same of each, as they have parameters of their own.
Questioning = Callable[[ModelSpec], Request]
#: Takes a piece of an answer as it comes.
PassOn = Callable[[Delta], Awaitable[None]]
#: What is to be recorded of an answer; `tokens` are those sent and those answered, as they are booked.
Recording = Callable[[Target, Answer, tuple[int, int], int], ModelRecord]


class Asker:
    """Asks the Models of one payer in order, until one answers, `patience` seconds at most."""

    def __init__(
        self,
        ledger: Ledger,
        provider: Callable[[Target], Provider],
        tell: Callable[[Told], None] = lambda told: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        patience: float = PATIENCE,
        common: Common | None = None,
    ) -> None:
        self._ledger, self._provider, self._tell, self._sleep = ledger, provider, tell, sleep
        self._ends = time.monotonic() + patience
        self._common = common or Common()

    async def ask(
        self,
        payer: Payer,
        question: Questioning,
        pass_on: PassOn | None = None,
        record: Recording | None = None,
        digest: str | None = None,
    ) -> tuple[Answer, Target]:
        """The first answer, and whose it is; raises Failed, NotGranted, and by `digest` Answered.

        With `pass_on` it is asked for in pieces; from the first piece on nobody else is asked.
        """
        return await _Question(self, payer, question, pass_on, record, digest).ask()


class _Question:
    """One question of an Asker."""

    def __init__(
        self,
        asker: Asker,
        payer: Payer,
        question: Questioning,
        pass_on: PassOn | None,
        record: Recording | None,
        digest: str | None,
    ) -> None:
        self._digest = digest
        self._ledger, self._provider, self._tell = asker._ledger, asker._provider, asker._tell
        self._sleep, self._ends = asker._sleep, asker._ends
        self._breakers, self._cache = asker._common.breakers, asker._common.cache
        self._trace = asker._common.trace
        self._payer, self._question, self._pass_on, self._record = payer, question, pass_on, record
        self._turn = payer.turn
        self._passed = False
        """Whether a piece of an answer was passed on."""

    async def ask(self) -> tuple[Answer, Target]:
        answered = False
        try:
            found = await self._first()
            answered = True
            return found
        finally:
            if not answered and self._turn is not None and not self._turn.begins:
                payer = self._payer
                with suppress(Exception):
                    await asyncio.shield(self._ledger.unanswered(payer.uid, payer.step, payer.attempt))

    async def _first(self) -> tuple[Answer, Target]:
        problems: list[str] = []
        last = ProviderError(Reason.MODEL_UNAVAILABLE, "there is no Model to ask")
        for target in self._payer.targets:
            try:
                return await self._known(target) or await self._ask(target), target
            except ProviderError as error:
                problems.append(f"Model {target.name}: {error.message}")
                last = error
                if self._passed or not error.passes:
                    break
        raise Failed(last.reason, "; ".join(problems), last.retry_after)

    async def _ask(self, target: Target) -> Answer:
        pause = FIRST_PAUSE
        tries = TRIES
        while True:
            try:
                with self._breakers.asking(target.key, target.spec):
                    return await self._once(target)
            except Open:
                self._tell(Told(target.name, target.spec.provider, "LeftAlone", 0.0))
                raise
            except Throttled as throttled:
                # Nothing was asked yet: it is waited for as long as there is time.
                error = ProviderError(Reason.RATE_LIMITED, str(throttled), retry_after=throttled.seconds)
            except ProviderError as failed:
                tries -= 1
                if self._passed or not failed.passes or not tries:
                    raise
                error = failed
            wait = max(pause, error.retry_after or 0.0)
            if time.monotonic() + wait > self._ends:
                raise error
            await self._sleep(wait)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _once(self, target: Target) -> Answer:
        spec, payer = target.spec, self._payer
        request = self._question(spec)
        if (why := unpriced(payer.accounts, target.name, spec)) is not None:
            raise Failed(Reason.BUDGET_EXCEEDED, why)
        need = request.upper_bound(spec.prices)
        reserving = asyncio.create_task(self._reserve(target, need, request.max_tokens, spec.rate_limit))
        try:
            # What is to be sent is made while the database writes.
            await asyncio.sleep(0)
            provider = self._prepared(target, request)
            name = await reserving
        finally:
            reserving.cancel()
        return await self._reserved(name, target, request, provider)

    def _prepared(self, target: Target, request: Request) -> Provider | None:
        """The way to a Model; None where there is none, which the call tells."""
        try:
            provider = self._provider(target)
        except ProviderError:
            return None
        provider.prepare(request, stream=self._pass_on is not None)
        return provider

    async def _known(self, target: Target) -> Answer | None:
        """The answer that the cache knows: it costs nothing, and is recorded as any other."""
        if self._cache is None:
            return None
        answer = await self._cache.find(self._payer.namespace, target, self._question(target.spec))
        if answer is None:
            return None
        if self._record is not None or self._turn is not None:
            name = await self._reserve(target, Amount(), 0, None)
            record = None if self._record is None else self._record(target, answer, (0, 0), 0)
            await self._ledger.settle(name, 0, 0, 0, record)
        self._tell(Told(target.name, target.spec.provider, "Cached", 0.0))
        if self._pass_on is not None:
            for piece in pieces(answer):
                self._passed = True
                await self._pass_on(piece)
        return answer

    async def _reserve(self, target: Target, need: Amount, max_tokens: int, limit: RateLimit | None) -> str:
        spec, payer = target.spec, self._payer
        reservation = Reservation(
            payer.uid,
            payer.step,
            payer.attempt,
            payer.namespace,
            target.key,
            need,
            max_tokens,
            payer.accounts,
            limit.requests_per_minute if limit else None,
            limit.tokens_per_minute if limit else None,
            self._turn,
            spec.provider,
            self._digest,
        )
        try:
            name = await self._ledger.reserve(reservation)
        except OverBudget as refused:
            self._tell(Told(target.name, spec.provider, Reason.BUDGET_EXCEEDED, 0.0))
            raise Failed(Reason.BUDGET_EXCEEDED, str(refused)) from None
        except OutOfTurns as refused:
            raise Failed(Reason.TURN_LIMIT_EXCEEDED, str(refused)) from None
        if self._turn is not None:
            self._turn = replace(self._turn, begins=False)
        return name

    async def _reserved(
        self, name: str, target: Target, request: Request, provider: Provider | None
    ) -> Answer:
        """The call itself. By every way out of here its reservation is settled or charged."""
        began, spec = time.monotonic(), target.spec
        told = Told(target.name, spec.provider, Reason.MODEL_UNAVAILABLE, 0.0)
        settled = False
        record: ModelRecord | None = None
        answer: Answer | None = None
        try:
            async with asyncio.timeout(seconds(spec.timeout)):
                answer = await self._answer(provider or self._provider(target), request)
            told = replace(told, outcome="ok")
            took, cost = (0, 0), 0
            known = answer.input_tokens is not None and answer.output_tokens is not None
            if answer.input_tokens is not None and answer.output_tokens is not None:
                took = (answer.input_tokens, answer.output_tokens)
                cost = cost_of(answer.input_tokens, answer.cached_tokens, answer.output_tokens, spec.prices)
                told = replace(told, tokens=sum(took), cost=cost)
            else:
                need = request.upper_bound(spec.prices)
                took, cost = (need.tokens - request.max_tokens, request.max_tokens), need.cost
            record = None if self._record is None else self._record(target, answer, took, cost)
            if known:
                await self._ledger.settle(name, *took, cost, record)
                settled = True
            if self._cache is not None:
                await self._cache.keep(self._payer.namespace, target, request, answer)
            return answer
        except ProviderError as error:
            told = replace(told, outcome=error.reason)
            if not error.sent:
                await self._ledger.settle(name, 0, 0, 0)
                settled = True
            raise
        except TimeoutError:
            # Of the call, or of the step around it: that one then ends all of this.
            raise ProviderError(Reason.MODEL_UNAVAILABLE, f"no answer within {spec.timeout}") from None
        finally:
            took_seconds = time.monotonic() - began
            self._tell(replace(told, seconds=took_seconds))
            if self._trace is not None:
                at = time.time()
                self._trace(Asked(self._payer, target, request, at - took_seconds, at, answer, told.outcome))
            if not settled:
                # Also when this task is cancelled: what was sent may be paid for.
                with suppress(Exception):
                    await asyncio.shield(self._ledger.charge(name, record))

    async def _answer(self, provider: Provider, request: Request) -> Answer:
        """The answer; its pieces are passed on as they come."""
        if self._pass_on is None:
            return await provider.ask(request)
        async with aclosing(provider.stream(request)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                if isinstance(piece, Answer):
                    return piece
                self._passed = True
                await self._pass_on(piece)
        raise ProviderError(Reason.MODEL_UNAVAILABLE, "the answer broke off")
