"""Warm pools on a real cluster: claimed, refilled, replaced; what dies in between costs no execution."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from citadel.kube.resources import PODS, RUNTIMES, Object
from live import SANDBOXES, SYSTEM, Cluster, kubectl, sql

pytestmark = pytest.mark.alone

WAITS = "import time\ndef main(seconds=0):\n    time.sleep(seconds)\n    return seconds"

#: The name of a sandbox is its pod's.
WHO = "import os\ndef main(): return os.uname().nodename"


async def runtime(cluster: Cluster, name: str = "warm", **pool: Any) -> None:
    """A Runtime of the test's namespace, with the image of the shared one and a pool."""
    shared = await cluster.kube.get(RUNTIMES, "python", SYSTEM)
    metadata = {"name": name, "namespace": cluster.namespace}
    spec = {"language": "python", "image": shared["spec"]["image"], "pool": pool}
    body = {"apiVersion": RUNTIMES.api_version, "kind": "Runtime", "metadata": metadata, "spec": spec}
    await cluster.kube.create(RUNTIMES, body)


def step(name: str = "a", seconds: float = 0.0) -> dict[str, Any]:
    return {"name": name, "run": {"runtime": "warm", "code": WAITS}, "with": {"seconds": seconds}}


async def pods(cluster: Cluster) -> list[Object]:
    """Pods that were made for the pool and are not on their way out, whether or not they are claimed."""
    wanted = f"pool:{cluster.namespace}/warm"
    found = (await cluster.kube.list(PODS, SANDBOXES)).items
    mine = [pod for pod in found if pod["metadata"]["annotations"].get("citadel.dev/execution") == wanted]
    return [pod for pod in mine if "deletionTimestamp" not in pod["metadata"]]


async def members(cluster: Cluster, holds: Callable[[set[str]], object], seconds: float = 60) -> set[str]:
    """The names of those pods, once the pool is full and something holds of them."""
    found: set[str] = set()
    async with asyncio.timeout(seconds):
        while True:
            found = {pod["metadata"]["name"] for pod in await pods(cluster) if runs(pod)}
            # One that runs is not yet one that can be claimed.
            if holds(found) and not found.difference(await asyncio.to_thread(claimable)):
                return found
            await asyncio.sleep(0.1)


def claimable() -> list[str]:
    """Members of pools that have answered for their network, which they do once they are warm."""
    return sql("SELECT name FROM sandboxes WHERE uid IS NULL AND status = 'live' AND answered IS NOT NULL")


def runs(pod: Object) -> bool:
    states = [item["state"] for item in pod.get("status", {}).get("containerStatuses") or ()]
    return bool(states) and all("running" in state for state in states)


def cold(cluster: Cluster, found: list[Object]) -> list[str]:
    """Sandboxes that were started for executions of this namespace."""
    mine = f"{cluster.namespace}/"
    annotations = (pod["metadata"]["annotations"].get("citadel.dev/execution", "") for pod in found)
    return [name for name in annotations if name.startswith(mine)]


async def succeeded(cluster: Cluster, name: str, seconds: float = 60) -> None:
    status = (await cluster.finished(name, seconds))["status"]
    assert status["phase"] == "Succeeded", status


async def test_an_execution_takes_a_member_which_is_destroyed_and_replaced(cluster: Cluster) -> None:
    await runtime(cluster, min=1, max=2)
    (member,) = await members(cluster, lambda names: len(names) == 1)
    await cluster.workflow("one", [step(seconds=1)])
    name = await cluster.execute("one")
    await cluster.until(name, lambda obj: obj.get("status", {}).get("phase") == "Running")
    assert cold(cluster, (await cluster.kube.list(PODS, SANDBOXES)).items) == []
    await succeeded(cluster, name)
    assert member not in await members(cluster, lambda names: names and member not in names)


async def test_a_namespaced_pool_serves_that_namespace_alone(cluster: Cluster) -> None:
    await runtime(cluster, min=1, max=1)
    (member,) = await members(cluster, lambda names: len(names) == 1)
    elsewhere = cluster.namespace + "-b"
    kubectl("create", "namespace", elsewhere)
    try:
        other = Cluster(cluster.kube, elsewhere)
        await runtime(other, min=0, max=1)
        await other.workflow("one", [step()])
        await succeeded(other, await other.execute("one"))
        assert member in await members(cluster, lambda names: names)
    finally:
        kubectl("delete", "namespace", elsewhere, "--wait=false")


async def test_two_executions_at_once_never_share_the_one_member(cluster: Cluster) -> None:
    await runtime(cluster, min=1, max=1)
    await members(cluster, lambda names: len(names) == 1)
    await cluster.workflow("one", [step(seconds=1)])
    names = await asyncio.gather(*(cluster.execute("one") for _ in range(2)))
    for name in names:
        await succeeded(cluster, name)


