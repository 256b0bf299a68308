"""The ledger on a real Postgres: no race goes beyond a limit, and no death loses what was reserved."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

import build
from citadel.core.events import Usage
from citadel.core.spending import Account, Amount, Reservation
from citadel.store.calls import Passage, PlacedCall
from citadel.store.journal import ExecutionUnknown
from citadel.store.ledger import Ledger, OverBudget, Spent, Throttled
from citadel.store.memory_grants import MemoryModelGrants
from citadel.store.memory_ledger import MemoryLedger
from citadel.store.model_grants import Grant, ModelGrants
from citadel.store.sql.database import Database, open_database


@pytest.fixture
async def database(postgres_url: str) -> Any:
    found = open_database(postgres_url, pool_size=8)
    flow = build.definition(build.python_step("ask"))
    await found.journal.advance("u", [build.created("u", flow, {}, name="u")], definition=flow)
    yield found
    await found.close()


async def rows(database: Database, query: str) -> list[Any]:
    async with database._connections.engine.begin() as connection:
        return list((await connection.execute(text(query))).all())


def reservation(need: Amount, accounts: Sequence[Account], step: str = "ask", **limits: int) -> Reservation:
    most = min(need.tokens, 1)
    return Reservation("u", step, 1, "team", "team/m", need, most, tuple(accounts), **limits)


NEEDS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 40), st.sampled_from(["settle", "charge", "leave"])),
    min_size=1,
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(needs=NEEDS, cost=st.integers(0, 200), tokens=st.integers(0, 200), day=st.integers(0, 200))
async def test_however_many_reserve_at_once_no_limit_is_passed_and_the_sums_are_those_of_the_ledger(
    database: Database, needs: list[tuple[int, int, str]], cost: int, tokens: int, day: int
) -> None:
    async with database._connections.engine.begin() as connection:
        await connection.execute(text("DELETE FROM model_reservations"))
        await connection.execute(text("DELETE FROM model_accounts"))
    # In another order for each, as the keys sort them: whoever locked as they come would be stuck.
    accounts = [
        Account("z", "one", "u", cost),
        Account("a", "two", None, None, tokens),
        Account("m", "day", None, day),
    ]

    async def one(number: int, need: Amount, end: str) -> None:
        try:
            name = await database.ledger.reserve(
                reservation(need, accounts[number % 3 :] + accounts[: number % 3])
            )
        except OverBudget:
            return
        if end == "settle":
            await database.ledger.settle(name, need.tokens // 2, 0, need.cost // 2)
        elif end == "charge":
            await database.ledger.charge(name)

    await asyncio.gather(*(one(n, Amount(c, t), end) for n, (c, t, end) in enumerate(needs)))
    summed = "coalesce(sum(cost), 0), coalesce(sum(input_tokens + output_tokens), 0)"
    (sums,) = await rows(database, f"SELECT {summed} FROM model_reservations")
    found = {row.key: (row.cost, row.tokens) for row in await rows(database, "SELECT * FROM model_accounts")}
    # A refused one may have left its empty accounts behind, or nothing.
    assert set(found.values()) <= {tuple(map(int, sums))}
    assert sums[0] <= min(cost, day)
    assert sums[1] <= tokens


async def test_a_limit_is_used_up_to_its_last_token_and_what_is_given_back_may_be_reserved_again(
    database: Database,
) -> None:
    account = Account("a", "the budget", "u", tokens=10)
    name = await database.ledger.reserve(reservation(Amount(0, 10), [account]))
    with pytest.raises(OverBudget, match="the budget: tokens is 10 tokens, 10 is spent or reserved"):
        await database.ledger.reserve(reservation(Amount(0, 1), [account]))
    await database.ledger.settle(name, 3, 1, 0)
    await database.ledger.settle(name, 0, 0, 0)
    await database.ledger.charge(name)
    assert await database.ledger.spent("u", "ask", 1) == Spent(3, 1, 0, 1, False)
    await database.ledger.reserve(reservation(Amount(0, 6), [account]))


async def test_what_a_dead_gateway_had_reserved_counts_in_full_once_another_takes_its_call(
    database: Database,
) -> None:
    call = PlacedCall("u", "ask", 1, "team", {})
    await database.model_calls.place(call)
    await database.model_calls.place(call)
    ((taken, _),) = await database.model_calls.take("first", {"t1": "h1", "t2": "h2"}, 60)
    assert await database.model_calls.take("second", {"t3": "h3"}, 60) == []
    name = await database.ledger.reserve(reservation(Amount(7, 5), [Account("a", "x", "u")]))
    await rows(database, "UPDATE model_calls SET lease_until = 0 RETURNING 1")
    ((again, token),) = await database.model_calls.take("second", {"t3": "h3"}, 60)
    assert (again.key, token) == (taken.key, "t3")
    # The first is not dead after all: what it says comes too late.
    await database.ledger.settle(name, 0, 0, 0)
    assert not await database.model_calls.renew("first", taken, 60)
    await database.model_calls.remove("first", taken)
    spent = await database.ledger.spent("u", "ask", 1)
    assert (spent.cost, spent.estimated) == (7, True)
    assert await database.model_calls.passage("h1") is None
    assert (await database.model_calls.passage("h3")).step == "ask"  # type: ignore[union-attr]
    await database.model_calls.remove("second", again)
    assert await database.model_calls.passage("h3") is None


async def test_what_ends_with_its_call_is_charged_and_what_ends_with_its_execution_is_gone(
    database: Database,
) -> None:
    call = PlacedCall("u", "ask", 1, "team", {})
    await database.model_calls.place(call)
    await database.model_calls.take("g", {"t": "h"}, 60)
    await database.ledger.reserve(
        reservation(Amount(7, 5), [Account("a", "x", "u"), Account("day:team", "d", daily=True)])
    )
    await database.model_calls.remove("g", call)
    assert [row.state for row in await rows(database, "SELECT state FROM model_reservations")] == ["charged"]
    await database.journal.forget(["u"])
    assert await rows(database, "SELECT 1 FROM model_reservations") == []
    ((key, cost),) = await rows(database, "SELECT key, cost FROM model_accounts")
    assert key.startswith("day:team:20")
    assert cost == 7


@pytest.mark.parametrize("kind", ["postgres", "memory"])
async def test_a_rate_is_that_of_any_minute(database: Database, kind: str) -> None:
    ledger: Ledger = database.ledger if kind == "postgres" else MemoryLedger()
    account = [Account("a", "x", "u")]
    for _ in range(2):
        await ledger.reserve(reservation(Amount(0, 5), account, requests_per_minute=2))
    with pytest.raises(Throttled) as throttled:
        await ledger.reserve(reservation(Amount(0, 5), account, requests_per_minute=2))
    assert 50 < throttled.value.seconds <= 60
    with pytest.raises(Throttled):
        await ledger.reserve(reservation(Amount(0, 5), account, tokens_per_minute=14))
    await ledger.reserve(reservation(Amount(0, 5), account, tokens_per_minute=15))


async def test_a_rate_is_kept_by_all_gateways_together(database: Database) -> None:
    account = [Account("a", "x", "u")]
    asked = (
        database.ledger.reserve(reservation(Amount(0, 5), account, requests_per_minute=4)) for _ in range(12)
    )
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(item, str) for item in done) == 4
    assert sum(isinstance(item, Throttled) for item in done) == 8


async def test_days_that_are_long_over_are_forgotten(database: Database) -> None:
    await database.ledger.reserve(
        reservation(Amount(1, 1), [Account("day:x", "d", daily=True), Account("e", "x", "u")])
    )
    await database.ledger.prune()
    assert len(await rows(database, "SELECT 1 FROM model_accounts")) == 2
    await rows(database, "UPDATE model_accounts SET changed_at = 0 RETURNING 1")
    await database.ledger.prune()
    assert [row.key for row in await rows(database, "SELECT key FROM model_accounts")] == ["e"]


@pytest.mark.parametrize("kind", ["postgres", "memory"])
async def test_a_grant_is_there_until_its_attempt_is_over_which_charges_what_is_left(
    database: Database, kind: str
) -> None:
    memory = MemoryLedger()
    ledger: Ledger = database.ledger if kind == "postgres" else memory
    grants: ModelGrants = database.model_grants if kind == "postgres" else MemoryModelGrants(memory)
    grant = Grant("u", "ask", 1, "team", {"models": []}, ("a:443",), {"token": "sealed"}, "hash")
    await grants.place(grant)
    await grants.place(replace(grant, namespace="other"))
    assert await grants.get("u", "ask", 1) == grant
    assert await grants.get("u", "ask", 2) is None
    passage = await grants.passage("hash")
    assert passage == Passage("u", "ask", 1, "team", ("a:443",))
    assert await grants.passage("other hash") is None
    name = await ledger.reserve(reservation(Amount(7, 5), [Account("a", "x", "u")]))
    assert await grants.keys() == [("u", "ask", 1)]
    await grants.remove("u", "ask", 1)
    await ledger.settle(name, 1, 1, 1)
    assert await ledger.spent("u", "ask", 1) == Spent(4, 1, 7, 1, True)
    assert await grants.keys() == []
    assert await grants.get("u", "ask", 1) is None
    assert await grants.passage("hash") is None


async def test_a_grant_of_no_execution_is_refused(database: Database) -> None:
    with pytest.raises(ExecutionUnknown):
        await database.model_grants.place(Grant("nobody", "ask", 1, "team", {}))


async def test_what_all_calls_of_an_execution_took_is_told_by_step(database: Database) -> None:
    accounts, need = [Account("a", "x", "u")], Amount(10, 10)
    for ledger in (database.ledger, MemoryLedger()):
        for step, model, provider in (
            ("write", "team/writer", "scripted"),
            ("write.critic[1]", "shared/judge", "openai"),
        ):
            for _ in range(2):
                one = replace(reservation(need, accounts, step), model=model, provider=provider)
                await ledger.settle(await ledger.reserve(one), 3, 2, 4)
        left = await ledger.reserve(
            replace(
                reservation(
                    need,
                    accounts,
                    "write",
                ),
                model="team/writer",
                provider="scripted",
            )
        )
        found = await ledger.usage("u")
        assert found["write.critic[1]"] == Usage("judge", "openai", 6, 4, 8, 2)
        assert found["write"] == Usage("writer", "scripted", 15, 5, 18, 3, estimated=True)
        await ledger.charge(left)
        assert (await ledger.usage("u"))["write"].estimated
        assert await ledger.usage("other") == {}
