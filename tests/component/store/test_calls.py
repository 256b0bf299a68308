"""Calls of tools in journals: recorded once, answered after a restart, and over with their attempt."""

import asyncio
from typing import Any

import pytest

from agents import agent, definition, run_agent
from build import begin, only_sandbox, stored, succeeded
from citadel.core import events as ev
from citadel.core.agents import call_of, outcome
from citadel.core.children import digests, inputs_of
from citadel.core.jsonvalues import InvalidValue
from citadel.core.tools import wanted
from citadel.core.values import Inline, Values
from citadel.store.journal import Advance, json_of
from component.store.conftest import Store

ASK = {"name": "ask", "tool": "search", "requireApproval": {"approvers": {"users": ["jane"]}}}
GIVEN = definition(run_agent(), agents={"writer": agent("search", ASK)})


def called(tool: str = "search", key: str = "x", text: Any = "tea", **more: Any) -> ev.ToolCalled:
    return ev.ToolCalled("write", 1, key, tool, Inline({"text": text, **more}))


def instance(advance: Advance, key: str = "x") -> str:
    found = call_of(advance.state, "write", 1, key)
    assert found is not None
    return found


async def test_a_call_is_recorded_once_by_whoever_hears_of_it_and_its_answer_stays(store: Store) -> None:
    journal = store.open().journal
    await begin(journal, GIVEN)
    both = await asyncio.gather(*(journal.advance("uid-1", [called()]) for _ in range(4)))
    assert sorted(advance.accepted[0] for advance in both) == [False, False, False, True]
    other = store.open().journal
    (call,) = wanted(await other.read("uid-1"))
    output, bodies = stored({"found": ["x" * 5000]})
    await other.advance("uid-1", [ev.ToolAnswered(call.step, 1, output)], outputs=bodies)
    again = await journal.advance("uid-1", [called()])
    assert again.accepted == (False,)
    found = outcome(again.state, instance(again))
    assert (found.status, found.output) == ("Succeeded", output)
    assert await store.open().journal.read("uid-1") == again.state


async def test_arguments_of_any_size_are_checked_and_handed_on(store: Store) -> None:
    journal = store.open().journal
    await begin(journal, GIVEN)
    large, bodies = stored({"text": "ü" * 20_000, "more": [{"a": "b" * 3000}]})
    advance = await journal.advance(
        "uid-1", [ev.ToolCalled("write", 1, "x", "search", large)], outputs=bodies
    )
    (call,) = wanted(advance.state)
    payload = await json_of(journal, "uid-1", call.payload)
    loaded = await journal.values("uid-1", digests(payload))
    given = inputs_of(payload, Values(loaded=dict(loaded)))
    assert given["text"] == "ü" * 20_000
    wrong, bodies = stored({"text": [1] * 2000})
    fact = ev.ToolCalled("write", 1, "y", "search", wrong)
    advance = await journal.advance("uid-1", [fact], outputs=bodies)
    failure = outcome(advance.state, instance(advance, "y")).failure
    assert failure is not None
    assert failure.reason == "ToolRefused"


async def test_what_no_database_takes_is_refused_or_mended(store: Store) -> None:
    journal = store.open().journal
    await begin(journal, GIVEN)
    with pytest.raises(InvalidValue):
        await journal.advance("uid-1", [called(text="a\0b")])
    advance = await journal.advance("uid-1", [called("no\0 \ud83d tool")])
    failure = outcome(advance.state, instance(advance)).failure
    assert failure is not None
    assert failure.reason == "ToolNotAllowed"


async def test_rows_and_approvals_of_calls_end_with_the_attempt(sql_store: Store) -> None:
    database = sql_store.database()
    advance = await begin(database.journal, GIVEN)
    sandbox = only_sandbox(advance)
    await database.journal.advance("uid-1", [called("ask")])
    (row,) = await database.approvals.pending()
    assert row.step == "write.ask[1].approve"
    await database.journal.advance("uid-1", [succeeded("write", sandbox, "done")])
    assert await database.approvals.pending() == []
    statuses = await sql_store.sql("SELECT name, status FROM steps WHERE uid = 'uid-1' ORDER BY name")
    assert dict(map(tuple, statuses)) == {
        "write": "Succeeded",
        "write.ask[1]": "Cancelled",
        "write.ask[1].approve": "Cancelled",
        "write.ask[1].call": "Cancelled",
    }
