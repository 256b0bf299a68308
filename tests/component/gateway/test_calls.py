"""Calls of tools by agents in sandboxes: recorded once, refused to others, answered when they have ended."""

import asyncio
from typing import Any

import pytest

from agents import agent, definition, run_agent
from build import definition as plain
from build import python_step
from citadel.core import events as ev
from citadel.core.failures import Failure
from citadel.core.values import Inline
from citadel.gateway import calls
from component.gateway.conftest import Site
from component.gateway.runner import Answer, Runner


def one(*tools: Any, **spec: Any) -> dict[str, Any]:
    """An execution of one agent with these tools."""
    return definition(run_agent(), agents={"writer": agent(*tools, **spec)})


async def call(
    runner: Runner, name: str = "search", arguments: Any = None, made: str = "c1", **at: Any
) -> Answer:
    step, attempt = at.get("step", "write"), at.get("attempt", 1)
    body = {"id": made, "name": name, "arguments": {"text": "tea"} if arguments is None else arguments}
    return await runner.post(f"/v1/attempts/{step}/{attempt}/tools", body)


async def begun(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> asyncio.Task[Answer]:
    """A call that is recorded, and whose end is waited for."""
    monkeypatch.setattr(calls, "HELD_SECONDS", 0.0)
    assert (await call(runner)).body == {"status": "Running"}
    monkeypatch.setattr(calls, "HELD_SECONDS", 20.0)
    return asyncio.create_task(call(runner))


async def test_an_agent_is_told_that_it_is_one(site: Site) -> None:
    (sandbox,) = await site.start(one("search"))
    runner = await site.runner(sandbox)
    told = (await runner.register()).assignment
    assert (told["agent"], told["entrypoint"], told["exclusive"]) == (True, "citadel_agent:run", True)
    assert told["input"]["agent"]["tools"][0]["name"] == "search"


async def test_a_call_is_recorded_once_and_answered_when_it_has_ended(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await site.registered(one("search"))
    monkeypatch.setattr(calls, "HELD_SECONDS", 0.0)
    for _ in range(3):
        assert (await call(runner)).body == {"status": "Running"}
    monkeypatch.setattr(calls, "HELD_SECONDS", 20.0)
    waiting = asyncio.create_task(call(runner))
    await site.post(ev.ToolAnswered("write.search[1]", 1, Inline({"hits": ["é"]})))
    async with asyncio.timeout(15):
        assert (await waiting).body == {"status": "Succeeded", "output": {"hits": ["é"]}}
    assert (await call(runner)).body["status"] == "Succeeded"
    state = await site.state()
    assert [name for name in state.steps if name.startswith("write.search[")] == ["write.search[1]"]


async def test_other_arguments_and_other_ids_are_other_calls(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "HELD_SECONDS", 0.0)
    runner = await site.registered(one("search"))
    for arguments, made in (({"text": "a"}, "1"), ({"text": "b"}, "1"), ({"text": "a"}, "2")):
        assert (await call(runner, arguments=arguments, made=made)).body == {"status": "Running"}
    assert "write.search[3]" in (await site.state()).steps


async def test_a_call_that_failed_says_why(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = await site.registered(one("search"))
    waiting = await begun(runner, monkeypatch)
    failure = Failure("ToolFailed", "no such customer")
    await site.post(ev.ToolAnswered("write.search[1]", 1, None, failure))
    assert (await waiting).body == {"status": "Failed", "reason": "ToolFailed", "message": "no such customer"}


async def test_what_the_agent_may_not_call_is_refused_and_recorded(site: Site) -> None:
    runner = await site.registered(one("search"))
    refused = (await call(runner, "rm -rf", {"path": "/"})).body
    assert (refused["status"], refused["reason"]) == ("Failed", "ToolNotAllowed")
    refused = (await call(runner, "search", {"text": 1})).body
    assert (refused["status"], refused["reason"]) == ("Failed", "ToolRefused")
    assert {"write.refused[1]", "write.search[1]"} <= set((await site.state()).steps)


@pytest.mark.parametrize("arguments", ["{broken", "", "[1]", "null"])
async def test_arguments_that_are_no_object_are_refused_and_recorded(site: Site, arguments: str) -> None:
    runner = await site.registered(one("search"))
    refused = (await call(runner, "search", arguments)).body
    assert (refused["status"], refused["reason"]) == ("Failed", "ToolRefused")
    assert "expected an object" in refused["message"]
    state = await site.state()
    assert state.called["write.search[1]"].arguments == Inline(arguments)
    assert state.steps["write.search[1]"].reason == "ToolRefused"


async def test_nobody_else_calls_in_the_name_of_an_agent(site: Site) -> None:
    runner = await site.registered(one("search"))
    stranger = await site.registered(one("search"), "uid-2")
    assert (await call(runner, attempt=2)).refused == (409, "Superseded")
    assert (await call(runner, step="other")).refused == (409, "Superseded")
    assert (await call(runner, step="write.search")).refused == (409, "Superseded")
    stranger.secret = stranger.secret[:-1] + ("A" if stranger.secret[-1] != "A" else "B")
    assert (await call(stranger)).refused == (401, "InvalidSession")
    assert not (await site.state("uid-2")).calls


async def test_a_step_that_is_no_agent_calls_nothing_and_gives_none_of_its_reasons(site: Site) -> None:
    runner = await site.registered(plain(python_step("a")))
    assert (await call(runner, step="a")).refused == (409, "Superseded")
    assert (await runner.fail("a", "BudgetExceeded")).refused == (400, "BadRequest")
    assert (await runner.fail("a")).body["recorded"]


async def test_the_reason_of_the_door_is_the_reason_of_the_agent(site: Site) -> None:
    runner = await site.registered(one("search"))
    assert (await runner.fail("write", "TurnLimitExceeded")).body["recorded"]
    finished = (await site.state()).finished
    assert finished is not None
    assert finished.reason == "TurnLimitExceeded"


async def test_an_attempt_that_is_over_calls_nothing_more(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await site.registered(one("search"))
    waiting = await begun(runner, monkeypatch)
    await runner.succeed("write", b'"done"')
    async with asyncio.timeout(15):
        assert (await waiting).status in (200, 409)
    assert (await call(runner, made="c2")).refused == (409, "Superseded")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"id": "c", "name": "search"}',
        b'{"id": "c", "name": "search", "arguments": []}',
        b'{"id": "c", "name": "search", "arguments": null}',
        b'{"id": "", "name": "search", "arguments": {}}',
        b'{"id": "c", "name": 1, "arguments": {}}',
        b'{"id": "c", "name": "search", "arguments": {"text": "\\u0000"}}',
        b'{"id": "c", "name": "search", "arguments": {"text": "\\ud800"}}',
        b'{"id": "c", "name": "search", "arguments": ' + b'{"a":' * 100 + b"1" + b"}" * 101,
        b'{"id": "%s", "name": "search", "arguments": {}}' % (b"c" * 201),
    ],
)
async def test_what_is_no_call_is_refused(site: Site, body: bytes) -> None:
    runner = await site.registered(one("search"))
    assert (await runner.post("/v1/attempts/write/1/tools", data=body)).refused[0] == 400
