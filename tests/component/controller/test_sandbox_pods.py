"""Rows and pods: created once, in order, within the limit; adopted, swept and given up rightly."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest

from build import chain, created, python_step
from citadel.controller import strays
from citadel.controller.watching import Key
from citadel.core import events as ev
from citadel.core.hashing import hashed
from citadel.kube import resources as kinds
from citadel.render.pod import sandbox_pod
from citadel.store.sandboxes import SandboxRow
from component.controller.cluster import SITE, Cluster, Controller
from component.controller.clusterapi import SANDBOXES, path_of
from component.kube.fakeapi import Fault
from component.postgres import PostgresServer

PODS = path_of("pods", "x").rpartition("/")[0]


async def wanted(cluster: Cluster, uid: str, namespace: str = "team") -> SandboxRow:
    """A sandbox that is wanted by an execution nobody but the journal knows of."""
    definition = chain(1)
    fact = replace(created(uid, definition), namespace=namespace)
    await cluster.database.journal.advance(uid, [fact], definition=definition)
    (row,) = [row for row in await cluster.database.sandboxes.open() if row.uid == uid]
    return row


async def live(cluster: Cluster, controller: Controller, uid: str = "uid-1") -> SandboxRow:
    """A sandbox that runs its first attempt."""
    row = await wanted(cluster, uid)
    controller.reconciler.queue.add(Key("sandbox", SANDBOXES, row.name))
    await cluster.register(uid)
    return row


class Clock:
    """Time as whoever looks for silent runners sees it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        monkeypatch.setattr(strays, "time", self)

    def time(self) -> float:
        return time.time() + self.ahead


def created_pods(cluster: Cluster) -> list[str]:
    """Names of pods in the order of their creation."""
    return [
        path.rpartition("/")[2] for _, kind, path, _ in cluster.api.log if kind == "ADDED" and PODS in path
    ]


