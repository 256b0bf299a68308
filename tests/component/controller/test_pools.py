"""Warm pools around a real journal: kept, claimed, refilled, given up; sandboxes are played by the test."""

from build import python_step
from citadel.controller.sandboxes import EVICT_SECONDS
from citadel.store.sandboxes import SandboxRow
from component.controller.cluster import Cluster, Controller

SLEEPS = python_step("a")


async def members(cluster: Cluster, number: int) -> list[SandboxRow]:
    """Registers members until so many wait, as their runners would."""

    def waiting(rows: list[SandboxRow]) -> list[SandboxRow]:
        return [row for row in rows if row.uid is None and row.status == "live"]

    while True:
        rows = await cluster.rows(
            lambda rows: (
                len(waiting(rows)) == number
                or any(row.uid is None and row.status == "wanted" and row.pod_uid for row in rows)
            )
        )
        if len(waiting(rows)) == number:
            return waiting(rows)
        for row in rows:
            if row.uid is None and row.status == "wanted" and row.pod_uid is not None:
                await cluster.database.sandboxes.observe(row.name, isolated=True, answered="")
                await cluster.database.sandboxes.register(row.name, row.pod_uid, f"hash-{row.name}", "key")


async def pooled(cluster: Cluster, **pool: object) -> None:
    """A Runtime of the namespace `team` with a warm pool, and a workflow that uses it."""
    await cluster.apply("runtimes", "python", {"language": "python", "image": "python:1", "pool": pool})
    await cluster.until(lambda: cluster.ready("python", "runtimes") == "True")
    await cluster.apply("workflows", "flow", {"steps": [SLEEPS]})
    await cluster.until(lambda: cluster.ready("flow", "workflows") == "True")


async def test_members_are_made_one_by_one_and_wait(cluster: Cluster) -> None:
    await cluster.lead()
    await pooled(cluster, min=2, max=3)
    first = await cluster.rows(lambda rows: len(rows) == 1 and rows[0].pod_uid)
    assert (first[0].uid, first[0].namespace, first[0].execution) == (None, "team", "python")
    rows = await members(cluster, 2)
    assert {row.pool for row in rows} == {first[0].pool}
    pods = [obj for path, obj in cluster.api.objects.items() if "/pods/" in path]
    assert {pod["metadata"]["annotations"]["citadel.dev/execution"] for pod in pods} == {"pool:team/python"}
    await cluster.until(lambda: "pool" in cluster.status("python", "runtimes"))


async def test_an_execution_takes_a_member_and_the_pool_is_refilled(cluster: Cluster) -> None:
    await cluster.lead()
    await pooled(cluster, min=1, max=2)
    (member,) = await members(cluster, 1)
    uid = await cluster.submit()
    state = await cluster.state(uid, lambda state: state.sandboxes)
    assert list(state.sandboxes) == [member.name]
    (another,) = await members(cluster, 1)
    assert another.name != member.name
    row = await cluster.sandbox(uid)
    await cluster.database.journal.advance(uid, claim=row.name)
    await cluster.succeed(row, "a")
    await cluster.phase("Succeeded")
    # One that served is destroyed, always.
    await cluster.until(lambda: member.name not in cluster.pods())


async def test_a_change_of_the_runtime_replaces_its_members(cluster: Cluster) -> None:
    await cluster.lead()
    await pooled(cluster, min=1, max=1)
    (old,) = await members(cluster, 1)
    spec = {"language": "python", "image": "python:2", "pool": {"min": 1, "max": 1}}
    await cluster.apply("runtimes", "python", spec)
    await cluster.until(lambda: old.name not in cluster.pods())
    (new,) = await members(cluster, 1)
    assert new.template["image"] == "python:2"


async def test_without_a_pool_all_members_end(cluster: Cluster) -> None:
    await cluster.lead()
    await pooled(cluster, min=1, max=1)
    await members(cluster, 1)
    await cluster.until(lambda: "pool" in cluster.status("python", "runtimes"))
    await cluster.apply("runtimes", "python", {"language": "python", "image": "python:1"})
    await cluster.until(lambda: not cluster.pods())
    await cluster.until(lambda: "pool" not in cluster.status("python", "runtimes"))


