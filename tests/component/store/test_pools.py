"""Members of warm pools: claimed by one execution each, in the advance that wants a sandbox."""

import asyncio
from dataclasses import replace

import pytest

import build
from build import begin
from citadel.core import events as ev
from citadel.core.plan import compile_definition
from citadel.store.journal import JournalUnavailable
from citadel.store.sandboxes import SandboxRow
from citadel.store.sql.database import open_database

DEFINITION = build.chain(2)
PLACE = next(iter(compile_definition(DEFINITION).placements.values()))


def member(name: str, namespace: str = "") -> SandboxRow:
    assert PLACE.pool is not None
    return SandboxRow(
        name, None, namespace, "python", PLACE.pool, PLACE.template, "wanted", 0.0, pool=PLACE.pool
    )


async def add(process, *names: str, namespace: str = "") -> None:
    """Members that have registered, the oldest first."""
    for name in names:
        await process.pools.add(member(name, namespace))
        await process.sandboxes.observe(name, pod_uid=f"pod-{name}", isolated=True, answered="")
        assert await process.sandboxes.register(name, f"pod-{name}", f"hash-{name}", "key")


async def start(process, uid: str = "uid-1") -> str:
    """A new execution; its sandbox."""
    advance = await process.journal.advance(uid, [build.created(uid, DEFINITION)], definition=DEFINITION)
    return build.only_sandbox(advance)


async def test_the_oldest_member_is_claimed_and_is_the_executions_from_then_on(store) -> None:
    process = store.open()
    await add(process, "cp-b", "cp-a")
    before = await process.sandboxes.get("cp-b")
    assert before is not None
    assert await start(process) == "cp-b"
    row = await process.sandboxes.get("cp-b")
    assert row is not None
    assert (row.uid, row.namespace, row.execution, row.status) == ("uid-1", "team", "run", "live")
    assert (row.placement, row.session_hash) == (PLACE.key, "hash-cp-b")
    assert row.claimed_at is not None
    assert row.claimed_at >= before.wanted_at
    state = await store.open().journal.read("uid-1")
    assert state.sandboxes["cp-b"].registered
    assert state.steps["s0"].sandbox == "cp-b"


async def test_what_is_not_there_yet_or_not_any_more_is_not_claimed(store) -> None:
    process = store.open()
    await process.pools.add(member("cp-wanted"))
    await add(process, "cp-draining", "cp-gone")
    assert await process.pools.retire("cp-draining")
    await process.sandboxes.observe("cp-gone", status="gone")
    assert (await start(process)).startswith("cx-")


async def test_a_member_that_has_not_told_what_it_found_of_the_network_is_not_claimed(store) -> None:
    process = store.open()
    await add(process, "cp-unproven")
    await process.sandboxes.observe("cp-unproven", isolated=None, answered=None)
    assert (await start(process)).startswith("cx-")


async def test_a_member_that_was_not_heard_of_lately_is_not_claimed(sql_store) -> None:
    process = sql_store.open()
    await add(process, "cp-silent", "cp-heard")
    await sql_store.sql("UPDATE sandboxes SET heartbeat_at = heartbeat_at - 60 WHERE name = 'cp-silent'")
    assert await start(process) == "cp-heard"


async def test_members_of_another_namespace_or_another_template_are_not_claimed(store) -> None:
    process = store.open()
    await add(process, "cp-others", namespace="others")
    await process.pools.add(replace(member("cp-old"), pool="old", placement="old"))
    await process.sandboxes.observe("cp-old", pod_uid="pod")
    assert await process.sandboxes.register("cp-old", "pod", "hash", "key")
    assert (await start(process)).startswith("cx-")
    await add(process, "cp-mine", namespace="team")
    assert await start(process, "uid-2") == "cp-mine"


async def test_two_executions_never_get_the_same_member(store) -> None:
    processes = [store.open() for _ in range(4)]
    await add(processes[0], *(f"cp-{number}" for number in range(12)))
    names = await asyncio.gather(*(start(processes[n % 4], f"uid-{n}") for n in range(24)))
    claimed = [name for name in names if name.startswith("cp-")]
    assert len(set(claimed)) == len(claimed)
    assert len(set(names)) == 24
    # Under contention one may be skipped that another transaction looks at, but not many.
    assert len(claimed) >= 8


