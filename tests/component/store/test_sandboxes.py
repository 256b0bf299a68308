"""Rows of sandboxes: what an advance makes of them, and what controller and gateway may do to them."""

import asyncio
from dataclasses import replace

import pytest

import build
from build import begin, only_sandbox
from citadel.core import events as ev
from citadel.core.failures import Failure

SECRET = {"valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}


async def wanted(process, uid: str = "uid-1") -> str:
    """An execution whose first sandbox is wanted; the sandbox's name."""
    definition = build.chain(2)
    advance = await process.journal.advance(uid, [build.created(uid, definition)], definition=definition)
    return only_sandbox(advance)


async def test_a_wanted_sandbox_has_a_row_with_all_that_a_pod_needs(store) -> None:
    process = store.open()
    name = await wanted(process)
    (row,) = await process.sandboxes.open()
    assert (row.name, row.uid, row.namespace, row.execution, row.status) == (
        name,
        "uid-1",
        "team",
        "run",
        "wanted",
    )
    assert row.template["image"] == "citadel-python"
    assert row.template["resources"]["limits"] == {"cpu": "1", "memory": "256Mi"}
    assert await process.sandboxes.get(name) == row
    assert await process.sandboxes.get("cx-other") is None


async def test_what_a_sandbox_is_made_of_can_be_said_more_exactly(store) -> None:
    sandboxes = (process := store.open()).sandboxes
    name = await wanted(process)
    (row,) = await sandboxes.open()
    for _ in range(2):
        await sandboxes.observe(name, template={**row.template, "imageId": "sha256:1"})
    assert await sandboxes.of("uid-1") == [replace(row, template={**row.template, "imageId": "sha256:1"})]


async def test_a_sandbox_registers_once_and_only_from_the_pod_that_was_made_for_it(store) -> None:
    sandboxes = (process := store.open()).sandboxes
    name = await wanted(process)
    assert not await sandboxes.register(name, "pod-1", "hash", "key")
    await sandboxes.observe(name, pod_uid="pod-1")
    assert not await sandboxes.register(name, "pod-2", "hash", "key")
    assert await sandboxes.register(name, "pod-1", "hash", "key")
    assert await sandboxes.register(name, "pod-1", "hash", "key")
    assert not await sandboxes.register(name, "pod-1", "stolen", "key")
    row = await sandboxes.get(name)
    assert row is not None
    assert (row.status, row.session_hash, row.public_key) == ("live", "hash", "key")
    assert not await sandboxes.register("cx-other", "pod-1", "hash", "key")


async def test_of_many_that_register_at_once_one_succeeds(store) -> None:
    processes = [store.open() for _ in range(4)]
    name = await wanted(processes[0])
    await processes[0].sandboxes.observe(name, pod_uid="pod-1")
    registered = await asyncio.gather(
        *(p.sandboxes.register(name, "pod-1", f"hash-{n}", "key") for n, p in enumerate(processes))
    )
    assert sorted(registered) == [False, False, False, True]


async def test_a_sandbox_never_comes_back(store) -> None:
    sandboxes = (process := store.open()).sandboxes
    name = await wanted(process)
    await sandboxes.observe(name, pod_uid="pod-1")
    await sandboxes.observe(name, status="draining")
    await sandboxes.observe(name, status="wanted")
    assert [row.status for row in await sandboxes.open()] == ["draining"]
    assert not await sandboxes.register(name, "pod-1", "hash", "key")
    await sandboxes.observe(name, status="gone")
    await sandboxes.observe(name, status="live")
    assert await sandboxes.open() == []
    row = await sandboxes.get(name)
    assert row is not None
    assert row.status == "gone"
    await process.journal.advance("uid-1", [ev.StopRequested("Terminate", "Deleted", "")])
    row = await sandboxes.get(name)
    assert row is not None
    assert row.status == "gone"


@pytest.mark.parametrize("changes", [{"status": "lost"}, {"session_hash": "mine"}])
async def test_only_observations_can_be_observed(store, changes) -> None:
    process = store.open()
    name = await wanted(process)
    with pytest.raises(ValueError, match="expected some of"):
        await process.sandboxes.observe(name, **changes)


async def test_heartbeats_are_dated_by_the_database(store) -> None:
    sandboxes = (process := store.open()).sandboxes
    names = [await wanted(process, f"uid-{number}") for number in range(3)]
    await sandboxes.heartbeat(names[:2])
    await sandboxes.heartbeat([])
    rows = {row.name: row for row in await sandboxes.open()}
    assert all((rows[name].heartbeat_at or 0) >= rows[name].wanted_at for name in names[:2])
    assert rows[names[2]].heartbeat_at is None


@pytest.mark.parametrize(
    ("fact", "immediate"),
    [
        (ev.StopRequested("Terminate", "Terminated", ""), True),
        (ev.StopRequested("Terminate", "Deleted", ""), True),
        (build.succeeded("a", ""), False),
        (build.failed("a", ""), False),
    ],
)
async def test_sandboxes_drain_with_their_execution(store, fact, immediate: bool) -> None:
    process = store.open()
    sandbox = only_sandbox(await begin(process.journal, build.definition(build.python_step("a"))))
    if not isinstance(fact, ev.StopRequested):
        fact = type(fact)(**{**vars(fact), "sandbox": sandbox})
    await process.journal.advance("uid-1", [fact])
    (row,) = await process.sandboxes.open()
    assert (row.status, row.immediate) == ("draining", immediate)


async def test_a_lost_sandbox_drains_and_another_one_is_wanted(store) -> None:
    process = store.open()
    definition = build.chain(1, retry={"attempts": 2, "backoff": {"initial": "1s", "factor": 1, "max": "1s"}})
    advance = await process.journal.advance(
        "uid-1", [build.created("uid-1", definition)], definition=definition
    )
    lost = only_sandbox(advance)
    await process.journal.advance("uid-1", [ev.SandboxEnded(lost, Failure("SandboxLost", "gone"))])
    status = {row.name: row.status for row in await process.sandboxes.open()}
    assert status.pop(lost) == "draining"
    assert list(status.values()) == ["wanted"]


async def test_arguments_by_reference_are_delivered_sealed_until_their_attempt_ends(store) -> None:
    process = store.open()
    definition = build.definition(
        build.python_step("a", arguments={"password": SECRET}), build.python_step("b")
    )
    advance = await begin(process.journal, definition)
    sandbox = only_sandbox(advance)
    assert advance.step == "a"
    (delivery,) = await process.sandboxes.deliveries()
    assert (delivery.uid, delivery.step, delivery.attempt, delivery.placing) == ("uid-1", "a", 1, 1)
    sealed = await process.sandboxes.delivery(sandbox, {"password": "c2VhbGVk"})
    assert sealed is not None
    assert sealed.sealed == {"password": "c2VhbGVk"}
    assert await process.sandboxes.deliveries() == []
    await process.journal.advance("uid-1", [ev.Delivered("a", 1, 1)])
    assert await process.sandboxes.delivery(sandbox) == sealed, "a lost answer is asked for again"
    await process.journal.advance("uid-1", [build.succeeded("a", sandbox)], claim=sandbox)
    assert await process.sandboxes.delivery(sandbox) is None


@pytest.mark.parametrize(
    "end",
    [
        ev.SandboxEnded("?", Failure("SandboxLost", "gone")),
        ev.StopRequested("Terminate", "Terminated", ""),
    ],
)
async def test_nothing_sealed_outlives_its_sandbox_or_its_execution(store, end) -> None:
    process = store.open()
    definition = build.definition(build.python_step("a", arguments={"password": SECRET}))
    sandbox = only_sandbox(await begin(process.journal, definition))
    if isinstance(end, ev.SandboxEnded):
        end = ev.SandboxEnded(sandbox, end.failure)
    await process.sandboxes.delivery(sandbox, {"password": "c2VhbGVk"})
    await process.journal.advance("uid-1", [end])
    assert await process.sandboxes.delivery(sandbox) is None
    assert await process.sandboxes.delivery(sandbox, {"late": "x"}) is None


async def test_values_sealed_for_another_attempt_are_not_delivered(store) -> None:
    process = store.open()
    definition = build.definition(build.python_step("a", arguments={"password": SECRET}))
    sandbox = only_sandbox(await begin(process.journal, definition))
    (delivery,) = await process.sandboxes.deliveries()
    late = replace(delivery, attempt=delivery.attempt + 1)
    found = await process.sandboxes.delivery(sandbox, {"password": "bGF0ZQ"}, of=late)
    assert found.sealed is None
    found = await process.sandboxes.delivery(sandbox, {"password": "bm93"}, of=delivery)
    assert found.sealed == {"password": "bm93"}
