"""Turns of agents: asked once, recorded with what they cost, answered again for nothing."""

from dataclasses import replace
from typing import Any

import pytest

from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.core.spending import Account, Turn
from citadel.llm import chat, replies, turns
from citadel.llm.asked import Failed, Payer, Target
from citadel.llm.asking import Asker, Common
from citadel.llm.breaking import FAILURES, Breakers
from citadel.llm.provider import Delta, ProviderError
from citadel.llm.scripted import Script
from citadel.store.memory_grants import MemoryModelGrants, MemoryModelRecords
from citadel.store.memory_ledger import MemoryLedger
from citadel.store.model_grants import Grant

SPEC = ModelSpec.model_validate({"provider": "scripted", "script": [{"text": "as you wish"}]})
TARGET = Target("m", "team/m", SPEC)


def a_payer(limit: int | None = None) -> Payer:
    return Payer("u", "write", 1, "team", (TARGET,), (Account("execution:u", "budget"),), Turn(limit))


async def a_ledger() -> MemoryLedger:
    ledger = MemoryLedger()
    await MemoryModelGrants(ledger).place(Grant("u", "write", 1, "team", {}))
    return ledger


async def ask(ledger: MemoryLedger, text: str, payer: Payer, pass_on: Any = None) -> Any:
    asked = chat.read({"messages": [{"role": "user", "content": text}]})
    asker = Asker(ledger, lambda target: Script(target.spec))
    records = MemoryModelRecords(ledger)
    return await turns.answer(asker, records, payer, asked, chat.Bounds(), pass_on, {"asked": text})


async def test_the_same_question_is_paid_for_once() -> None:
    ledger = await a_ledger()
    first = await ask(ledger, "hi", a_payer())
    again = await ask(ledger, "hi", a_payer())
    assert first.answer == again.answer
    assert replies.answer_of(again.answer).text == "as you wish"
    assert again.request == {"asked": "hi"}
    assert (await ledger.spent("u", "write", 1)).calls == 1


async def test_an_answer_is_passed_on_as_it_comes() -> None:
    seen: list[str] = []

    async def pass_on(delta: Delta) -> None:
        seen.append(delta.text)

    await ask(await a_ledger(), "hi", a_payer(), pass_on)
    assert "".join(seen) == "as you wish"
    assert len(seen) > 1


async def test_beyond_its_turns_an_agent_asks_nobody() -> None:
    ledger = await a_ledger()
    await ask(ledger, "one", a_payer(1))
    await ask(ledger, "one", a_payer(1))
    with pytest.raises(Failed) as failed:
        await ask(ledger, "two", a_payer(1))
    assert failed.value.reason == Reason.TURN_LIMIT_EXCEEDED


async def test_what_was_answered_is_told_while_its_model_is_left_alone() -> None:
    ledger, breakers = await a_ledger(), Breakers()
    payer, asked = a_payer(), chat.read({"messages": [{"role": "user", "content": "hi"}]})
    await ask(ledger, "hi", payer)
    away = ModelSpec.model_validate({"provider": "openai", "model": "m"})
    unavailable = ProviderError(Reason.MODEL_UNAVAILABLE, "away")
    for _ in range(FAILURES):
        with pytest.raises(ProviderError), breakers.asking(TARGET.key, away):
            raise unavailable
    payer = replace(payer, targets=(replace(TARGET, spec=away),))
    asker = Asker(ledger, lambda target: Script(SPEC), common=Common(breakers))
    records = MemoryModelRecords(ledger)
    again = await turns.answer(asker, records, payer, asked, chat.Bounds())
    assert replies.answer_of(again.answer).text == "as you wish"
    other = chat.read({"messages": [{"role": "user", "content": "another"}]})
    with pytest.raises(Failed, match="left alone after"):
        await turns.answer(asker, records, payer, other, chat.Bounds())
