"""Calls of agents, answered: from what was recorded, else by a Model, whose answer is recorded with its cost.

A call that could go beyond a budget stops its step, whatever the sandbox makes of the refusal. Prompts and
answers are never logged.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.jsonvalues import Json
from citadel.core.policy import prompts_recorded
from citadel.limiting import Refused
from citadel.llm import chat, replies, turns
from citadel.llm.asked import Failed, Told
from citadel.llm.asking import PATIENCE, Asker, Common, PassOn
from citadel.models.grants import Granted, OpenGrants
from citadel.models.sessions import Attempt
from citadel.store.journal import ExecutionUnknown, Journal, JournalUnavailable
from citadel.store.ledger import Ledger, NotGranted
from citadel.store.model_records import ModelRecord, ModelRecords
from citadel.store.policies import RecentPolicies

log = logging.getLogger(__name__)

_TRIES, _PAUSE = 5, 0.5


@dataclass(frozen=True)
class Question:
    """What an attempt asks, and the body that said it."""

    attempt: Attempt
    asked: chat.Asked
    body: Json


class Answering:
    """Answers calls. Of the same question of one attempt only one is asked at a time."""

    def __init__(
        self,
        journal: Journal,
        grants: OpenGrants,
        records: ModelRecords,
        ledger: Ledger,
        policies: RecentPolicies,
        tell: Callable[[Told], None] = lambda told: None,
        common: Common | None = None,
    ) -> None:
        self._journal, self._grants, self._records = journal, grants, records
        self._ledger, self._policies, self._tell = ledger, policies, tell
        self._common = common or Common()
        self._turns: WeakValueDictionary[tuple[str, str, int, str], asyncio.Lock] = WeakValueDictionary()

    async def make_ready(self, attempt: Attempt) -> None:
        """Opens what an attempt is granted, and what pays for it, before it asks; raises Refused."""
        granted = await self._grants.of(attempt)
        await self._ledger.open(granted.payer.accounts)

    async def answer(self, question: Question, pass_on: PassOn | None) -> ModelRecord:
        """The answer; raises Refused, and Failed. Its `n` is 0 unless it had been recorded before."""
        turn = self._turns.setdefault((*question.attempt.key, question.asked.digest), asyncio.Lock())
        async with turn:
            granted = await self._grants.of(question.attempt)
            granted.users += 1
            try:
                return await self._ask(question, granted, pass_on)
            finally:
                granted.users -= 1

    async def _ask(self, question: Question, granted: Granted, pass_on: PassOn | None) -> ModelRecord:
        attempt = question.attempt
        keep = prompts_recorded(await self._policies.of(attempt.namespace))
        asker = Asker(self._ledger, granted.provider, self._tell, patience=PATIENCE, common=self._common)
        request = question.body if keep else None
        payer, bounds = granted.payer, granted.bounds
        try:
            found = await turns.answer(asker, self._records, payer, question.asked, bounds, pass_on, request)
        except NotGranted:
            told = f"step {attempt.step} attempt {attempt.attempt} is over"
            raise Refused(409, "Superseded", told) from None
        except Failed as failed:
            if failed.stops:
                await asyncio.shield(self._stop(attempt, failed))
            raise
        if found.n and pass_on is not None:
            for piece in replies.pieces(replies.answer_of(found.answer)):
                await pass_on(piece)
        return found

    async def _stop(self, attempt: Attempt, failed: Failed) -> None:
        """The step ends, whatever its sandbox does."""
        failure = replace(Failure.cut(failed.reason, failed.message), final=True)
        fact = ev.AttemptFailed(attempt.step, attempt.attempt, attempt.sandbox, failure)
        for _ in range(_TRIES):
            with suppress(ExecutionUnknown):
                try:
                    await self._journal.advance(attempt.uid, [fact])
                except JournalUnavailable:
                    await asyncio.sleep(_PAUSE)
                    continue
            return
        log.warning("step %s of %s goes on beyond its budget: its next call tells again", *attempt.key[:2])
