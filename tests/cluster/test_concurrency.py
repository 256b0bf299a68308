"""Concurrency groups on a real cluster: turns, places that are taken, and executions that never begin."""

import asyncio
from typing import Any

import pytest

from citadel.controller.objects import is_finished
from citadel.kube.errors import Invalid
from citadel.kube.resources import Object
from live import SYSTEM, Cluster, citadel, crash, kubectl, python

GO = {"name": "go", "wait": {"signal": "go"}}


async def define(cluster: Cluster, *steps: dict[str, Any], name: str = "flow", **spec: Any) -> None:
    inputs = {"type": "object", "properties": {"env": {"type": "string", "default": "größe 1"}}}
    concurrency = {"group": "deploy ${inputs.env}", **spec.pop("concurrency", {})}
    await cluster.workflow(name, steps or (GO,), inputs=inputs, concurrency=concurrency, **spec)


async def reach(cluster: Cluster, name: str, reason: str) -> None:
    """Waits until an execution says this, or has ended without it."""

    def holds(obj: Object) -> bool:
        return is_finished(obj) or (obj.get("status") or {}).get("reason") == reason

    status = (await cluster.until(name, holds))["status"]
    assert status["reason"] == reason, status


async def say(cluster: Cluster, *args: str) -> str:
    return await asyncio.to_thread(citadel, *args, "-n", cluster.namespace)


def crash_with_the_database() -> None:
    """Stops the controller and the database at once; returns when both are back."""
    postgres = "pod/citadel-postgres-0"
    crash("controller")
    restarts = "{.status.containerStatuses[0].restartCount}"
    before = int(kubectl("-n", SYSTEM, "get", postgres, "-o", f"jsonpath={restarts}"))
    kubectl("-n", SYSTEM, "exec", "citadel-postgres-0", "--", "sh", "-c", "kill -INT 1", check=False)
    for condition in (f"jsonpath={restarts}={before + 1}", "condition=Ready"):
        kubectl("-n", SYSTEM, "wait", f"--for={condition}", postgres, "--timeout=120s")
    for what in ("deployment/citadel-controller", "deployment/citadel-gateway", "statefulset/citadel-api"):
        kubectl("-n", SYSTEM, "rollout", "status", what, "--timeout=120s")


@pytest.mark.alone
async def test_they_have_their_turns_in_order_though_controller_and_database_stop(cluster: Cluster) -> None:
    await define(cluster)
    await cluster.execute("flow", "a")
    await reach(cluster, "a", "WaitingForSignal")
    for name in ("b", "c"):
        await cluster.execute("flow", name)
        await reach(cluster, name, "ConcurrencyLimit")
    await cluster.execute("flow", "other", inputs={"env": "2"})
    await reach(cluster, "other", "WaitingForSignal")
    status = (await cluster.get("c"))["status"]
    told = "waits for its turn in concurrency group 'deploy größe 1' (limit 1)"
    assert (status["phase"], status["message"]) == ("Pending", told)
    place = "position 2 of 2 in concurrency group 'deploy größe 1' (limit 1; running: a)"
    assert place in " ".join((await say(cluster, "get", "c")).split())
    listed = [line.split() for line in (await say(cluster, "get")).splitlines()]
    shown = {row[0]: row[3:5] for row in listed}
    assert (shown["b"], shown["c"]) == (["ConcurrencyLimit", "1/2"], ["ConcurrencyLimit", "2/2"])
    version = (await cluster.get("c"))["metadata"]["resourceVersion"]
    crash_with_the_database()
    await say(cluster, "signal", "a", "go")
    await cluster.finished("a")
    await reach(cluster, "b", "WaitingForSignal")
    assert (await cluster.get("c"))["metadata"]["resourceVersion"] == version
    await say(cluster, "cancel", "c")
    assert (await cluster.finished("c"))["status"]["phase"] == "Cancelled"
    await cluster.execute("flow", "d")
    await reach(cluster, "d", "ConcurrencyLimit")
    await say(cluster, "signal", "b", "go")
    await reach(cluster, "d", "WaitingForSignal")


async def test_the_newest_begins_when_what_the_older_did_is_undone(cluster: Cluster) -> None:
    undo = {"run": {"runtime": "python", "code": "def main(): print('undone')"}}
    book = {**python("book", "def main(): return 1"), "compensate": undo}
    last = python("last", "def main(phase): print('ended', phase)", args={"phase": "${execution.phase}"})
    await define(cluster, book, GO, concurrency={"policy": "cancelRunning"}, **{"finally": [last]})
    await cluster.execute("flow", "old")
    await reach(cluster, "old", "WaitingForSignal")
    await cluster.execute("flow", "new")
    await reach(cluster, "new", "WaitingForSignal")
    status = (await cluster.get("old"))["status"]
    took = "Execution new, which is newer, took its place in concurrency group 'deploy größe 1'"
    assert (status["phase"], status["reason"], status["message"]) == ("Cancelled", "ConcurrencyLimit", took)
    log = await say(cluster, "logs", "old")
    assert "undone" in log
    assert "ended Cancelled" in log


async def test_reject_fails_and_says_who_runs(cluster: Cluster) -> None:
    await define(cluster, concurrency={"policy": "reject", "limit": 2})
    for name in ("a", "b"):
        await cluster.execute("flow", name)
        await reach(cluster, name, "WaitingForSignal")
    status = await cluster.run("flow")
    told = "no room in concurrency group 'deploy größe 1' (limit 2; running: a, b)"
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "ConcurrencyLimit", told)


async def test_who_does_not_begin_in_time_is_timed_out(cluster: Cluster) -> None:
    large = {"resources": {"requests": {"memory": "900Gi"}, "limits": {"memory": "900Gi"}}}
    await define(cluster, python("a", "def main(): pass", run=large), name="large", pendingTimeout="4s")
    status = await cluster.run("large")
    told = "not begun within 4s: none of its steps got a sandbox"
    assert (status["phase"], status["reason"], status["message"]) == ("TimedOut", "PendingTimeout", told)
    await define(cluster, pendingTimeout="2s")
    await cluster.execute("flow", "a")
    await reach(cluster, "a", "WaitingForSignal")
    status = await cluster.run("flow")
    told = "not begun within 2s: it waited for its turn in concurrency group 'deploy größe 1' (limit 1)"
    assert (status["phase"], status["reason"], status["message"]) == ("TimedOut", "PendingTimeout", told)


async def test_a_loop_of_workflows_has_as_many_at_a_time_as_their_group_permits(cluster: Cluster) -> None:
    await define(cluster, {"name": "nap", "wait": {"for": "200ms"}}, name="one", concurrency={"limit": 2})
    loop = {"name": "all", "workflow": {"name": "one"}, "forEach": {"items": list(range(6))}}
    await cluster.workflow("many", [loop])
    status = await cluster.run("many")
    assert (status["phase"], status["progress"]["text"]) == ("Succeeded", "7/7"), status


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"policy": "wait"}, {"group": ""}])
async def test_what_means_nothing_is_refused(cluster: Cluster, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid, match=f"concurrency.{next(iter(wrong))}"):
        await cluster.workflow("flow", [GO], concurrency=wrong)
