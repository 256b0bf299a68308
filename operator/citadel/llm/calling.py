"""One call of a step: asked, and asked again where its answer does not fit.

Prompts and answers are never logged.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import MAX_BYTES, Json, canonical
from citadel.core.models import Question, Wanted
from citadel.core.spending import Account
from citadel.core.values import Values
from citadel.llm import answers
from citadel.llm.asked import Failed, Payer, Target, Told
from citadel.llm.asking import PATIENCE, Asker, Common
from citadel.llm.provider import Message, Provider, Request
from citadel.store.ledger import Ledger


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


class Caller:
    """Asks. `provider` makes the way to a Model; `tell` is told of each attempt."""

    def __init__(
        self,
        ledger: Ledger,
        provider: Callable[[Target], Provider],
        tell: Callable[[Told], None] = lambda told: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        common: Common | None = None,
    ) -> None:
        self._ledger, self._provider, self._tell, self._sleep = ledger, provider, tell, sleep
        self._common = common or Common()

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
        wanted, patience = call.wanted, PATIENCE if left is None else left
        asker = Asker(self._ledger, self._provider, self._tell, self._sleep, patience, self._common)
        payer = Payer(call.uid, wanted.step, wanted.attempt, call.namespace, call.targets, call.accounts)
        for again in reversed(range(call.wanted.llm.repairs + 1)):
            answer, target = await asker.ask(payer, partial(_request, call, tuple(messages)))
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


def _request(call: Call, messages: tuple[Message, ...], spec: ModelSpec) -> Request:
    llm, given = call.wanted.llm, spec.parameters
    return Request(
        messages,
        llm.max_tokens or given.max_tokens,
        given.temperature if llm.temperature is None else llm.temperature,
        given.top_p,
        given.stop,
    )


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
