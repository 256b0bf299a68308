"""Calls: repaired, tried again, asked elsewhere, and never without a reservation."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from citadel.api.actions import Llm
from citadel.api.model import ModelSpec
from citadel.api.reasons import Reason
from citadel.core.models import Question, Wanted
from citadel.core.outputs import compile_output
from citadel.core.spending import Account, Reservation, micro
from citadel.core.values import Inline
from citadel.llm.asked import Failed, Target, Told
from citadel.llm.calling import Call, Caller
from citadel.llm.provider import Answer, ProviderError, Request
from citadel.store.ledger import Spent
from citadel.store.memory_ledger import MemoryLedger

Reply = str | Answer | Exception
PRICES = {"input": "1", "output": "10"}


class Scene:
    """Models that answer what they are told to, and what they were asked."""

    def __init__(self, **replies: Sequence[Reply]) -> None:
        self.replies = {name: list(items) for name, items in replies.items()}
        self.asked: list[tuple[str, Request]] = []
        self.told: list[Told] = []
        self.slept: list[float] = []
        self.ledger = MemoryLedger()
        self.came = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def provider(self, target: Target) -> Any:
        return _Provider(self, target.name)

    def call(self, schema: Any = None, account: Account | None = None, **fields: Any) -> Call:
        spec = {"provider": "openai", "model": "m", "prices": PRICES, **fields.pop("spec", {})}
        llm = Llm.model_validate({"model": "a", "prompt": "?", **fields})
        compiled = None if schema is None else compile_output(schema)
        wanted = Wanted("ask", 1, llm, Inline(None), None, 0.0, compiled)
        targets = tuple(Target(name, f"team/{name}", ModelSpec.model_validate(spec)) for name in self.replies)
        accounts = (account or Account("execution:u", "the budget"),)
        return Call("u", "team", wanted, Question("hello", "Be brief."), targets, accounts)

    async def perform(self, left: float | None = None, **fields: Any) -> Any:
        caller = Caller(self.ledger, self.provider, self.told.append, self.sleep)
        return (await caller.perform(self.call(**fields), left))[0]

    async def spent(self) -> Spent:
        return await self.ledger.spent("u", "ask", 1)


class _Provider:
    def __init__(self, scene: Scene, name: str) -> None:
        self._scene, self._name = scene, name

    def prepare(self, request: Request, *, stream: bool) -> None:
        """Nothing."""

    async def ask(self, request: Request) -> Answer:
        self._scene.asked.append((self._name, request))
        reply = self._scene.replies[self._name].pop(0)
        if isinstance(reply, Exception):
            raise reply
        return Answer(reply, 10, 2) if isinstance(reply, str) else reply


def unavailable(retry_after: float | None = None) -> ProviderError:
    return ProviderError(Reason.MODEL_UNAVAILABLE, "status 503", retry_after=retry_after)


def limited(retry_after: float | None = None) -> ProviderError:
    return ProviderError(Reason.RATE_LIMITED, "status 429", retry_after=retry_after, sent=False)


SCHEMA = {"type": "object", "required": ["mood"], "properties": {"mood": {"enum": ["good", "bad"]}}}


async def test_a_call_gives_its_text_and_settles_what_it_took() -> None:
    scene = Scene(a=["hi \0there"])
    assert await scene.perform() == "hi \ufffdthere"
    assert [message.role for message in scene.asked[0][1].messages] == ["system", "user"]
    assert await scene.spent() == Spent(10, 2, micro("0.00003"), 1, False)


@pytest.mark.parametrize(
    "text",
    [
        '{"mood":"good"}',
        'Sure:\n```json\n{"mood":"good"}\n```\nBye',
        'It is {"mood": "good"}.',
        ' {"mood":"good"}\n',
    ],
)
async def test_json_is_found_among_words(text: str) -> None:
    assert await Scene(a=[text]).perform(schema=SCHEMA) == {"mood": "good"}


async def test_an_answer_that_does_not_fit_is_repaired_with_the_words_of_the_validator() -> None:
    scene = Scene(a=["hm", '{"mood":"so"}', '{"mood":"bad"}'])
    assert await scene.perform(schema=SCHEMA) == {"mood": "bad"}
    last = scene.asked[-1][1].messages
    assert [message.role for message in last] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert 'answer.mood: found "so"' in last[-1].text
    assert (await scene.spent()).calls == 3


@pytest.mark.parametrize("repairs", [0, 2])
async def test_repairs_are_bounded(repairs: int) -> None:
    scene = Scene(a=["no"] * 9)
    with pytest.raises(Failed, match=f"asked {repairs + 1} times") as failed:
        await scene.perform(schema=SCHEMA, repairs=repairs)
    assert failed.value.reason is Reason.INVALID_OUTPUT
    assert len(scene.asked) == repairs + 1


async def test_what_passes_is_tried_again_each_time_reserved_anew() -> None:
    scene = Scene(a=[unavailable(), limited(7.0), "yes"])
    assert await scene.perform() == "yes"
    assert scene.slept == [0.5, 7.0]
    spent = await scene.spent()
    assert (spent.calls, spent.estimated) == (3, True)
    # What was refused cost nothing; of what failed otherwise nobody knows.
    assert [told.outcome for told in scene.told] == ["ModelUnavailable", "RateLimited", "ok"]


async def test_a_model_that_does_not_answer_gives_way_to_its_fallbacks_in_order() -> None:
    scene = Scene(a=[unavailable()] * 3, b=[limited()] * 3, c=["c"])
    assert await scene.perform() == "c"
    assert [name for name, _ in scene.asked] == ["a"] * 3 + ["b"] * 3 + ["c"]


async def test_what_would_be_refused_again_is_neither_tried_again_nor_asked_elsewhere() -> None:
    scene = Scene(a=[ProviderError(Reason.MODEL_ERROR, "status 400: no", sent=False)], b=["b"])
    with pytest.raises(Failed, match="Model a: status 400: no"):
        await scene.perform()
    assert (await scene.spent()).cost == 0


async def test_a_call_that_could_go_beyond_the_budget_is_never_made() -> None:
    scene = Scene(a=["x"])
    account = Account("execution:u", "the budget", cost=micro("0.001"))
    with pytest.raises(Failed, match=r"the budget: cost is 0\.001") as failed:
        await scene.perform(account=account, maxTokens=1000)
    assert failed.value.reason is Reason.BUDGET_EXCEEDED
    assert (scene.asked, (await scene.spent()).calls) == ([], 0)


async def test_repairs_end_where_the_budget_does() -> None:
    scene = Scene(a=["no"] * 9)
    account = Account("execution:u", "the budget", tokens=700)
    with pytest.raises(Failed, match="the budget: tokens is 700"):
        await scene.perform(schema=SCHEMA, account=account, maxTokens=10, repairs=5)
    assert 0 < (await scene.spent()).calls < 6


async def test_a_limit_of_requests_is_waited_for() -> None:
    scene = Scene(a=["one", "two"])
    await scene.perform(spec={"rateLimit": {"requestsPerMinute": 1}})
    with pytest.raises(Failed) as failed:
        await scene.perform(left=10, spec={"rateLimit": {"requestsPerMinute": 1}})
    assert failed.value.reason is Reason.RATE_LIMITED
    assert len(scene.asked) == 1


async def test_without_usage_a_call_counts_all_it_could_have_taken() -> None:
    scene = Scene(a=[Answer("x")])
    await scene.perform(maxTokens=100)
    spent = await scene.spent()
    assert (spent.output_tokens, spent.estimated) == (100, True)


async def _hangs(scene: Scene) -> Callable[[Target], Any]:
    class Silent:
        def prepare(self, request: Request, *, stream: bool) -> None:
            """Nothing."""

        async def ask(self, request: Request) -> Answer:
            scene.asked.append(("a", request))
            scene.came.set()
            await asyncio.Event().wait()
            raise AssertionError

    return lambda target: Silent()


async def test_a_call_that_is_cancelled_is_charged_in_full() -> None:
    scene = Scene(a=[])
    caller = Caller(scene.ledger, await _hangs(scene))
    task = asyncio.create_task(caller.perform(scene.call(), None))
    await scene.came.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    spent = await scene.spent()
    assert (spent.calls, spent.output_tokens, spent.estimated) == (1, 1024, True)


@pytest.mark.parametrize("turns", [0, 1, 5])
async def test_one_that_is_given_up_while_it_is_reserved_is_not_reserved_any_more(turns: int) -> None:
    scene, ended = Scene(a=["never"]), asyncio.Event()

    class Slow(MemoryLedger):
        async def reserve(self, reservation: Reservation) -> str:
            scene.came.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()
            raise AssertionError

    task = asyncio.create_task(Caller(Slow(), scene.provider).perform(scene.call(), None))
    await scene.came.wait()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(10):
        await ended.wait()
    assert scene.asked == []


async def test_what_is_sent_is_made_while_it_is_reserved_and_sent_after() -> None:
    scene, seen = Scene(a=["yes"]), list[str]()

    class Ledger(MemoryLedger):
        async def reserve(self, reservation: Reservation) -> str:
            await asyncio.sleep(0)
            seen.append("reserved")
            return await super().reserve(reservation)

    class Prepared(_Provider):
        def prepare(self, request: Request, *, stream: bool) -> None:
            seen.append("prepared")

        async def ask(self, request: Request) -> Answer:
            seen.append("asked")
            return await super().ask(request)

    caller = Caller(Ledger(), lambda target: Prepared(scene, target.name))
    assert (await caller.perform(scene.call(), None))[0] == "yes"
    assert seen == ["prepared", "reserved", "asked"]


async def test_the_time_of_the_step_ends_all_of_it() -> None:
    scene = Scene(a=[])
    caller = Caller(scene.ledger, await _hangs(scene))
    with pytest.raises(Failed) as failed:
        await caller.perform(scene.call(), 0.05)
    assert failed.value.reason is Reason.TIMEOUT
    assert (await scene.spent()).estimated