def a_pod(name: str, **annotations: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": SANDBOXES, "annotations": annotations}, "spec": {}}


async def test_the_limit_is_kept_and_who_waits_longest_is_next(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("citadel.controller.sandboxes.QUEUE_PAUSE", 3600.0)
    controller = Controller(cluster, limit=2)
    rows = [await wanted(cluster, f"uid-{number}") for number in range(6)]
    async with controller.running(cluster):
        for row in reversed(rows):  # the order in which they are looked at must not matter for long
            controller.reconciler.queue.add(Key("sandbox", SANDBOXES, row.name))
        await cluster.until(lambda: len(created_pods(cluster)) == 2)
        await controller.reconciler.queue.drained()
        assert len(cluster.pods()) == 2
        waiting = [row for row in rows if row.name not in cluster.pods()]
        for count in range(3, 7):
            first = cluster.pods()[0]
            uid = next(row.uid for row in rows if row.name == first)
            await cluster.database.journal.advance(uid, [ev.StopRequested("Terminate", "Terminated", "")])
            await cluster.until(lambda count=count: len(created_pods(cluster)) == count)
            assert len(cluster.pods()) <= 2
    assert created_pods(cluster)[2:] == [row.name for row in waiting]


async def test_two_hundred_of_one_namespace_do_not_starve_the_single_one_of_another(cluster: Cluster) -> None:
    many = [await wanted(cluster, f"uid-{number}") for number in range(200)]
    single = await wanted(cluster, "uid-single", "other")
    controller = Controller(cluster, limit=4, per_namespace=3)
    async with controller.running(cluster):
        for row in (*many, single):
            controller.reconciler.queue.add(Key("sandbox", SANDBOXES, row.name))
        await cluster.until(lambda: len(created_pods(cluster)) == 4)
        await controller.reconciler.queue.drained()
    assert created_pods(cluster).count(single.name) == 1
    # The limit that it met when it was looked at: of its namespace, then of the installation.
    assert controller.waiting.reasons[str(many[-1].uid)].startswith("SandboxLimit: ")


async def test_why_a_sandbox_waits_stands_in_the_status(cluster: Cluster) -> None:
    await cluster.lead(limit=0)
    await cluster.define(python_step("a"))
    await cluster.submit()
    status = await cluster.phase("Waiting")
    assert status["reason"] == "SandboxLimit"
    assert status["message"] == "0 sandboxes are live, which is the limit of this installation"


async def test_a_pod_of_somebody_else_in_our_place_is_never_ours(cluster: Cluster) -> None:
    row = await wanted(cluster, "uid-1")
    await cluster.api.change("ADDED", path_of("pods", row.name), a_pod(row.name))
    controller = Controller(cluster)  # its cache is empty: it learns of the pod by creating it
    await controller.pods.reconcile(row.name)
    state = await cluster.database.journal.read("uid-1")
    assert state.finished is not None
    assert state.finished.reason == "SandboxStartFailed"
    assert "was not made for this sandbox" in state.finished.message
    assert (await cluster.database.sandboxes.get(row.name)).pod_uid is None  # type: ignore[union-attr]


@pytest.mark.parametrize("knows", [True, False], ids=["which the watch told", "which nobody told"])
async def test_a_pod_that_was_created_but_not_recorded_is_adopted(cluster: Cluster, knows: bool) -> None:
    row = await wanted(cluster, "uid-1")
    manifest = sandbox_pod(
        row.name, f"{row.namespace}/{row.execution}", row.template, SITE, "the key it was made with"
    )
    made = await cluster.api.change("ADDED", path_of("pods", row.name), manifest)
    controller = Controller(cluster)
    if knows:
        controller.cache.put(kinds.PODS, made)
    await controller.pods.reconcile(row.name)
    found = await cluster.database.sandboxes.get(row.name)
    assert found is not None
    assert (found.pod_uid, found.status) == (made["metadata"]["uid"], "wanted")
    assert found.key_hash == hashed("the key it was made with")


async def test_a_created_pod_whose_answer_was_lost_is_ours(cluster: Cluster) -> None:
    controller = await cluster.lead()
    row = await wanted(cluster, "uid-1")
    cluster.api.faults.append(Fault("POST", 0, after=True))
    controller.reconciler.queue.add(Key("sandbox", SANDBOXES, row.name))
    assert (await cluster.sandbox("uid-1")).name == row.name
    assert created_pods(cluster) == [row.name]


async def test_a_pod_is_recorded_though_the_database_went_away_while_it_was_created(
    cluster: Cluster, postgres_server: PostgresServer
) -> None:
    controller = await cluster.lead()
    # What is permitted here is known after the first.
    await wanted(cluster, "uid-0")
    await cluster.until(lambda: len(created_pods(cluster)) == 1)
    row = await wanted(cluster, "uid-1")
    cluster.api.gate = asyncio.Event()
    controller.reconciler.queue.add(Key("sandbox", SANDBOXES, row.name))
    await cluster.until(lambda: cluster.api.writes().count(("POST", PODS)) == 2)
    postgres_server.stop()
    try:
        cluster.api.gate.set()
        await cluster.until(lambda: len(cluster.pods()) == 2)
        await controller.reconciler.queue.drained()
    finally:
        postgres_server.start()
    assert (await cluster.sandbox("uid-1")).name == row.name


async def test_a_new_leader_that_has_seen_nothing_yet_loses_no_running_sandbox(cluster: Cluster) -> None:
    first = Controller(cluster)
    async with first.running(cluster):
        row = await live(cluster, first)
    second = Controller(cluster)
    assert second.cache.objects(kinds.PODS) == []
    await second.pods.reconcile(row.name)
    found = await cluster.database.sandboxes.get(row.name)
    assert found is not None
    assert found.status == "live"
    assert (await cluster.database.journal.read("uid-1")).steps["s0"].status == "Running"


async def test_a_pod_that_the_api_server_says_is_gone_is_lost(cluster: Cluster) -> None:
    controller = await cluster.lead()
    row = await live(cluster, controller)
    await cluster.remove("pods", row.name)
    state = await cluster.state("uid-1", lambda state: state.finished)
    assert state.finished is not None
    assert (state.finished.reason, state.finished.message) == (
        "SandboxLost",
        f"step s0: pod {row.name} is gone",
    )


async def test_what_happened_to_main_is_the_reason(cluster: Cluster) -> None:
    controller = await cluster.lead()
    row = await live(cluster, controller)
    killed = {"terminated": {"reason": "OOMKilled", "exitCode": 137}}
    await cluster.set_pod(row.name, phase="Running", containerStatuses=[{"name": "main", "state": killed}])
    state = await cluster.state("uid-1", lambda state: state.finished)
    assert state.finished is not None
    assert state.finished.reason == "OOMKilled"
    await cluster.until(lambda: not cluster.pods())


@pytest.mark.parametrize(
    ("status", "message", "reason"),
    [(422, "spec is invalid", "SandboxStartFailed"), (403, "violates PodSecurity", "SandboxStartFailed")],
)
async def test_a_pod_that_is_refused_fails_the_attempt_with_the_servers_words(
    cluster: Cluster, status: int, message: str, reason: str
) -> None:
    row = await wanted(cluster, "uid-1")
    cluster.api.faults.append(Fault("POST", status, body={"kind": "Status", "message": message}))
    await Controller(cluster).pods.reconcile(row.name)
    state = await cluster.database.journal.read("uid-1")
    assert state.finished is not None
    assert state.finished.reason == reason
    assert message in state.finished.message


async def test_a_quota_that_is_used_up_is_waited_for(cluster: Cluster) -> None:
    controller = Controller(cluster)
    row = await wanted(cluster, "uid-1")
    body = {"kind": "Status", "message": "pods cx is forbidden: exceeded quota: small"}
    cluster.api.faults.append(Fault("POST", 403, body=body))
    async with controller.running(cluster):
        controller.reconciler.queue.add(Key("sandbox", SANDBOXES, row.name))
        await cluster.sandbox("uid-1")
    assert "exceeded quota" in controller.waiting.reasons.get("uid-1", "exceeded quota")


async def test_the_sweep_deletes_pods_without_a_row_and_ends_executions_without_an_object(
    cluster: Cluster,
) -> None:
    controller = await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit("kept")
    kept = await cluster.register(uid)
    orphan = await live(cluster, controller, "uid-orphan")
    await cluster.api.change("ADDED", path_of("pods", "cx-stranger-0"), a_pod("cx-stranger-0"))
    sweep = asyncio.create_task(controller.reconciler.sweep())
    await cluster.until(lambda: cluster.pods() == [kept.name])
    sweep.cancel()
    state = await cluster.state("uid-orphan", lambda state: state.finished)
    assert state.finished is not None
    assert state.finished.reason == "Deleted"
    assert (await cluster.database.sandboxes.get(orphan.name)).status in ("draining", "gone")  # type: ignore[union-attr]
    assert (await cluster.database.journal.read(uid)).finished is None


async def test_a_sweep_finds_what_no_notice_told(cluster: Cluster) -> None:
    row = await wanted(cluster, "uid-1")
    await cluster.api.change(
        "ADDED",
        path_of("executions", "run"),
        {"metadata": {"name": "run", "namespace": "team", "uid": "uid-1"}, "spec": {}, "status": {}},
    )
    controller = await cluster.lead()
    sweep = asyncio.create_task(controller.reconciler.sweep())
    await cluster.until(lambda: cluster.pods() == [row.name])
    sweep.cancel()


async def test_a_silent_runner_is_given_up_while_others_are_heard(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    controller = await cluster.lead()
    silent = await live(cluster, controller, "uid-1")
    other = await live(cluster, controller, "uid-2")
    rounds = controller.reconciler.strays.end_silent
    await rounds(await cluster.database.sandboxes.open())
    clock.ahead = strays.SILENCE_SECONDS + 1
    heard = {other.name: clock.time()}
    rows = await cluster.database.sandboxes.open()
    await rounds([replace(row, heartbeat_at=heard.get(row.name, row.heartbeat_at)) for row in rows])
    state = await cluster.database.journal.read("uid-1")
    assert state.finished is not None
    assert "silent" in state.finished.message
    assert (await cluster.database.journal.read("uid-2")).finished is None
    assert silent.name != other.name


async def test_a_lone_silent_runner_is_given_up_while_a_gateway_serves(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    controller = await cluster.lead()
    controller.gateway_is_ready = True
    await live(cluster, controller)
    rounds = controller.reconciler.strays.end_silent
    await rounds(await cluster.database.sandboxes.open())
    assert (await cluster.database.journal.read("uid-1")).finished is None
    clock.ahead = strays.SILENCE_SECONDS + 1
    await rounds(await cluster.database.sandboxes.open())
    finished = (await cluster.database.journal.read("uid-1")).finished
    assert finished is not None
    assert "silent" in finished.message


async def test_when_nobody_is_heard_it_is_not_the_sandboxes_fault(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    controller = await cluster.lead()
    await live(cluster, controller)
    for _ in range(3):
        clock.ahead += strays.SILENCE_SECONDS + 1
        await controller.reconciler.strays.end_silent(await cluster.database.sandboxes.open())
    assert (await cluster.database.journal.read("uid-1")).finished is None
