"""One object that nobody can make sense of never stops the others, nor the controller."""

import asyncio
from typing import Any

import psycopg
import pytest

from build import python_step
from component.controller.cluster import CITADEL, Cluster, path_of

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


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        pytest.param({}, "InvalidSpec", id="nothing but a name"),
        pytest.param({"spec": None}, "InvalidSpec", id="null"),
        pytest.param({"spec": "garbage"}, "InvalidSpec", id="text"),
        pytest.param({"spec": ["x"]}, "InvalidSpec", id="a list"),
        pytest.param({"spec": {"workflowRef": 7}}, "InvalidSpec", id="an odd reference"),
        pytest.param(
            {"spec": {"workflowRef": {"name": "../../pods"}}}, "InvalidSpec", id="a path for a name"
        ),
        pytest.param({"spec": {**FLOW, "stop": "Maybe"}}, "InvalidSpec", id="an odd stop"),
        pytest.param({"spec": {**FLOW, "inputs": {"x": "\ud800"}}}, None, id="a lone surrogate"),
        pytest.param({"spec": {**FLOW, "inputs": {"x": "\0"}}}, None, id="NUL"),
        pytest.param({"spec": FLOW, "status": "garbage"}, None, id="text for a status"),
        pytest.param(
            {"spec": FLOW, "status": {"conditions": "x", "startedAt": 7}}, "JournalLost", id="odd status"
        ),
        pytest.param({"spec": FLOW, "status": {"conditions": [None, 7, {}]}}, None, id="odd conditions"),
    ],
)
async def test_a_garbage_execution(cluster: Cluster, fields: dict[str, Any], reason: str | None) -> None:
    controller = await cluster.lead()
    await cluster.define(python_step("a"))
    await add(cluster, "executions", "poison", **fields)
    sweep = asyncio.create_task(controller.reconciler.sweep())
    await neighbour_runs(cluster)
    await asyncio.wait((sweep,), timeout=0.05)
    assert not sweep.done()  # it waits for its next round
    sweep.cancel()
    if reason is not None:
        await cluster.until(lambda: cluster.status("poison").get("reason") == reason)
        assert cluster.status("poison")["phase"] == "Failed"


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="nothing but a name"),
        pytest.param({"spec": "garbage"}, id="text"),
        pytest.param({"spec": {"steps": "x"}}, id="text for steps"),
        pytest.param({"spec": {"steps": [None, 7, {"name": []}]}}, id="odd steps"),
        pytest.param({"spec": {"steps": [python_step("a")]}, "status": "garbage"}, id="text for a status"),
        pytest.param(
            {"spec": {"steps": [python_step("a")]}, "status": {"conditions": 7}}, id="odd conditions"
        ),
    ],
)
async def test_a_garbage_workflow(cluster: Cluster, fields: dict[str, Any]) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    await add(cluster, "workflows", "poison", **fields)
    await cluster.apply("executions", "run", {"workflowRef": {"name": "poison"}})
    await neighbour_runs(cluster)
    await cluster.until(lambda: cluster.ready("poison", "workflows") is not None)
    if "status" not in fields:
        assert cluster.ready("poison", "workflows") == "False"
        assert (await cluster.phase("Failed"))["reason"] == "InvalidSpec"


@pytest.mark.parametrize("spec", [None, "garbage", {"image": 7}, {"image": "x", "language": "cobol"}])
async def test_a_garbage_runtime(cluster: Cluster, spec: Any) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    await add(cluster, "runtimes", "poison", spec=spec, status=spec)
    await neighbour_runs(cluster)
    await cluster.until(lambda: cluster.ready("poison", "runtimes") == "False")


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({}, id="no spec and no status"),
        pytest.param({"status": {"containerStatuses": [{"name": "main"}]}}, id="a container without state"),
        pytest.param({"status": {"containerStatuses": None, "conditions": None}}, id="nulls"),
    ],
)
async def test_a_strange_pod_in_the_sandbox_namespace(cluster: Cluster, fields: dict[str, Any]) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    metadata = {"name": "strange", "namespace": "citadel-sandboxes"}
    await cluster.api.change("ADDED", path_of("pods", "strange"), {"metadata": metadata, **fields})
    await neighbour_runs(cluster)
    await cluster.until(lambda: "strange" not in cluster.pods())


async def test_a_journal_that_is_corrupt_for_one_execution(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    uid = await cluster.submit("poison")
    await cluster.register(uid)
    url = str(cluster.database.journal._connections.engine.url.set(drivername="postgresql"))
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("UPDATE events SET kind = 'Nonsense', data = '{}' WHERE uid = %s", (uid,))
    await cluster.apply("executions", "poison", {**FLOW, "stop": "Cancel"})
    await neighbour_runs(cluster)


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
