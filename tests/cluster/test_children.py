"""Workflows that run workflows, on a real cluster: what comes back, what is passed down, what is kept."""

import asyncio
import json
from typing import Any

import pytest

from citadel.core.children import MAX_DEPTH, child_name
from citadel.kube.resources import EXECUTIONS, Object
from live import SYSTEM, Cluster, User, crash, kubectl, python

X = {"type": "object", "properties": {"x": {"type": "integer"}}}
SLEEP = "import time\ndef main():\n    time.sleep(300)"


def call(workflow: str, **fields: Any) -> dict[str, Any]:
    return {"name": "call", "workflow": {"name": workflow}, **fields}


async def double(cluster: Cluster) -> None:
    """The workflow `double`."""
    step = python("a", "def main(x): return 2 * x", args={"x": "${inputs.x}"})
    await cluster.workflow("double", [step], inputs=X, outputs={"y": "${steps.a.output}"})


def child_of(obj: Object, step: str = "call") -> str:
    return child_name(obj["metadata"]["name"], obj["metadata"]["uid"], step, 1)


async def children(cluster: Cluster) -> list[Object]:
    """The Executions of steps."""
    return (await cluster.kube.list(EXECUTIONS, cluster.namespace, label_selector="citadel.dev/parent")).items


def waits(obj: Object) -> bool:
    return bool((obj.get("status") or {}).get("reason") == "WaitingForExecution")


async def test_outputs_come_back_from_two_deep_and_from_each_item_of_a_loop(
    cluster: Cluster, user: User
) -> None:
    await double(cluster)
    loop = call("double", forEach={"items": "${[inputs.x, 10]}"}, **{"with": {"x": "${item}"}})
    await cluster.workflow("both", [loop], inputs=X, outputs={"all": "${steps.call.output.map(one, one.y)}"})
    outer = call("both", **{"with": {"x": "${inputs.x}"}})
    await cluster.workflow("outer", [outer], inputs=X, outputs={"got": "${steps.call.output.all}"})
    name = await cluster.execute("outer", inputs={"x": 3})
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"got": [6, 20]}), status
    assert len(await children(cluster)) == 3
    told = user.citadel("get", name)
    assert f"Execution {child_of(await cluster.get(name))}" in told

    kubectl("delete", "execution", name, "-n", cluster.namespace)
    async with asyncio.timeout(30):
        while True:
            if not (await cluster.kube.list(EXECUTIONS, cluster.namespace)).items:
                break
            await asyncio.sleep(0.3)


async def test_a_failure_two_deep_names_every_execution_on_the_way(cluster: Cluster) -> None:
    await cluster.workflow("fails", [python("a", "def main(): raise ValueError('no rows')")])
    await cluster.workflow("middle", [call("fails")])
    await cluster.workflow("outer", [call("middle", onError={"output": "${error.message}"})],
                           outputs={"why": "${steps.call.output}"})  # fmt: skip
    name = await cluster.execute("outer")
    obj = await cluster.finished(name)
    middle = await cluster.get(child_of(obj))
    inner = await cluster.get(child_of(middle))
    assert middle["status"]["reason"] == "ChildFailed"
    assert obj["status"]["outputs"]["why"] == (
        f"Execution {middle['metadata']['name']} (Workflow middle) failed: ChildFailed: step call: "
        f"Execution {inner['metadata']['name']} (Workflow fails) failed: Error: step a: ValueError: no rows"
    )


async def test_one_that_failed_is_made_again_and_no_cache_holds_for_all_of_them(cluster: Cluster) -> None:
    await cluster.workflow("fails", [python("a", "def main(): raise ValueError('no rows')")])
    await cluster.workflow("outer", [call("fails", retry={"attempts": 2, "backoff": {"initial": "100ms"}})])
    name = await cluster.execute("outer", noCache=True)
    status = (await cluster.finished(name))["status"]
    assert (status["failure"]["reason"], status["failure"]["attempt"]) == ("ChildFailed", 2)
    assert [item["spec"].get("noCache") for item in await children(cluster)] == [True, True]


async def test_cancel_is_passed_down_to_what_runs(cluster: Cluster) -> None:
    await cluster.workflow("slow", [python("sleep", SLEEP)])
    await cluster.workflow("middle", [call("slow")])
    await cluster.workflow("outer", [call("middle")])
    name = await cluster.execute("outer")
    middle = child_of(await cluster.until(name, waits))
    inner = child_of(await cluster.until(middle, waits))
    await cluster.until(inner, lambda obj: "Running" in json.dumps(obj.get("status", {}).get("steps")))
    await cluster.kube.patch(EXECUTIONS, name, {"spec": {"stop": "Cancel"}}, cluster.namespace)
    for one in (inner, middle, name):
        assert (await cluster.finished(one, 40))["status"]["phase"] == "Cancelled"


async def test_a_workflow_that_runs_itself_is_bounded(cluster: Cluster) -> None:
    await cluster.workflow("again", [call("again")])
    status = await cluster.run("again", 90)
    assert (status["phase"], status["reason"]) == ("Failed", "ChildFailed")
    found = await children(cluster)
    assert len(found) == MAX_DEPTH - 1
    chain = " > ".join(["again"] * (MAX_DEPTH + 1))
    assert any(chain in item["status"]["message"] for item in found)


@pytest.mark.alone
async def test_a_controller_that_is_killed_in_between_loses_nothing(cluster: Cluster) -> None:
    code = "import time\ndef main(x):\n    time.sleep(1)\n    return x"
    step = python("a", code, args={"x": "${inputs.x}"})
    await cluster.workflow("slow", [step], inputs=X, outputs={"y": "${steps.a.output}"})
    loop = call("slow", forEach={"items": [0, 1, 2, 3, 4, 5], "parallelism": 2}, **{"with": {"x": "${item}"}})
    await cluster.workflow("outer", [loop], outputs={"all": "${steps.call.output.map(one, one.y)}"})
    name = await cluster.execute("outer")
    await cluster.until(name, lambda obj: (obj.get("status", {}).get("progress") or {}).get("done", 0) >= 1)
    crash("controller")
    status = (await cluster.finished(name, 120))["status"]
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"all": [0, 1, 2, 3, 4, 5]}), status
    assert len(await children(cluster)) == 6
    rollout = ("rollout", "status", "deployment/citadel-controller", "--timeout=120s")
    await asyncio.to_thread(kubectl, "-n", SYSTEM, *rollout)


async def test_one_that_is_deleted_fails_its_step(cluster: Cluster) -> None:
    await cluster.workflow("slow", [python("sleep", SLEEP)])
    await cluster.workflow("outer", [call("slow")])
    name = await cluster.execute("outer")
    child = child_of(await cluster.until(name, waits))
    await cluster.until(child, lambda obj: (obj.get("status") or {}).get("startedAt"))
    kubectl("delete", "execution", child, "-n", cluster.namespace, "--wait=false")
    status = (await cluster.finished(name))["status"]
    assert status["failure"]["message"] == f"Execution {child} (Workflow slow) was deleted"
