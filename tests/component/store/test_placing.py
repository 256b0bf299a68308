"""Calls of tools that need nothing of the cluster: placed by the advance that wants them, each taken once."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

import build
from agents import agent, definition, run_agent
from citadel.core import events as ev
from citadel.core.hashing import hashed
from citadel.core.values import Inline
from citadel.store.calls import PlacedCall
from citadel.store.journal import Notice
from citadel.store.sql.database import Database
from component.store.conftest import Store
from component.store.test_notices import ear

KEYED = {"secretKeyRef": {"name": "crm", "key": "token"}}
HTTP = {"method": "GET", "url": "https://a.example.com/"}
ASK = {"name": "ask", "tool": "search", "requireApproval": {"approvers": {"users": ["jane"]}}}


def tool(**http: Any) -> dict[str, Any]:
    parameters = {"type": "object"}
    spec = {"description": "Searches.", "parameters": parameters, "http": {**HTTP, **http}}
    return {"spec": spec, "parameters": parameters}


async def begin(database: Database, uid: str = "uid-1", arguments: Any = None, **http: Any) -> None:
    """An execution whose step `a` calls a tool."""
    step = {"name": "a", "tool": {"name": "search"}, "with": arguments or {"text": "tea"}}
    flow = {**build.definition(step), "tools": {"search": tool(**http)}}
    await database.journal.advance(uid, [build.created(uid, flow, name=uid)], definition=flow)


async def taken(database: Database, most: int = 9) -> Mapping[str, PlacedCall]:
    """The calls that nobody had, by their tokens."""
    tokens = {f"token-{number}": hashed(f"token-{number}") for number in range(most)}
    return {token: call for call, token in await database.tool_calls.take("me", tokens, 60)}


async def test_a_call_is_there_to_be_made_when_the_step_has_begun(postgres_store: Store) -> None:
    database = postgres_store.database()
    async with ear(postgres_store, database.journal) as listener:
        await begin(database)
        assert await listener.hears(Notice("tool", "uid-1"))
    ((token, call),) = (await taken(database)).items()
    assert (call.key, call.namespace, call.hosts) == (("uid-1", "a", 1), "team", ("a.example.com:443",))
    assert (call.body["name"], call.body["arguments"]) == ("search", {"text": "tea"})
    assert call.body["spec"]["http"] == HTTP
    assert call.sealed is None
    passage = await database.tool_calls.passage(hashed(token))
    assert passage is not None
    assert (passage.uid, passage.step, passage.hosts) == ("uid-1", "a", ("a.example.com:443",))


async def test_arguments_of_any_size_are_in_it(postgres_store: Store) -> None:
    database = postgres_store.database()
    long = {"text": "ü" * 20_000, "more": [{"a": "b" * 3000}]}
    await begin(database, arguments=long)
    (call,) = (await taken(database)).values()
    assert call.body["arguments"] == long


async def test_one_with_a_credential_is_left_to_whom_may_read_it(postgres_store: Store) -> None:
    database = postgres_store.database()
    await begin(database, credential=KEYED)
    assert await taken(database) == {}


async def test_a_call_of_an_agent_is_placed_once_it_is_approved(postgres_store: Store) -> None:
    database = postgres_store.database()
    given = definition(run_agent(), agents={"writer": agent("search", ASK)})
    await build.begin(database.journal, given)

    async def call(name: str, key: str) -> None:
        fact = ev.ToolCalled("write", 1, key, name, Inline({"text": name}))
        await database.journal.advance("uid-1", [fact])

    await call("ask", "x")
    await call("search", "y")
    (now,) = (await taken(database)).values()
    assert now.body["arguments"] == {"text": "search"}
    (row,) = await database.approvals.pending()
    decided = ev.ApprovalDecided(row.step, True, "jane", "fine", Inline(None), 5.0)
    await database.journal.advance("uid-1", [decided])
    (after,) = (await taken(database)).values()
    assert after.body["arguments"] == {"text": "ask"}


async def test_an_advance_that_is_repeated_places_nothing_twice(postgres_store: Store) -> None:
    database = postgres_store.database()
    given = definition(run_agent(), agents={"writer": agent("search")})
    await build.begin(database.journal, given)
    fact = ev.ToolCalled("write", 1, "x", "search", Inline({"text": "tea"}))
    await asyncio.gather(*(database.journal.advance("uid-1", [fact]) for _ in range(4)))
    assert len(await taken(database)) == 1


@pytest.mark.parametrize("takers", [1, 3])
async def test_each_of_many_has_one_holder_and_a_token_of_its_own(postgres_store: Store, takers: int) -> None:
    database = postgres_store.database()
    for number in range(12):
        await begin(database, f"uid-{number}", {"n": number})

    async def take(name: str) -> list[tuple[PlacedCall, str]]:
        tokens = {f"{name}-{number}": hashed(f"{name}-{number}") for number in range(4)}
        return await database.tool_calls.take(name, tokens, 60)

    together = await asyncio.gather(*(take(f"taker-{number}") for number in range(takers)))
    found = [one for several in together for one in several]
    assert len({call.key for call, _ in found}) == len(found) == 4 * takers
    for call, token in found:
        passage = await database.tool_calls.passage(hashed(token))
        assert passage is not None
        assert (passage.uid, passage.step) == call.key[:2]
        assert json.dumps(call.body["arguments"]) == json.dumps({"n": int(call.uid.removeprefix("uid-"))})


async def test_those_that_have_waited_longest_are_taken_first(postgres_store: Store) -> None:
    database = postgres_store.database()
    for number in range(3):
        await begin(database, f"uid-{number}")
    assert [call.uid for call in (await taken(database, 2)).values()] == ["uid-0", "uid-1"]