async def test_a_changed_runtime_has_other_members_and_without_a_pool_none(cluster: Cluster) -> None:
    await runtime(cluster, min=1, max=1)
    (old,) = await members(cluster, lambda names: len(names) == 1)
    env = {"spec": {"resources": {"limits": {"memory": "200Mi"}}}}
    await cluster.kube.patch(RUNTIMES, "warm", env, cluster.namespace)
    (new,) = await members(cluster, lambda names: len(names) == 1 and old not in names)
    assert new != old
    await cluster.kube.patch(RUNTIMES, "warm", {"spec": {"pool": {"min": 0, "max": 1}}}, cluster.namespace)
    assert await members(cluster, lambda names: not names) == set()


async def test_a_member_whose_pod_is_deleted_is_replaced(cluster: Cluster) -> None:
    await runtime(cluster, min=1, max=1)
    (member,) = await members(cluster, lambda names: len(names) == 1)
    await cluster.kube.delete(PODS, member, SANDBOXES, grace_seconds=0)
    await members(cluster, lambda names: names and member not in names)


async def test_members_that_died_as_an_execution_came_cost_it_nothing(cluster: Cluster) -> None:
    await runtime(cluster, min=2, max=2)
    await members(cluster, lambda names: len(names) == 2)
    await cluster.workflow("one", [step()])
    doomed = [pod["metadata"]["name"] for pod in await pods(cluster)]
    await asyncio.gather(*(cluster.kube.delete(PODS, name, SANDBOXES, grace_seconds=0) for name in doomed))
    # Claimed before anybody has noticed, or started anew: no code of it had run, so it needs no retry.
    await succeeded(cluster, await cluster.execute("one"), 90)


async def test_the_pool_outlives_controller_and_gateway(cluster: Cluster) -> None:
    await runtime(cluster, min=1, max=1)
    before = await members(cluster, lambda names: len(names) == 1)
    for component in ("controller", "gateway"):
        kubectl(
            "-n", SYSTEM, "delete", "pod", "-l", f"app.kubernetes.io/component={component}", "--wait=false"
        )
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/citadel-gateway", "--timeout=90s")
    kubectl("-n", SYSTEM, "rollout", "status", "deployment/citadel-controller", "--timeout=90s")
    assert await members(cluster, lambda names: len(names) == 1) == before
    await cluster.workflow("one", [step()])
    await succeeded(cluster, await cluster.execute("one"), 90)
    # The execution has ended before its sandbox has gone.
    await members(cluster, lambda names: names and not before & names)


async def test_a_killed_database_costs_no_member_and_none_is_claimed_twice(cluster: Cluster) -> None:
    await runtime(cluster, min=3, max=3)
    before = await members(cluster, lambda names: len(names) == 3)
    who = {"name": "a", "run": {"runtime": "warm", "code": WHO}}
    await cluster.workflow("who", [who], outputs={"who": "${steps.a.output}"})
    names = [await cluster.execute("who") for _ in range(2)]
    restarts = postgres_restarts()
    # As in a crash: nothing is written down first, and what was going on is rolled back.
    kubectl("-n", SYSTEM, "exec", "citadel-postgres-0", "--", "sh", "-c", "kill -QUIT 1")
    names += [await cluster.execute("who") for _ in range(3)]
    ended = [(await cluster.finished(name, 120))["status"] for name in names]
    assert postgres_restarts() > restarts
    assert [status["phase"] for status in ended] == ["Succeeded"] * len(names), ended
    served = [status["outputs"]["who"] for status in ended]
    assert len(set(served)) == len(names)
    waiting = await members(cluster, lambda names: len(names) == 3)
    assert before <= waiting | set(served)
    assert not waiting & set(served)
    kubectl("-n", SYSTEM, "wait", "--for=condition=Ready", "pod/citadel-postgres-0", "--timeout=60s")


def postgres_restarts() -> int:
    path = "jsonpath={.status.containerStatuses[0].restartCount}"
    return int(kubectl("-n", SYSTEM, "get", "pod", "citadel-postgres-0", "-o", path))


async def test_the_status_of_a_runtime_tells_of_its_pool(cluster: Cluster) -> None:
    await runtime(cluster, min=1, max=1)
    async with asyncio.timeout(60):
        while True:
            found = await cluster.kube.get(RUNTIMES, "warm", cluster.namespace)
            if found.get("status", {}).get("pool", {}).get("wanted") == 1:
                break
            await asyncio.sleep(0.2)
