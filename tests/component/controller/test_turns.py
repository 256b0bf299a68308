"""Concurrency groups as users see them: who waits, whose place is taken, and who begins when."""

import asyncio
from collections.abc import Callable
from typing import Any

from build import python_step
from citadel.core import events as ev
from citadel.core.children import child_name
from citadel.core.failures import Failure
from citadel.core.values import Inline
from component.controller.cluster import Cluster
from component.controller.clusterapi import path_of

UNDO = {"run": {"runtime": "python", "code": "def main(**x): return x"}}


async def define(cluster: Cluster, policy: str = "queue", *steps: dict[str, Any], **spec: Any) -> None:
    concurrency = {"group": "prod", "policy": policy}
    await cluster.define(*(steps or (python_step("a"),)), concurrency=concurrency, **spec)


async def time_passes(cluster: Cluster, holds: Callable[[], object]) -> None:
    """What is due happens, until something holds."""
    async with asyncio.timeout(8):
        while not holds():
            await cluster.database.journal.due(10)
            await asyncio.sleep(0.01)


async def run_to_its_end(cluster: Cluster, uid: str, name: str) -> None:
    row = await cluster.register(uid)
    await cluster.succeed(row, "a")
    await cluster.phase("Succeeded", name)


def told(cluster: Cluster, name: str) -> tuple[str, str, str]:
    status = cluster.status(name)
    return status["phase"], status["reason"], status["message"]


async def waits(cluster: Cluster, *names: str) -> None:
    for name in names:
        await cluster.until(lambda name=name: cluster.status(name).get("reason") == "ConcurrencyLimit")


async def test_they_run_one_after_another_and_who_waits_is_not_written_to_meanwhile(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster)
    uids = {name: await cluster.submit(name) for name in ("one",)}
    await cluster.sandbox(uids["one"])
    for name in ("two", "three"):
        uids[name] = await cluster.submit(name)
        await waits(cluster, name)
    message = "waits for its turn in concurrency group 'prod' (limit 1)"
    assert told(cluster, "three") == ("Pending", "ConcurrencyLimit", message)
    before = cluster.api.objects[path_of("executions", "three")]["metadata"]["resourceVersion"]
    await run_to_its_end(cluster, uids["one"], "one")
    await time_passes(cluster, lambda: cluster.status("two")["reason"] != "ConcurrencyLimit")
    await run_to_its_end(cluster, uids["two"], "two")
    assert cluster.api.objects[path_of("executions", "three")]["metadata"]["resourceVersion"] == before
    await time_passes(cluster, lambda: cluster.status("three")["reason"] != "ConcurrencyLimit")
    await run_to_its_end(cluster, uids["three"], "three")


async def test_the_newest_takes_the_place_of_all_and_begins_when_they_have_ended(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster, "cancelRunning", python_step("a", compensate=UNDO), python_step("b"))
    first = await cluster.submit("first")
    row = await cluster.register(first)
    await cluster.succeed(row, "a")
    await cluster.submit("second")
    await waits(cluster, "second")
    third = await cluster.submit("third")
    await cluster.phase("Cancelled", "second")
    message = "Execution third, which is newer, took its place in concurrency group 'prod'"
    assert told(cluster, "second") == ("Cancelled", "ConcurrencyLimit", message)
    before = await cluster.state(first, lambda state: state.stop is not None)
    assert before.finished is None
    await waits(cluster, "third")
    # What it has done is undone first.
    journal = cluster.database.journal
    await journal.advance(first, [ev.AttemptFailed("b", 1, row.name, Failure("Cancelled", "stopped"))])
    undoing = await cluster.state(first, lambda state: "a.compensate" in state.active)
    waiting = (await journal.read(third)).admission
    assert waiting is not None
    assert waiting.admitted_at is None
    (box,) = (name for name, found in undoing.sandboxes.items() if found.usable)
    if not undoing.sandboxes[box].registered:
        await journal.advance(first, [ev.SandboxRegistered(box)])
    await journal.advance(first, claim=box)
    await journal.advance(first, [ev.AttemptSucceeded("a.compensate", 1, box, Inline(None))])
    await cluster.phase("Cancelled", "first")
    assert cluster.status("first")["reason"] == "ConcurrencyLimit"
    assert "Execution second" in cluster.status("first")["message"]
    await time_passes(cluster, lambda: cluster.status("third")["reason"] != "ConcurrencyLimit")


