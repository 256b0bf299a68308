"""Whatever agents ask, and however many at once: no budget is passed, and nothing that was paid is lost."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.spending import Account
from component.models.doorworld import STEP, Doors, Reply


async def all_of(asking: Any) -> Counter[int]:
    replies: list[Reply] = await asyncio.gather(*asking)
    return Counter(reply.status for reply in replies)


async def test_beyond_its_budget_a_call_is_refused_and_the_step_stops_though_it_has_a_retry(
    doors: Doors,
) -> None:
    doors.world.providers.replies = ["x"]
    budget = Account(f"step:u1/{STEP}", "the budget of step write", "u1", tokens=100)
    agent = await doors.agent(spec={"retry": {"attempts": 3}}, accounts=[budget])
    reply = await agent.ask("hi")
    assert reply.error == (402, "BudgetExceeded")
    assert "the budget of step write: tokens is 100 tokens" in reply.body["error"]["message"]
    assert reply.headers["x-should-retry"] == "false"
    assert await doors.failure("u1") == ("BudgetExceeded", True)
    state = await doors.world.database.journal.read("u1")
    assert state.steps[STEP].attempt == 1
    assert doors.world.providers.asked == []
    assert (await agent.ask("hi")).error == (409, "Superseded")


async def test_beyond_its_turns_a_call_is_refused_and_the_step_stops(doors: Doors) -> None:
    doors.world.providers.replies = ["x"]
    agent = await doors.agent(limits={"turns": 2})
    assert (await agent.ask("one")).status == 200
    assert (await agent.ask("two")).status == 200
    # What is known already is no turn.
    assert (await agent.ask("one")).status == 200
    assert (await agent.ask("three")).error == (403, "TurnLimitExceeded")
    assert await doors.failure("u1") == ("TurnLimitExceeded", True)
    assert len(doors.world.providers.asked) == 2


async def test_many_calls_of_one_sandbox_at_once_stay_within_its_turns(doors: Doors) -> None:
    doors.world.providers.replies = ["x"]
    await doors.open()
    agent = await doors.agent(limits={"turns": 3})

    async def one(number: int) -> Reply:
        agent.door = number % 2
        return await agent.ask(f"question {number}")

    told = await all_of(one(number) for number in range(8))
    assert len(doors.world.providers.asked) == told[200] <= 3
    assert await doors.failure("u1") == ("TurnLimitExceeded", True)


@pytest.mark.parametrize("account", ["step:u1/write", "day:team", "agent:team/writer"])
async def test_many_calls_of_several_executions_at_once_never_pass_a_budget(
    doors: Doors, account: str
) -> None:
    doors.world.providers.replies = ["x"]
    # One call may take 182 tokens: 66 and 16 for frames, 2 bytes, 100 for the answer.
    budget = Account(account, "the budget", tokens=600, daily=not account.startswith("step"))
    agents = [await doors.agent(uid, accounts=[budget]) for uid in ("u1", "u2", "u3")]
    told = await all_of(agents[number % 3].ask(f"q{number}", max_tokens=100) for number in range(18))
    assert told[200] == len(doors.world.providers.asked) > 2
    assert told.keys() <= {200, 402, 409}
    assert told[402] > 0
    (row,) = await doors.world.sql("SELECT sum(input_tokens + output_tokens) FROM model_reservations")
    assert row[0] <= 600
    ((tokens,),) = await doors.world.sql("SELECT tokens FROM model_accounts")
    assert tokens == row[0]


async def test_what_was_under_way_when_the_gateway_died_is_paid_in_full_and_asked_again(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors.world.providers.replies = ["first", "second"]
    agent = await doors.agent()
    dying = asyncio.Event()

    async def dies(*_: Any) -> None:
        dying.set()
        await asyncio.Event().wait()

    ledger = doors.world.database.ledger
    with monkeypatch.context() as patch:
        # Between the provider's answer and its record.
        patch.setattr(ledger, "settle", dies)
        patch.setattr(ledger, "charge", dies)
        asking = asyncio.create_task(agent.ask("hi"))
        await dying.wait()
        assert await doors.world.database.model_records.of("u1") == []
    await doors.open()
    agent.door = 1
    assert (await agent.ask("hi")).text == "second"
    asking.cancel()
    await doors.world.database.model_grants.remove("u1", STEP, 1)
    rows = await doors.world.sql("SELECT state, cost FROM model_reservations ORDER BY at")
    assert [row.state for row in rows] == ["charged", "settled"]
    assert rows[0].cost > rows[1].cost
    (account,) = await doors.world.sql("SELECT cost FROM model_accounts")
    assert account.cost == sum(row.cost for row in rows)


async def test_an_answer_that_comes_after_its_attempt_is_over_changes_nothing_any_more(doors: Doors) -> None:
    hold = asyncio.Event()
    doors.world.providers.replies = [hold]
    agent = await doors.agent()
    asking = asyncio.create_task(agent.ask("hi"))
    await doors.world.providers.were_asked()
    await doors.world.database.model_grants.remove("u1", STEP, 1)
    spent = await doors.world.database.ledger.spent("u1", STEP, 1)
    hold.set()
    await asking
    assert await doors.world.database.ledger.spent("u1", STEP, 1) == spent
    assert spent.estimated
    assert await doors.world.database.model_records.of("u1") == []


async def test_a_rate_limit_that_leaves_no_time_is_told_with_a_time(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("citadel.models.answering.PATIENCE", 0.5)
    doors.world.providers.replies = ["x"]
    agent = await doors.agent(models=[doors.world.spec(rateLimit={"requestsPerMinute": 1})])
    assert (await agent.ask("one")).status == 200
    reply = await agent.ask("two")
    assert reply.error == (429, "RateLimited")
    assert 1 <= int(reply.headers["Retry-After"]) <= 60
    assert await doors.world.sql("SELECT turns FROM model_grants") == [(1,)]


async def test_a_step_that_is_cancelled_is_answered_no_more(doors: Doors) -> None:
    doors.world.providers.replies = ["x"]
    agent = await doors.agent()
    await agent.ask("one")
    await doors.world.database.journal.advance("u1", [ev.StopRequested("Terminate", "Terminated", "now")])
    await doors.told("u1")
    assert (await agent.ask("two")).error == (409, "Superseded")
