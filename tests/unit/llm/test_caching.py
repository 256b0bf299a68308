"""Answers that need not be paid for again: to whom they are given, what they cost, and when they are not."""

from dataclasses import replace
from typing import Any

import pytest

from citadel.api.model import ModelSpec
from citadel.core.spending import Account, Turn
from citadel.llm import chat, replies, turns
from citadel.llm.asked import Failed, Payer, Target, Told
from citadel.llm.asking import Asker, Common
from citadel.llm.breaking import FAILURES, Breakers
from citadel.llm.caching import AnswerCache
from citadel.llm.provider import Answer, Delta, Message, ProviderError, Request, ToolCall, of_status
from citadel.store.memory_grants import MemoryModelGrants, MemoryModelRecords
from citadel.store.memory_ledger import MemoryLedger
from citadel.store.model_grants import Grant

CACHED = {"provider": "openai", "model": "m", "cache": {"ttl": "1h"}, "prices": {"input": "1", "output": "1"}}
ANSWER = Answer("", 10, 2, tool_calls=(ToolCall("c", "search", {"q": "ü"}),), finish_reason="tool_calls")


class Kept:
    """A store in memory."""

    def __init__(self) -> None:
        self.answers: dict[bytes, bytes] = {}
        self.seconds: list[float] = []

    async def get(self, question: bytes) -> bytes | None:
        return self.answers.get(question)

    async def put(self, question: bytes, answer: bytes, seconds: float) -> None:
        self.answers[question] = answer
        self.seconds.append(seconds)


class Scene:
    """Models that give one answer, or fail; what they were asked, and what was told of it."""

    def __init__(self, *answers: Answer | ProviderError) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.looks: list[str] = []
        self.told: list[Told] = []
        self.kept, self.ledger = Kept(), MemoryLedger()
        self.common = Common(Breakers(), AnswerCache(self.kept, self.looks.append))

    def provider(self, target: Target) -> Any:
        scene = self

        class Provider:
            def prepare(self, request: Request, *, stream: bool) -> None:
                """Nothing."""

            async def ask(self, request: Request) -> Answer:
                scene.asked.append(target.name)
                given = scene.answers.pop(0) if len(scene.answers) > 1 else scene.answers[0]
                if isinstance(given, ProviderError):
                    raise given
                return given

        return Provider()

    async def sleep(self, seconds: float) -> None:
        return

    def asker(self) -> Asker:
        return Asker(self.ledger, self.provider, self.told.append, self.sleep, 60.0, self.common)

    async def ask(
        self,
        *targets: Target,
        text: str = "?",
        namespace: str = "team",
        temperature: float | None = 0.0,
        pass_on: Any = None,
    ) -> Answer:
        accounts = (Account("execution:u", "budget"),)
        payer = Payer("u", "ask", 1, namespace, targets or (target(),), accounts)
        request = Request((Message("user", text),), 10, temperature)
        return (await self.asker().ask(payer, lambda spec: request, pass_on))[0]


def target(name: str = "m", uid: str = "uid-1", version: str = "7", **fields: Any) -> Target:
    return Target(name, f"team/{name}", ModelSpec.model_validate({**CACHED, **fields}), uid, version)


def same(found: Answer) -> bool:
    return replace(found, input_tokens=10, output_tokens=2) == ANSWER


async def test_the_same_request_is_paid_for_once_and_its_answer_passed_on() -> None:
    scene = Scene(ANSWER)
    assert same(await scene.ask())
    spent = await scene.ledger.spent("u", "ask", 1)
    seen: list[Delta] = []

    async def pass_on(delta: Delta) -> None:
        seen.append(delta)

    assert same(await scene.ask(pass_on=pass_on))
    assert [delta.call.name for delta in seen if delta.call] == ["search"]
    assert (scene.asked, scene.looks) == (["m"], ["miss", "hit"])
    assert await scene.ledger.spent("u", "ask", 1) == spent
    assert [told.outcome for told in scene.told] == ["ok", "Cached"]
    assert scene.kept.seconds == [3600.0]


@pytest.mark.parametrize(
    "other",
    [
        {"text": "!"},
        {"namespace": "other"},
        {"target": target(uid="uid-2")},
        {"target": target(version="8")},
        {"target": target(endpoint="https://other.example.com")},
        {"target": target(model="m-2")},
    ],
)
async def test_nobody_is_told_what_something_else_answered(other: dict[str, Any]) -> None:
    scene = Scene(ANSWER)
    await scene.ask()
    await scene.ask(*([other.pop("target")] if "target" in other else []), **other)
    assert scene.asked == ["m", "m"]
    assert scene.looks == ["miss", "miss"]


@pytest.mark.parametrize(
    ("asked", "temperature"),
    [(target(), 0.1), (target(), None), (target(cache=None), 0.0), (target(uid=""), 0.0)],
)
async def test_what_is_not_deterministic_or_not_to_be_kept_is_asked_anew(
    asked: Target, temperature: float | None
) -> None:
    scene = Scene(ANSWER)
    for _ in range(2):
        await scene.ask(asked, temperature=temperature)
    assert (scene.asked, scene.looks, scene.kept.answers) == (["m", "m"], [], {})


async def test_scripts_are_deterministic_at_any_temperature() -> None:
    scene = Scene(ANSWER)
    scripted = target(provider="scripted", model=None, script=[{"text": "x"}])
    for _ in range(2):
        await scene.ask(scripted, temperature=None)
    assert scene.asked == ["m"]


async def test_what_stands_there_and_is_no_answer_is_a_miss() -> None:
    scene = Scene(ANSWER)
    await scene.ask()
    for kept in (b"{", b"[]"):
        scene.kept.answers = dict.fromkeys(scene.kept.answers, kept)
        await scene.ask()
    assert scene.asked == ["m"] * 3


async def test_a_turn_of_an_agent_is_recorded_though_it_cost_nothing() -> None:
    scene = Scene(ANSWER)
    records = MemoryModelRecords(scene.ledger)
    for attempt in (1, 2):
        await MemoryModelGrants(scene.ledger).place(Grant("u", "write", attempt, "team", {}))
        payer = Payer("u", "write", attempt, "team", (target(),), (), Turn(5))
        asked = chat.read({"messages": [{"role": "user", "content": "hi"}], "temperature": 0})
        record = await turns.answer(scene.asker(), records, payer, asked, chat.Bounds())
    assert scene.asked == ["m"]
    assert replies.answer_of(record.answer).tool_calls == ANSWER.tool_calls
    assert record.cost == 0
    assert await records.find("u", "write", 2, asked.digest) is not None


async def test_a_model_that_is_left_alone_is_not_asked_and_its_fallback_is_at_once() -> None:
    scene = Scene(of_status(503, "busy"))
    both = target(cache=None), target("second", cache=None)
    for _ in range(2):
        with pytest.raises(Failed, match=r"left alone|status 503"):
            await scene.ask(target(cache=None))
    assert scene.asked == ["m"] * FAILURES
    scene.answers = [ANSWER]
    assert await scene.ask(*both) == ANSWER
    assert scene.asked[FAILURES:] == ["second"]
    assert [told.outcome for told in scene.told][-2:] == ["LeftAlone", "ok"]