async def test_an_execution_that_waits_for_room_is_given_that_of_a_member(cluster: Cluster) -> None:
    await cluster.lead(limit=1)
    await pooled(cluster, min=1, max=1)
    (member,) = await members(cluster, 1)
    big = {"runtime": "python", "code": "x", "resources": {"limits": {"memory": "1Gi"}}}
    await cluster.apply("workflows", "flow", {"steps": [{"name": "a", "run": big}]})
    uid = await cluster.submit()
    row = await cluster.sandbox(uid)
    assert row.name != member.name
    assert cluster.pods() == [row.name]


async def test_a_member_that_cannot_start_is_told_of_and_heals(cluster: Cluster) -> None:
    await cluster.lead()
    await pooled(cluster, min=1, max=1)
    (row,) = await cluster.rows(lambda rows: rows and rows[0].pod_uid)
    state = {"waiting": {"reason": "InvalidImageName", "message": "no such image"}}
    await cluster.set_pod(row.name, containerStatuses=[{"name": "main", "state": state}])
    await cluster.until(lambda: cluster.ready("python", "runtimes") == "False")
    (ready,) = (
        item for item in cluster.status("python", "runtimes")["conditions"] if item["type"] == "Ready"
    )
    assert ready["reason"] == "PoolDegraded"
    assert "no such image" in ready["message"]
    # The clock is ahead of what it waits for, and the next one starts.
    cluster.ahead = 10.0
    await members(cluster, 1)
    await cluster.until(lambda: cluster.ready("python", "runtimes") == "True")


async def test_a_member_whose_pod_is_deleted_is_replaced(cluster: Cluster) -> None:
    await cluster.lead()
    await pooled(cluster, min=1, max=1)
    (member,) = await members(cluster, 1)
    await cluster.remove("pods", member.name)
    await cluster.rows(lambda rows: all(row.name != member.name for row in rows))
    (another,) = await members(cluster, 1)
    assert another.name != member.name


async def test_a_claimed_member_whose_pod_is_deleted_before_it_asked_costs_the_attempt_nothing(
    cluster: Cluster,
) -> None:
    await cluster.lead()
    await pooled(cluster, min=1, max=1)
    (member,) = await members(cluster, 1)
    uid = await cluster.submit()
    await cluster.state(uid, lambda state: member.name in state.sandboxes)
    await cluster.remove("pods", member.name)
    state = await cluster.state(uid, lambda state: state.steps["a"].placing == 2)
    assert (state.steps["a"].attempt, state.finished) == (1, None)


async def test_a_new_leader_takes_over_the_members_there_are(cluster: Cluster) -> None:
    first = Controller(cluster)
    async with first.running(cluster):
        await pooled(cluster, min=1, max=1)
        (member,) = await members(cluster, 1)
    await cluster.lead()
    uid = await cluster.submit()
    state = await cluster.state(uid, lambda state: state.sandboxes)
    assert list(state.sandboxes) == [member.name]


async def test_members_make_room_on_nodes_but_not_for_ever(cluster: Cluster) -> None:
    await cluster.lead()
    await pooled(cluster, min=1, max=1)
    (member,) = await members(cluster, 1)
    big = {"runtime": "python", "code": "x", "resources": {"limits": {"memory": "1Gi"}}}
    await cluster.apply("workflows", "flow", {"steps": [{"name": "a", "run": big}]})
    row = await cluster.sandbox(await cluster.submit())
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no room"}
    await cluster.set_pod(row.name, conditions=[condition])
    await cluster.until(lambda: member.name not in cluster.pods())
    # What fits nowhere is left to wait, and pools are kept again.
    cluster.ahead = EVICT_SECONDS + 10
    (another,) = await members(cluster, 1)
    await cluster.set_pod(row.name, conditions=[{**condition, "message": "still no room"}])
    await cluster.until(lambda: cluster.status().get("message") == "still no room")
    assert another.name in cluster.pods()