async def test_a_controller_that_ends_before_it_made_room_leaves_that_to_the_next(
    cluster: Cluster,
) -> None:
    leading = await cluster.lead()
    await define(cluster, "cancelRunning")
    first = await cluster.submit("first")
    await cluster.register(first)
    older = leading.reconciler._turns.make_room
    reached = asyncio.Event()

    async def stuck(state: Any) -> None:
        if state.created is not None and state.created.name == "second":
            reached.set()
            await asyncio.Event().wait()
        await older(state)

    leading.reconciler._turns.make_room = stuck  # type: ignore[method-assign]
    await cluster.submit("second")
    await asyncio.wait_for(reached.wait(), 8)
    await leading.reconciler.queue.stop(0.1)
    assert (await cluster.database.journal.read(first)).stop is None
    await cluster.lead()
    await cluster.state(first, lambda state: state.stop is not None)


async def test_reject_fails_at_once_and_a_parent_is_told(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster, "reject")
    await cluster.sandbox(await cluster.submit("first"))
    await cluster.submit("second")
    status = await cluster.phase("Failed", "second")
    message = "no room in concurrency group 'prod' (limit 1; running: first)"
    assert (status["reason"], status["message"]) == ("ConcurrencyLimit", message)
    assert status["failure"] == {"reason": "ConcurrencyLimit", "message": message}
    await cluster.apply("workflows", "outer", {"steps": [{"name": "call", "workflow": {"name": "flow"}}]})
    await cluster.apply("executions", "third", {"workflowRef": {"name": "outer"}})
    status = await cluster.phase("Failed", "third")
    assert status["reason"] == "ChildFailed"
    assert f"ConcurrencyLimit: {message}" in status["message"]


async def test_one_that_would_wait_for_its_own_ancestor_fails_at_once(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster, "queue", {"name": "call", "workflow": {"name": "between"}})
    await cluster.apply("workflows", "between", {"steps": [{"name": "again", "workflow": {"name": "flow"}}]})
    uid = await cluster.submit()
    status = await cluster.phase("Failed")
    between = child_name("run", uid, "call", 1)
    assert status["failure"]["reason"] == "ChildFailed"
    told = "waits for its own ancestor run, which waits for it: concurrency group 'prod' (limit 1)"
    failed = next(obj for path, obj in cluster.api.objects.items() if f"/executions/{between}-" in path)
    assert (failed["status"]["reason"], failed["status"]["message"]) == ("ConcurrencyLimit", told)


async def test_one_that_is_deleted_makes_room(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster)
    await cluster.sandbox(await cluster.submit("first"))
    await cluster.submit("second")
    await waits(cluster, "second")
    await cluster.remove("executions", "first")
    await time_passes(cluster, lambda: cluster.status("second")["reason"] != "ConcurrencyLimit")


async def test_whom_nobody_told_is_found_by_looking(cluster: Cluster) -> None:
    leading = await cluster.lead()
    await define(cluster)
    first = await cluster.submit("first")
    await cluster.sandbox(first)
    await cluster.submit("second")
    await waits(cluster, "second")
    await cluster.database.journal.forget([first])
    await leading.reconciler._turns.wake()
    await cluster.until(lambda: cluster.status("second")["reason"] != "ConcurrencyLimit")


async def test_who_waits_too_long_ends_and_the_next_is_not_held_up(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster, pendingTimeout="500ms", **{"finally": [python_step("last")]})
    await cluster.register(await cluster.submit("first"))
    await cluster.submit("second")
    await time_passes(cluster, lambda: cluster.status("second").get("phase") == "TimedOut")
    waited = "it waited for its turn in concurrency group 'prod' (limit 1)"
    assert told(cluster, "second")[1:] == ("PendingTimeout", f"not begun within 500ms: {waited}")
