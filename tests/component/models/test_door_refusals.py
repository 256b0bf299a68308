"""What the door does not take: of somebody else, of no attempt, malformed, oversized, slow, too much."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from citadel.core import events as ev
from citadel.core.values import Inline
from citadel.limiting import Bucket
from citadel.models import door, grants
from citadel.models.sessions import MOST_UNDER_WAY
from citadel.store.journal import Notice
from component.models.doorworld import STEP, Doors, question
from providers import Reply


async def test_nobody_asks_for_an_attempt_that_is_not_theirs(doors: Doors) -> None:
    doors.world.providers.replies = ["x"]
    mine, other = await doors.agent("u1"), await doors.agent("u2")
    for secret in ("", "x", "x.y", mine.sandbox, f"{mine.sandbox}.guessed", f"{other.sandbox}.{mine.secret}"):
        assert (await mine.ask(secret=secret)).error == (401, "InvalidSession")
    for changed in ({"step": "other"}, {"attempt": 2}, {"attempt": 0}, {"step": f"{STEP}.search"}):
        assert (await mine.ask(**changed)).error == (409, "Superseded")
    assert doors.world.providers.asked == []
    # Two executions have the same step: a session opens its own, and nothing else.
    await mine.ask("mine")
    await other.ask("other")
    found = await doors.world.sql("SELECT uid, count(*) FROM model_records GROUP BY uid ORDER BY uid")
    assert [tuple(row) for row in found] == [("u1", 1), ("u2", 1)]


async def test_an_attempt_that_has_ended_is_answered_no_more_not_even_from_its_record(doors: Doors) -> None:
    doors.world.providers.replies = ["x"]
    agent = await doors.agent()
    await agent.ask("hi")
    done = ev.AttemptSucceeded(STEP, 1, agent.sandbox, Inline("done"))
    await doors.world.database.journal.advance("u1", [done])
    await doors.told("u1")
    assert (await agent.ask("hi")).error == (409, "Superseded")


async def test_an_attempt_that_has_just_begun_is_served_though_the_door_has_not_heard_of_it(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors.world.providers.replies = ["x"]
    agent = await doors.agent()
    monkeypatch.setattr(doors.sessions[0], "take", lambda notice: None)
    state = await doors.world.database.journal.read("u1")
    before = replace(state, steps={**state.steps, STEP: replace(state.steps[STEP], attempt=0)})
    doors.sessions[0]._states.put("u1", (time.monotonic(), before))
    assert (await agent.ask("hi")).status == 200


async def test_what_is_known_of_an_execution_is_read_once_until_something_happens(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    doors.world.providers.replies = ["x"] * 4
    agent, journal, read = await doors.agent(), doors.world.database.journal, []
    of, take = journal.read, doors.sessions[0].take

    async def counted(uid: str) -> Any:
        read.append(uid)
        return await of(uid)

    monkeypatch.setattr(journal, "read", counted)
    monkeypatch.setattr(doors.sessions[0], "take", lambda notice: None)
    for text in ("a", "b"):
        assert (await agent.ask(text)).status == 200
    assert read == ["u1"]
    # Who could not listen for a while looks anew.
    take(Notice("listening", ""))
    assert (await agent.ask("c")).status == 200
    assert read == ["u1", "u1"]


async def test_an_attempt_without_a_grant_is_told_so(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "PATIENCE_SECONDS", 0.1)
    agent = await doors.agent(granted=False)
    reply = await agent.ask("hi")
    assert reply.error == (503, "NotGranted")
    assert "x-should-retry" not in reply.headers


async def test_a_runner_has_all_of_it_opened_ahead(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    doors.world.providers.replies = [Reply("ready")]
    agent, looked = await doors.agent(), []
    get = doors.world.database.model_grants.get

    async def counted(*key: Any) -> Any:
        looked.append(key)
        return await get(*key)

    monkeypatch.setattr(doors.world.database.model_grants, "get", counted)
    async with agent.request(b"", method="HEAD") as response:
        assert (response.status, await response.read()) == (200, b"")
    assert (await agent.ask("hi")).status == 200
    assert len(looked) == 1
    for changed, status in (({"secret": "cx-1.no"}, 401), ({"attempt": 9}, 409), ({"step": "no"}, 409)):
        async with agent.request(b"", method="HEAD", **changed) as response:
            assert response.status == status


async def test_other_paths_and_methods_are_refused(doors: Doors) -> None:
    agent = await doors.agent()
    for path in (
        "/",
        "/v1/models",
        f"/v1/attempts/{STEP}/1/tools",
        f"/v1/attempts/{STEP}/x/chat/completions",
    ):
        assert (await agent.ask(path=path)).error == (404, "Path")
    assert (await agent.ask(method="PUT")).error == (405, "Method")


def ask(**fields: Any) -> bytes:
    return json.dumps({**question("hi"), **fields}).encode()


BAD: dict[str, bytes] = {
    "no JSON": b"{",
    "nothing": b"",
    "a list": b"[]",
    "not UTF-8": b'{"messages": "\xff"}',
    "NaN": b'{"messages": [{"role": "user", "content": "hi"}], "temperature": NaN}',
    "infinity": b'{"messages": [{"role": "user", "content": "hi"}], "temperature": 1e999}',
    "deep": b'{"messages": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "NUL": ask(messages=[{"role": "user", "content": "a\0b"}]),
    "a lone surrogate": b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
    "a huge number": b'{"messages": [{"role": "user", "content": "hi"}], "max_tokens": ' + b"9" * 5000 + b"}",
    "no messages": ask(messages=[]),
    "messages of no list": ask(messages={"role": "user"}),
    "a message of no object": ask(messages=["hi"]),
    "no role": ask(messages=[{"content": "hi"}]),
    "an unknown role": ask(messages=[{"role": "root", "content": "hi"}]),
    "content of a number": ask(messages=[{"role": "user", "content": 1}]),
    "an image": ask(
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    ),
    "a tool's message without an id": ask(messages=[{"role": "tool", "content": "x"}]),
    "an id at a user's message": ask(messages=[{"role": "user", "content": "x", "tool_call_id": "c"}]),
    "a call without a name": ask(
        messages=[{"role": "assistant", "tool_calls": [{"id": "c", "function": {"arguments": "{}"}}]}]
    ),
    "tools of no list": ask(tools={"type": "function"}),
    "a tool without a name": ask(tools=[{"type": "function", "function": {}}]),
    "a tool of an odd name": ask(tools=[{"type": "function", "function": {"name": "a b"}}]),
    "two tools of one name": ask(tools=[{"type": "function", "function": {"name": "a"}}] * 2),
    "a choice of no tool": ask(tool_choice={"type": "function", "function": {"name": "a"}}),
    "a choice without tools": ask(tool_choice="required"),
    "several answers": ask(n=2),
    "another top_p": ask(top_p=0.5),
    "what nobody knows": ask(**{"audio" * 200: {"voice": "x"}}),
    "a choice of nothing": ask(tool_choice={"type": "function"}),
    "a format that nobody knows": ask(response_format={"type": "xml"}),
    "max_tokens of none": ask(max_tokens=0),
    "max_tokens of a half": ask(max_tokens=1.5),
    "max_tokens of true": ask(max_tokens=True),
    "a temperature beyond": ask(temperature=3),
    "a temperature of text": ask(temperature="1"),
    "five stops": ask(stop=["a", "b", "c", "d", "e"]),
}


async def test_what_is_malformed_is_refused_with_one_clear_message_and_costs_nothing(doors: Doors) -> None:
    doors.world.providers.replies = ["x"]
    agent = await doors.agent()
    for name, raw in BAD.items():
        reply = await agent.ask(raw=raw)
        assert reply.error == (400, "BadRequest"), (name, reply.body)
        message = reply.body["error"]["message"]
        assert message.startswith("the request: "), name
        assert len(message) < 300, name
        # Within the allowance of one sandbox.
        await asyncio.sleep(0.02)
    assert await doors.world.sql("SELECT 1 FROM model_reservations") == []
    assert doors.world.providers.asked == []


async def test_an_oversized_body_is_refused_also_without_a_length(doors: Doors) -> None:
    agent = await doors.agent()
    large = ask(messages=[{"role": "user", "content": "x" * door.BODY_LIMIT}])
    assert (await agent.ask(raw=large)).error == (413, "TooLarge")

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 2**16

    assert (await agent.ask(raw=endless())).error == (413, "TooLarge")


async def test_a_body_that_does_not_come_is_not_waited_for(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "BODY_SECONDS", 0.2)
    agent = await doors.agent()
    never = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"{"
        await never.wait()

    assert (await agent.ask(raw=slow())).error == (408, "TooSlow")


async def test_one_sandbox_has_so_many_calls_at_a_time_and_others_are_served(doors: Doors) -> None:
    hold = asyncio.Event()
    doors.world.providers.replies = [hold]
    greedy, other = await doors.agent("u1"), await doors.agent("u2")
    first = asyncio.create_task(greedy.ask("first"))
    await doors.world.providers.were_asked()
    session = await doors.sessions[0].session(f"Bearer {greedy.secret}", "")
    assert session.under_way == 1
    session.under_way = MOST_UNDER_WAY
    assert (await greedy.ask("one more")).error == (429, "TooManyRequests")
    hold.set()
    assert (await other.ask("mine")).status == (await first).status == 200
    assert session.under_way == MOST_UNDER_WAY - 1


async def test_who_asks_without_pause_is_slowed_down(doors: Doors) -> None:
    doors.world.providers.replies = ["x"]
    agent = await doors.agent()
    await agent.ask("hi")
    session = await doors.sessions[0].session(f"Bearer {agent.secret}", "")
    session.requests = Bucket(0.0, 1.0)
    statuses = [(await agent.ask("hi")).status for _ in range(3)]
    assert statuses == [200, 429, 429]
