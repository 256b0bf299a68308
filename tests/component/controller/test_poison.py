"""One object that nobody can make sense of never stops the others, nor the controller."""

import asyncio
from typing import Any

import psycopg

from build import python_step
from component.controller.cluster import Cluster
from component.controller.clusterapi import CITADEL, path_of

FLOW = {"workflowRef": {"name": "flow"}}


async def neighbour_runs(cluster: Cluster) -> None:
    """An execution beside the poison runs to its end."""
    uid = await cluster.submit("neighbour")
    row = await cluster.register(uid)
    await cluster.succeed(row, "a")
    await cluster.phase("Succeeded", "neighbour")


async def add(cluster: Cluster, kind: str, name: str, **fields: Any) -> None:
    """An object as it is, without anything that tests usually fill in."""
    words = {"executions": "Execution", "workflows": "Workflow", "runtimes": "Runtime"}
    head = {"apiVersion": "citadel.dev/v1alpha1", "kind": words[kind]}
    metadata = {"name": name, "namespace": "team"}
    await cluster.api.change("ADDED", path_of(kind, name), {**head, "metadata": metadata, **fields})


EXECUTIONS: dict[str, tuple[dict[str, Any], str | None]] = {
    "nothing-but-a-name": ({}, "InvalidSpec"),
    "null": ({"spec": None}, "InvalidSpec"),
    "text": ({"spec": "garbage"}, "InvalidSpec"),
    "a-list": ({"spec": ["x"]}, "InvalidSpec"),
    "an-odd-reference": ({"spec": {"workflowRef": 7}}, "InvalidSpec"),
    "a-path-for-a-name": ({"spec": {"workflowRef": {"name": "../../pods"}}}, "InvalidSpec"),
    "an-odd-stop": ({"spec": {**FLOW, "stop": "Maybe"}}, "InvalidSpec"),
    "a-lone-surrogate": ({"spec": {**FLOW, "inputs": {"x": "\ud800"}}}, None),
    "a-nul": ({"spec": {**FLOW, "inputs": {"x": "\0"}}}, None),
    "text-for-a-status": ({"spec": FLOW, "status": "garbage"}, None),
    "an-odd-status": ({"spec": FLOW, "status": {"conditions": "x", "startedAt": 7}}, "JournalLost"),
    "odd-conditions": ({"spec": FLOW, "status": {"conditions": [None, 7, {}]}}, None),
}


async def test_garbage_executions(cluster: Cluster) -> None:
    controller = await cluster.lead(limit=30)
    await cluster.define(python_step("a"))
    for name, (fields, _) in EXECUTIONS.items():
        await add(cluster, "executions", name, **fields)
    sweep = asyncio.create_task(controller.reconciler.sweep())
    await neighbour_runs(cluster)
    await asyncio.wait((sweep,), timeout=0.05)
    assert not sweep.done() or sweep.exception() is None  # it waits for its next round, or was asked for it
    sweep.cancel()
    expected = {name: reason for name, (_, reason) in EXECUTIONS.items() if reason is not None}
    await cluster.until(lambda: {name: cluster.status(name).get("reason") for name in expected} == expected)
    assert {cluster.status(name)["phase"] for name in expected} == {"Failed"}


WORKFLOWS: dict[str, dict[str, Any]] = {
    "nothing-but-a-name": {},
    "text": {"spec": "garbage"},
    "text-for-steps": {"spec": {"steps": "x"}},
    "odd-steps": {"spec": {"steps": [None, 7, {"name": []}]}},
    "text-for-a-status": {"spec": {"steps": [python_step("a")]}, "status": "garbage"},
    "odd-conditions": {"spec": {"steps": [python_step("a")]}, "status": {"conditions": 7}},
}


async def test_garbage_workflows(cluster: Cluster) -> None:
    await cluster.lead(limit=30)
    await cluster.define(python_step("a"))
    for name, fields in WORKFLOWS.items():
        await add(cluster, "workflows", name, **fields)
        await cluster.apply("executions", name, {"workflowRef": {"name": name}})
    await neighbour_runs(cluster)
    ready = {name: "True" if "status" in fields else "False" for name, fields in WORKFLOWS.items()}
    await cluster.until(lambda: {name: cluster.ready(name, "workflows") for name in WORKFLOWS} == ready)
    for name in (name for name, found in ready.items() if found == "False"):
        assert (await cluster.phase("Failed", name))["reason"] == "InvalidSpec"


async def test_garbage_runtimes(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    garbage: list[Any] = [None, "garbage", {"image": 7}, {"image": "x", "language": "cobol"}]
    for number, spec in enumerate(garbage):
        await add(cluster, "runtimes", f"poison-{number}", spec=spec, status=spec)
    await neighbour_runs(cluster)
    for number in range(len(garbage)):
        await cluster.until(lambda name=f"poison-{number}": cluster.ready(name, "runtimes") == "False")


async def test_strange_pods_in_the_sandbox_namespace(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    statuses: list[Any] = [None, {}, {"containerStatuses": [{"name": "main"}]}, {"containerStatuses": None}]
    for number, status in enumerate(statuses):
        metadata = {"name": f"strange-{number}", "namespace": "citadel-sandboxes"}
        path = path_of("pods", metadata["name"])
        await cluster.api.change("ADDED", path, {"metadata": metadata, "status": status})
    await neighbour_runs(cluster)
    await cluster.until(lambda: not any("strange" in name for name in cluster.pods()))


async def test_a_journal_that_is_corrupt_for_one_execution(cluster: Cluster) -> None:
    controller = await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit("poison")
    await cluster.register(uid)
    async with await psycopg.AsyncConnection.connect(cluster.url, autocommit=True) as connection:
        await connection.execute("UPDATE events SET kind = 'Nonsense', data = '{}' WHERE uid = %s", (uid,))
    controller.executions._journal._reader.drop(uid)  # as a process that has not seen it yet
    await cluster.apply("executions", "poison", {**FLOW, "stop": "Cancel"})
    await neighbour_runs(cluster)
    await cluster.until(lambda: cluster.status("poison").get("reason") == "JournalCorrupt")
    assert "Nonsense" in cluster.status("poison")["message"]


async def test_an_object_that_the_api_server_will_not_let_us_touch(cluster: Cluster) -> None:
    cluster.api.forbidden.add(f"{CITADEL}/namespaces/team/executions/poison")
    await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit("poison")
    row = await cluster.register(uid)
    await cluster.succeed(row, "a")
    await neighbour_runs(cluster)
    assert cluster.status("poison") == {}
    cluster.api.forbidden.clear()
    await cluster.phase("Succeeded", "poison")
