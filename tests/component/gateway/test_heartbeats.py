"""Heartbeats: held while all is well, answered at once when something is to end."""

import asyncio
import time

import pytest

from build import chain
from citadel.core import events as ev
from citadel.gateway import heartbeats
from component.gateway.conftest import Site
from component.gateway.runner import Runner

#: Far less than a heartbeat is held without a notice, and more than a busy machine stands still.
AT_ONCE = 20
CANCEL = ev.StopRequested("Cancel", "Cancelled", "enough")
CANCELLED = {"cancel": [{"step": "s0", "attempt": 1, "graceSeconds": 10}], "drain": False}
TERMINATE = ev.StopRequested("Terminate", "Terminated", "at once")


@pytest.fixture(autouse=True)
def only_notices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but a notice ends the wait of a heartbeat."""
    monkeypatch.setattr(heartbeats, "HEARTBEAT_SECONDS", 60.0)
    monkeypatch.setattr(heartbeats, "LOOK_SECONDS", 60.0)


async def told(runner: Runner, **running: object) -> object:
    """What a heartbeat is answered at once."""
    async with asyncio.timeout(AT_ONCE):
        answer = await runner.beat(**running)
    assert answer.status == 200, answer.body
    return answer.body


async def nothing_told(runner: Runner, monkeypatch: pytest.MonkeyPatch, **running: object) -> None:
    """Holds that a heartbeat is held to its end, which is soon, and brings nothing."""
    with monkeypatch.context() as patch:
        patch.setattr(heartbeats, "HEARTBEAT_SECONDS", 0.3)
        began = time.monotonic()
        assert await told(runner, **running) == {"cancel": [], "drain": False}
        assert time.monotonic() - began >= 0.3


async def test_without_news_it_is_held_and_noted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = await site.registered(chain(1))
    (row,) = await site.database.sandboxes.open()
    await nothing_told(runner, monkeypatch, step="s0", attempt=1)
    (after,) = await site.database.sandboxes.open()
    assert after.heartbeat_at is not None
    assert row.heartbeat_at is not None
    assert after.heartbeat_at > row.heartbeat_at


async def test_a_cancellation_reaches_the_runner_at_once(site: Site) -> None:
    runner = await site.registered(chain(1))
    beat = asyncio.create_task(runner.beat(step="s0", attempt=1))
    await asyncio.sleep(0.1)  # it is held now
    assert not beat.done()
    await site.post(CANCEL)
    async with asyncio.timeout(AT_ONCE):
        answer = await beat
    assert answer.body == CANCELLED


async def test_a_cancellation_that_the_runner_was_told_is_not_told_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = await site.registered(chain(1))
    await site.post(CANCEL)
    assert await told(runner, step="s0", attempt=1) == CANCELLED
    await nothing_told(runner, monkeypatch, step="s0", attempt=1, cancelling=10)


async def test_one_that_runs_something_else_by_its_own_word_is_told(site: Site) -> None:
    """The attempt may still be on its way to the runner."""
    runner = await site.registered(chain(1))
    await site.post(CANCEL)
    for running in ({}, {"step": "s9", "attempt": 1, "cancelling": 10}, {"step": "s0", "attempt": [1]}):
        assert await told(runner, **running) == CANCELLED


async def test_terminate_after_cancel_leaves_no_grace(site: Site) -> None:
    runner = await site.registered(chain(1))
    await site.post(CANCEL)
    beat = asyncio.create_task(runner.beat(step="s0", attempt=1, cancelling=10))
    await asyncio.sleep(0.1)
    assert not beat.done()
    await site.post(TERMINATE)
    async with asyncio.timeout(AT_ONCE):
        answer = await beat
    assert answer.body == {"cancel": [{"step": "s0", "attempt": 1, "graceSeconds": 0}], "drain": True}


async def test_the_cancelled_attempt_ends_the_execution(site: Site) -> None:
    runner = await site.registered(chain(2))
    await site.post(CANCEL)
    answer = await runner.fail("s0", reason="Cancelled")
    assert answer.body == {"recorded": True, "assignment": None}
    state = await site.state()
    assert state.finished is not None
    assert (state.finished.phase, state.steps["s0"].status) == ("Cancelled", "Cancelled")


async def test_a_sandbox_without_further_work_is_told_to_drain_at_once(site: Site) -> None:
    runner = await site.registered(chain(1))
    beat = asyncio.create_task(runner.beat())
    await asyncio.sleep(0.1)
    assert not beat.done()
    await runner.succeed("s0")
    async with asyncio.timeout(AT_ONCE):
        assert (await beat).body == {"cancel": [], "drain": True}


async def test_a_heartbeat_that_is_no_object_is_refused(site: Site) -> None:
    runner = await site.registered(chain(1))
    for body in (b"", b"[]", b"[" * 100_000):
        assert (await runner.post("/v1/heartbeat", data=body or b" ")).refused == (400, "BadRequest")
