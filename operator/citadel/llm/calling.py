"""One call of a step: asked, repaired, tried again, asked elsewhere; each attempt of it with a reservation.

Prompts and answers are never logged. Whatever becomes of a call, its reservation is settled or charged.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from citadel.api.durations import seconds
from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import MAX_BYTES, Json, canonical
from citadel.core.models import Question, Wanted
from citadel.core.spending import Account, Reservation, cost_of, unpriced
from citadel.core.values import Values
from citadel.llm import answers
from citadel.llm.provider import Answer, Message, Provider, ProviderError, Request
from citadel.store.ledger import Ledger, OverBudget, Throttled

#: How often one Model is tried, and the pauses between.
TRIES = 3
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
#: Of a step that has no timeout: how long a rate limit, of ours or the provider's, is waited for at most.
PATIENCE = 300.0


@dataclass(frozen=True)
class Target:
    """A Model that may be asked."""

    name: str
    key: str
    """`namespace/name`."""
    spec: ModelSpec


@dataclass(frozen=True)
class Call:
    """What a step wants, with all that it takes to ask."""

    uid: str
    namespace: str
    wanted: Wanted
    question: Question
    targets: tuple[Target, ...]
    """The Model, and its fallbacks in order."""
    accounts: tuple[Account, ...]


@dataclass(frozen=True)
class Told:
    """One attempt to ask a provider, for whoever counts."""

    model: str
    provider: str
    outcome: str
    seconds: float
    tokens: int = 0
    cost: int = 0


class Failed(Exception):
    """The call gives nothing."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class Caller:
    """Asks. `provider` makes the way to a Model; `tell` is told of each attempt."""

    def __init__(
        self,
        ledger: Ledger,
        provider: Callable[[Target], Provider],
        tell: Callable[[Told], None] = lambda told: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger, self._provider, self._tell, self._sleep = ledger, provider, tell, sleep

    async def answer(self, call: Call, left: float | None) -> tuple[ev.ModelAnswered, Values]:
        """The fact that a call has ended, within `left` seconds, and the values it names."""
        values, wanted = Values(), call.wanted
        try:
            output, target = await self.perform(call, left)
        except Failed as failed:
            failure = Failure.cut(failed.reason, failed.message)
            usage = await self.usage(call, call.targets[0])
            return ev.ModelAnswered(wanted.step, wanted.attempt, None, failure, usage), values
        usage = await self.usage(call, target)
        return ev.ModelAnswered(wanted.step, wanted.attempt, values.put(output), None, usage), values

    async def usage(self, call: Call, target: Target) -> ev.Usage | None:
        """What a call has taken by the ledger, `target` being who was asked last; None if nobody was."""
        spent = await self._ledger.spent(call.uid, call.wanted.step, call.wanted.attempt)
        if not spent.calls:
            return None
        counted = (spent.input_tokens, spent.output_tokens, spent.cost, spent.calls, spent.estimated)
        return ev.Usage(target.name, target.spec.provider, *counted)

    async def perform(self, call: Call, left: float | None) -> tuple[Json, Target]:
        """The output of a call within `left` seconds, and which Model gave it; raises Failed."""
        try:
            async with asyncio.timeout(left):
                return await self._converse(call, left)
        except TimeoutError:
            message = f"Model {call.wanted.llm.model} has not answered within the step's timeout"
            raise Failed(Reason.TIMEOUT, message) from None

    async def _converse(self, call: Call, left: float | None) -> tuple[Json, Target]:
        schema, messages = call.wanted.schema, list(_beginning(call))
        asker = _Asker(
            self._ledger, self._provider, self._tell, self._sleep, PATIENCE if left is None else left
        )
        for again in reversed(range(call.wanted.llm.repairs + 1)):
            answer, target = await asker.ask(call, tuple(messages))
            if schema is None:
                return _sized(answers.clean(answer.text)), target
            try:
                return _sized(answers.read(answer.text, schema)), target
            except answers.Unfit as unfit:
                if not again:
                    asked = call.wanted.llm.repairs + 1
                    message = f"Model {target.name}: {unfit} (asked {asked} times)"
                    raise Failed(Reason.INVALID_OUTPUT, message) from None
                messages += [Message("assistant", answer.text), Message("user", answers.repair(str(unfit)))]
        raise AssertionError("unreachable: the last round returns or raises")


class _Asker:
    """Asks the Models of one call in order, until one answers."""

    def __init__(
        self,
        ledger: Ledger,
        provider: Callable[[Target], Provider],
        tell: Callable[[Told], None],
        sleep: Callable[[float], Awaitable[None]],
        patience: float,
    ) -> None:
        self._ledger, self._provider, self._tell, self._sleep = ledger, provider, tell, sleep
        self._ends = time.monotonic() + patience

    async def ask(self, call: Call, messages: tuple[Message, ...]) -> tuple[Answer, Target]:
        """The first answer, and whose it is; raises Failed."""
        problems: list[str] = []
        reason = Reason.MODEL_UNAVAILABLE
        for target in call.targets:
            try:
                return await self._ask(call, target, messages), target
            except ProviderError as error:
                problems.append(f"Model {target.name}: {error.message}")
                reason = error.reason
                if not error.passes:
                    break
        raise Failed(reason, "; ".join(problems))

    async def _ask(self, call: Call, target: Target, messages: tuple[Message, ...]) -> Answer:
        pause = FIRST_PAUSE
        tries = TRIES
        while True:
            try:
                return await self._once(call, target, messages)
            except Throttled as throttled:
                # Nothing was asked yet: it is waited for as long as there is time.
                error = ProviderError(Reason.RATE_LIMITED, str(throttled), retry_after=throttled.seconds)
            except ProviderError as failed:
                tries -= 1
                if not failed.passes or not tries:
                    raise
                error = failed
            wait = max(pause, error.retry_after or 0.0)
            if time.monotonic() + wait > self._ends:
                raise error
            await self._sleep(wait)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _once(self, call: Call, target: Target, messages: tuple[Message, ...]) -> Answer:
        spec, llm = target.spec, call.wanted.llm
        given = spec.parameters
        request = Request(
            messages,
            llm.max_tokens or given.max_tokens,
            given.temperature if llm.temperature is None else llm.temperature,
            given.top_p,
            given.stop,
        )
        if (why := unpriced(call.accounts, target.name, spec)) is not None:
            raise Failed(Reason.BUDGET_EXCEEDED, why)
        limit = spec.rate_limit
        need = request.upper_bound(spec.prices)
        reservation = Reservation(
            call.uid,
            call.wanted.step,
            call.wanted.attempt,
            call.namespace,
            target.key,
            need,
            request.max_tokens,
            call.accounts,
            limit.requests_per_minute if limit else None,
            limit.tokens_per_minute if limit else None,
        )
        try:
            name = await self._ledger.reserve(reservation)
        except OverBudget as refused:
            self._tell(Told(target.name, spec.provider, Reason.BUDGET_EXCEEDED, 0.0))
            raise Failed(Reason.BUDGET_EXCEEDED, str(refused)) from None
        return await self._reserved(name, target, request)

    async def _reserved(self, name: str, target: Target, request: Request) -> Answer:
        """The call itself. By every way out of here its reservation is settled or charged."""
        began, spec = time.monotonic(), target.spec
        told = Told(target.name, spec.provider, Reason.MODEL_UNAVAILABLE, 0.0)
        settled = False
        try:
            async with asyncio.timeout(seconds(spec.timeout)):
                answer = await self._provider(target).ask(request)
            told = replace(told, outcome="ok")
            if answer.input_tokens is not None and answer.output_tokens is not None:
                took = (answer.input_tokens, answer.output_tokens)
                cost = cost_of(answer.input_tokens, answer.cached_tokens, answer.output_tokens, spec.prices)
                told = replace(told, tokens=sum(took), cost=cost)
                await self._ledger.settle(name, *took, cost)
                settled = True
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
            self._tell(replace(told, seconds=time.monotonic() - began))
            if not settled:
                # Also when this task is cancelled: what was sent may be paid for.
                with suppress(Exception):
                    await asyncio.shield(self._ledger.charge(name))


def _beginning(call: Call) -> list[Message]:
    told = [call.question.system] if call.question.system else []
    if call.wanted.schema is not None:
        told.append(answers.instruction(call.wanted.schema.schema))
    system = [Message("system", "\n\n".join(told))] if told else []
    return [*system, Message("user", call.question.prompt)]


def _sized(output: Json) -> Json:
    size = len(canonical(output))
    if size > MAX_BYTES:
        message = f"output: found {size} bytes of JSON, expected at most {MAX_BYTES}"
        raise Failed(Reason.OUTPUT_TOO_LARGE, message)
    return output