async def test_a_member_is_claimed_or_retired_but_not_both(postgres_store) -> None:
    processes = [postgres_store.open() for _ in range(4)]
    for number in range(20):
        name = f"cp-{number}"
        await add(processes[0], name)
        retired, got = await asyncio.gather(
            processes[1].pools.retire(name), start(processes[2], f"uid-{number}")
        )
        assert retired != (got == name)


async def test_an_advance_that_is_rolled_back_claims_nothing(sql_store) -> None:
    process = sql_store.open()
    await add(process, "cp-a")
    await sql_store.sql(
        "INSERT INTO definitions (digest, body) VALUES (:digest, '{}')", digest=build.pinned(DEFINITION)
    )
    await sql_store.sql("ALTER TABLE steps RENAME TO elsewhere")
    with pytest.raises(JournalUnavailable):
        await start(process)
    row = await process.sandboxes.get("cp-a")
    assert row is not None
    assert row.uid is None


async def test_a_namespace_with_enough_sandboxes_claims_no_more(sql_store) -> None:
    process = sql_store.open()
    await add(process, "cp-a", "cp-b", "cp-c")
    bounded = open_database(sql_store.url, pool_size=2, per_namespace=2)
    sql_store._opened.append(bounded)
    assert await start(bounded, "uid-1") == "cp-a"
    assert await start(bounded, "uid-2") == "cp-b"
    assert (await start(bounded, "uid-3")).startswith("cx-")
    await process.sandboxes.observe("cp-a", status="gone")
    assert await start(bounded, "uid-4") == "cp-c"


async def test_a_member_is_retired_once_and_a_claimed_one_never(store) -> None:
    process = store.open()
    await add(process, "cp-a", "cp-b")
    assert await start(process) == "cp-a"
    assert [await process.pools.retire(name) for name in ("cp-a", "cp-b", "cp-b", "cp-x")] == [
        False,
        True,
        False,
        False,
    ]


async def test_demand_is_what_was_claimed_and_what_was_missed(store) -> None:
    process = store.open()
    await add(process, "cp-a")
    await start(process, "uid-1")
    await start(process, "uid-2")
    found = await process.pools.demand(60, 1000.0)
    assert {(item.pool, item.namespace) for item in found} == {(PLACE.pool, "team")}
    assert sum(item.claimed for item in found) == 1
    assert sum(item.missed for item in found) == 1
    assert await process.pools.demand(-1, 1000.0) == []


async def test_the_member_serves_its_execution_to_the_end(store) -> None:
    process = store.open()
    await add(process, "cp-a")
    await start(process)
    assert await process.sandboxes.deliveries() == []  # nothing of it has to be sealed
    polled = await store.open().journal.advance("uid-1", claim="cp-a")
    assert (polled.step, [type(event).__name__ for event in polled.events]) == ("s0", ["Delivered"])
    advance = await process.journal.advance("uid-1", [build.succeeded("s0", "cp-a")], claim="cp-a")
    assert advance.step == "s1"
    await process.journal.advance("uid-1", [build.succeeded("s1", "cp-a")], claim="cp-a")
    row = await process.sandboxes.get("cp-a")
    assert row is not None
    assert row.status == "draining"


async def test_members_that_ended_unclaimed_are_pruned(sql_store) -> None:
    process = sql_store.open()
    await add(process, "cp-a", "cp-b")
    await process.sandboxes.observe("cp-a", status="gone")
    await process.journal.prune(3600)
    assert await process.sandboxes.get("cp-a") is None
    assert await process.sandboxes.get("cp-b") is not None


async def test_an_execution_that_starts_its_own_sandbox_has_it_registered_as_ever(store) -> None:
    process = store.open()
    advance = await begin(process.journal, DEFINITION)
    assert advance.step == "s0"
    assert advance.state.steps["s0"].delivered_at is not None
    assert not any(isinstance(event, ev.Delivered) for event in advance.events)
