"""Calls and checks as the process takes them: through every end that a call can come to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy import text

import build
from citadel.calls.working import Worker
from citadel.core import events as ev
from citadel.core.state import State
from citadel.core.toolcalls import call_body, check_body
from citadel.core.values import Inline
from citadel.store.calls import PlacedCall
from citadel.store.tool_checks import Check
from citadel.tools.working import CheckWorker, Told, ToolWorker
from component.tools.servers import Server
from component.tools.test_mcp import FIND, spoken
from component.tools.world import KEY, World, http, mcp


class Process:
    """Processes that make calls, which a test may kill."""

    def __init__(self, world: World) -> None:
        self.world, self.database = world, world.database
        self.told: list[Told] = []
        self._running: list[tuple[Worker[Any], list[asyncio.Task[Any]]]] = []

    def start(self) -> None:
        calls = ToolWorker(
            self.database.journal, self.database.tool_calls, self.world.asker, self.told.append
        )
        checks = CheckWorker(self.database.tool_checks, self.world.asker, self.told.append)
        for worker in (calls, checks):
            self._running.append(
                (worker, [asyncio.create_task(self._follow(worker)), asyncio.create_task(_forever(worker))])
            )

    async def _follow(self, worker: Worker[Any]) -> None:
        async for notice in self.database.journal.listen():
            worker.take(notice)

    async def kill(self) -> None:
        """All are gone at once: nothing that they had begun is put in order."""
        for worker, tasks in self._running:
            for task in (*tasks, *worker._tasks):
                task.cancel()
            await asyncio.gather(*tasks, *worker._tasks, return_exceptions=True)
        self._running.clear()

    async def begin(self, uid: str, spec: dict[str, Any], **step: Any) -> State:
        """An execution whose step `a` waits for the Tool `crm`."""
        flow = build.definition({"name": "a", "tool": {"name": "crm"}, **step})
        flow["tools"] = {"crm": {"spec": spec, "parameters": {"type": "object"}}}
        advance = await self.database.journal.advance(
            uid, [build.created(uid, flow, {}, name=uid)], definition=flow
        )
        assert advance.state.steps["a"].status == "Waiting", advance.state.finished
        if "credential" in spec["http"]:
            # The controller's part: no other may read it.
            host = spec["http"]["url"].split("/")[2]
            body, sealed = call_body("crm", spec, {}), self.world.sealed(host)
            call = PlacedCall(uid, "a", 1, "team", body, (host,), sealed)
            await self.database.tool_calls.place(call)
        return advance.state

    async def left(self) -> int:
        """How many calls are to be made."""
        async with self.database._connections.engine.begin() as connection:
            return int((await connection.execute(text("SELECT count(*) FROM tool_calls"))).scalar_one())

    async def ended(self, uid: str) -> State:
        return await self.until(uid, lambda state: state.finished is not None)

    async def until(self, uid: str, holds: Callable[[State], bool]) -> State:
        async with asyncio.timeout(60):
            while True:
                await self.database.journal.due(10)
                state = await self.database.journal.read(uid)
                if holds(state):
                    return state
                await asyncio.sleep(0.02)


async def _forever(worker: Worker[Any]) -> None:
    while True:
        await worker.work()


@pytest.fixture
async def process(world: World) -> AsyncIterator[Process]:
    process = Process(world)
    yield process
    await process.kill()


def failure(state: State) -> tuple[str, str]:
    found = state.steps["a"].failure
    assert found is not None
    return found.reason, found.message


async def test_a_call_ends_its_step_and_is_counted(process: Process, server: Server) -> None:
    server.says({"n": 1})
    spec = http(server.port, with_key=True)
    await process.begin("u1", spec)
    process.start()
    state = await process.ended("u1")
    assert state.steps["a"].output == Inline({"n": 1})
    assert [(told.kind, told.outcome) for told in process.told] == [("http", "ok")]
    assert KEY in server.asked[0].headers["Authorization"]


async def test_a_failure_names_tool_and_status(process: Process, server: Server) -> None:
    server.says({"error": KEY}, 422)
    spec = http(server.port, with_key=True)
    await process.begin("u1", spec)
    process.start()
    assert failure(await process.ended("u1")) == ("ToolFailed", 'Tool crm: status 422: {"error": "***"}')
    assert [told.outcome for told in process.told] == ["ToolFailed"]


async def test_an_output_that_does_not_fit_is_none(process: Process, server: Server) -> None:
    server.says({"n": "x"})
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    for uid, spec, step in (
        ("u1", {**http(server.port), "outputSchema": schema}, {}),
        ("u2", http(server.port), {"outputSchema": schema}),
    ):
        await process.begin(uid, spec, **step)
    process.start()
    for uid in ("u1", "u2"):
        reason, message = failure(await process.ended(uid))
        assert reason == "InvalidOutput"
        assert "output.n" in message


async def test_a_server_that_does_not_answer_is_waited_for_as_long_as_the_tool_says(
    process: Process, server: Server
) -> None:
    spec = {**http(server.port, method="POST"), "timeout": "5s"}
    await process.begin("u1", spec)
    process.start()
    reason, message = failure(await process.ended("u1"))
    told = "Tool crm: no answer in time (its timeout is 5s); it may have happened"
    assert (reason, message) == ("ToolUnavailable", told)
    await asyncio.wait_for(server.gone.wait(), 30)


@pytest.mark.parametrize(
    ("method", "again"), [("GET", True), ("PUT", True), ("POST", False), ("PATCH", False)]
)
async def test_what_was_sent_by_a_dead_process_is_sent_again_only_where_that_does_no_harm(
    process: Process, server: Server, monkeypatch: pytest.MonkeyPatch, method: str, again: bool
) -> None:
    monkeypatch.setattr("citadel.calls.working.LEASE_SECONDS", 0.5)
    spec = http(server.port, method=method)
    await process.begin("u1", spec)
    process.start()
    await server.was_asked()
    await process.kill()
    server.says({"n": 2})
    process.start()
    state = await process.ended("u1")
    if again:
        assert state.steps["a"].output == Inline({"n": 2})
        assert len({asked.headers["Idempotency-Key"] for asked in server.asked}) == 1
        return
    assert failure(state) == (
        "ToolUnavailable",
        "Tool crm: it was sent, but nobody knows what became of it: it may have happened",
    )
    assert len(server.asked) == 1


async def test_a_retry_is_another_call_with_another_key(process: Process, server: Server) -> None:
    server.says({}, 503)
    spec = http(server.port, method="POST")
    retry = {"attempts": 2, "backoff": {"initial": "100ms"}, "reasons": ["ToolUnavailable"]}
    await process.begin("u1", spec, retry=retry)
    process.start()
    await process.until("u1", lambda state: state.steps["a"].attempt == 2)
    server.says({"n": 1})
    await process.until("u1", lambda state: state.steps["a"].status == "Waiting")
    assert (await process.ended("u1")).steps["a"].output == Inline({"n": 1})
    assert len({asked.headers["Idempotency-Key"] for asked in server.asked}) == 2


async def test_a_cancelled_execution_hangs_up(process: Process, server: Server) -> None:
    spec = http(server.port)
    await process.begin("u1", spec)
    process.start()
    await server.was_asked()
    await process.database.journal.advance("u1", [ev.StopRequested("Cancel", "Cancelled", "enough")])
    state = await process.ended("u1")
    assert state.finished is not None
    assert state.finished.phase == "Cancelled"
    await asyncio.wait_for(server.gone.wait(), 30)


async def test_a_call_whose_execution_stops_before_it_is_made_is_over_at_once(
    process: Process, server: Server
) -> None:
    await process.begin("u1", http(server.port))
    await process.database.journal.advance("u1", [ev.StopRequested("Cancel", "Cancelled", "enough")])
    process.start()
    assert failure(await process.ended("u1")) == ("Cancelled", "not started")
    assert server.asked == []


async def test_a_call_that_nobody_waits_for_is_not_made(process: Process, server: Server) -> None:
    spec = http(server.port)
    await process.begin("u1", spec)
    await process.database.journal.advance("u1", [ev.StopRequested("Terminate", "Terminated", "now")])
    process.start()
    async with asyncio.timeout(30):
        while await process.left():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    assert server.asked == []


async def test_many_calls_are_each_made_once_by_many_processes(process: Process, server: Server) -> None:
    server.says({"n": 1})
    spec = http(server.port, method="POST")
    for number in range(20):
        await process.begin(f"u{number}", spec)
    for _ in range(3):
        process.start()
    for number in range(20):
        assert (await process.ended(f"u{number}")).steps["a"].output == Inline({"n": 1})
    assert len(server.asked) == 20


async def test_a_check_is_answered_once_and_asked_again_when_it_is_wanted(
    process: Process, server: Server
) -> None:
    spoken(server, {"tools": [FIND]})
    spec = mcp(server.port)
    host = spec["mcp"]["url"].split("/")[2]
    checks = process.database.tool_checks

    async def wanted(digest: str, again: float | None = None) -> None:
        await checks.place(Check("team", "crm", digest, check_body("crm", spec), (host,)), again)

    async def answered(digest: str, after: float = 0.0) -> Any:
        async with asyncio.timeout(30):
            while True:
                found = await checks.checked("team", "crm")
                if found is not None and found.digest == digest and found.at > after:
                    return found
                await asyncio.sleep(0.02)

    process.start()
    await wanted("sha256:1")
    first = await answered("sha256:1")
    assert list(first.result["functions"]) == ["find"]
    await wanted("sha256:1", again=first.at - 1)
    assert (await checks.checked("team", "crm")) == first
    # While another is under way, what is known stays known.
    server.says({}, 503)
    await wanted("sha256:1", again=first.at + 1000)
    again = await answered("sha256:1", first.at)
    assert again.result["reason"] == "ToolUnavailable"
    assert json.dumps(again.result).count("status 503") == 1
    await wanted("sha256:2")
    assert (await answered("sha256:2")).result["reason"] == "ToolUnavailable"
    await checks.forget("team", "crm")
    assert await checks.checked("team", "crm") is None
