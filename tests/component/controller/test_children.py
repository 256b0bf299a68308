"""Executions that steps want: made once whatever stops when, and nothing of their ends is lost."""

import asyncio
from collections.abc import Callable
from typing import Any

from build import python_step
from citadel.core.children import MAX_DEPTH, child_name
from component.controller.cluster import Cluster
from component.controller.clusterapi import path_of
from component.kube.fakeapi import Fault

ANY = {"type": "object", "properties": {"x": {}}}
CALL = {"name": "call", "workflow": {"name": "sub"}, "with": {"x": "${inputs.x}"}}
OUTPUTS = {"got": "${steps.call.output.y}"}


async def define(cluster: Cluster, *steps: dict[str, Any], **spec: Any) -> None:
    """The workflow `flow`, whose step `call` runs `sub`, of one step of Python."""
    await cluster.define(*(steps or (CALL,)), **{"inputs": ANY, "outputs": OUTPUTS, **spec})
    sub = {"steps": [python_step("a")], "inputs": ANY, "outputs": {"y": "${steps.a.output}"}}
    await cluster.apply("workflows", "sub", sub)


def child_of(uid: str, step: str = "call", attempt: int = 1) -> str:
    return child_name("run", uid, step, attempt)


def executions(cluster: Cluster) -> list[str]:
    return sorted(path.rpartition("/")[2] for path in cluster.api.objects if "/team/executions/" in path)


async def made(cluster: Cluster, name: str) -> dict[str, Any]:
    """The object of an execution, once it is there."""
    await cluster.until(lambda: path_of("executions", name) in cluster.api.objects)
    return cluster.api.objects[path_of("executions", name)]


async def time_passes(cluster: Cluster, holds: Callable[[], object]) -> None:
    """What is due happens, until something holds."""
    async with asyncio.timeout(8):
        while not holds():
            await cluster.database.journal.due(10)
            await asyncio.sleep(0.01)


async def change(cluster: Cluster, name: str, **spec: Any) -> None:
    """What somebody changes of an execution."""
    obj = cluster.api.objects[path_of("executions", name)]
    metadata = {**obj["metadata"], "generation": obj["metadata"].get("generation", 1) + 1}
    await cluster.api.change(
        "MODIFIED",
        path_of("executions", name),
        {**obj, "metadata": metadata, "spec": {**obj["spec"], **spec}},
    )


async def test_its_outputs_are_the_output_of_the_step_also_large_ones(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster)
    large = "x" * 100_000
    uid = await cluster.submit(inputs={"x": large})
    child = await made(cluster, child_of(uid))
    assert child["metadata"]["labels"] == {"citadel.dev/parent": uid}
    assert child["metadata"]["ownerReferences"][0]["uid"] == uid
    assert child["spec"] == {"workflowRef": {"name": "sub"}, "inputs": {"x": large}}
    status = await cluster.phase("Waiting")
    name = child["metadata"]["name"]
    assert status["reason"] == "WaitingForExecution"
    assert status["steps"][0]["message"] == f"waits for Execution {name} of workflow sub"
    row = await cluster.register(child["metadata"]["uid"])
    await cluster.succeed(row, "a", large)
    await cluster.phase("Succeeded", name)
    status = await cluster.phase("Succeeded")
    assert status["largeOutputs"]["size"] > 100_000
    assert executions(cluster) == sorted(["run", name])


async def test_one_within_an_execution_that_wants_no_cache_wants_none_either(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster)
    uid = await cluster.submit(inputs={"x": 1}, noCache=True)
    child = await made(cluster, child_of(uid))
    assert child["spec"] == {"workflowRef": {"name": "sub"}, "inputs": {"x": 1}, "noCache": True}
    row = await cluster.register(child["metadata"]["uid"])
    await cluster.succeed(row, "a", 7)
    assert (await cluster.phase("Succeeded"))["outputs"] == {"got": 7}


async def test_a_failure_names_the_execution_and_is_retried_as_another(cluster: Cluster) -> None:
    await cluster.lead()
    retry = {"attempts": 2, "backoff": {"initial": "10ms"}}
    await define(cluster, {**CALL, "workflow": {"name": "missing"}, "retry": retry})
    uid = await cluster.submit(inputs={"x": 1})
    await made(cluster, child_of(uid))
    cluster.ahead = 20.0
    second = child_of(uid, attempt=2)
    await time_passes(cluster, lambda: path_of("executions", second) in cluster.api.objects)
    status = await cluster.phase("Failed")
    missing = "WorkflowNotFound: Workflow missing does not exist in namespace team"
    assert status["failure"] == {
        "step": "call",
        "attempt": 2,
        "reason": "ChildFailed",
        "message": f"Execution {second} (Workflow missing) failed: {missing}",
    }


async def test_a_controller_that_ends_at_any_moment_makes_nothing_twice(cluster: Cluster) -> None:
    first = await cluster.lead()
    await define(cluster)
    cluster.api.faults.append(Fault("POST", 500, after=True))
    uid = await cluster.submit(inputs={"x": 1})
    child = await made(cluster, child_of(uid))
    await first.reconciler.queue.stop(1.0)
    await cluster.lead()
    row = await cluster.register(child["metadata"]["uid"])
    await cluster.succeed(row, "a", 7)
    assert (await cluster.phase("Succeeded"))["outputs"] == {"got": 7}
    assert executions(cluster) == sorted(["run", child["metadata"]["name"]])


async def test_an_end_that_came_while_nobody_led_is_taken(cluster: Cluster) -> None:
    first = await cluster.lead()
    await define(cluster)
    uid = await cluster.submit(inputs={"x": 1})
    child = await made(cluster, child_of(uid))
    row = await cluster.register(child["metadata"]["uid"])
    await cluster.phase("Waiting")
    await first.reconciler.queue.stop(1.0)
    await cluster.succeed(row, "a", 7)
    await cluster.lead()
    assert (await cluster.phase("Succeeded"))["outputs"] == {"got": 7}


async def test_one_that_somebody_deletes_fails_its_step(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster)
    uid = await cluster.submit(inputs={"x": 1})
    name = child_of(uid)
    await cluster.sandbox((await made(cluster, name))["metadata"]["uid"])
    await cluster.remove("executions", name)
    status = await cluster.phase("Failed")
    assert status["failure"]["message"] == f"Execution {name} (Workflow sub) was deleted"
    assert executions(cluster) == ["run"]


async def test_cancel_is_passed_down_and_the_end_waited_for(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster)
    uid = await cluster.submit(inputs={"x": 1})
    child = await made(cluster, child_of(uid))
    await cluster.register(child["metadata"]["uid"])
    await change(cluster, "run", stop="Cancel")
    name = child["metadata"]["name"]
    await cluster.until(lambda: cluster.api.objects[path_of("executions", name)]["spec"].get("stop"))
    assert cluster.api.objects[path_of("executions", name)]["spec"]["stop"] == "Cancel"
    await cluster.state(child["metadata"]["uid"], lambda state: state.stop)
    await cluster.succeed(await cluster.sandbox(child["metadata"]["uid"]), "a")
    await cluster.phase("Cancelled", name)
    await cluster.phase("Cancelled", seconds=5)  # it would wait for 30 s if it was told nothing


async def test_what_waits_no_longer_cancels_and_what_is_terminated_terminates(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster, {**CALL, "timeout": "1s"})
    uid = await cluster.submit(inputs={"x": 1})
    await cluster.register((await made(cluster, child_of(uid)))["metadata"]["uid"])
    await time_passes(cluster, lambda: cluster.status().get("phase") == "Failed")
    status = cluster.status()
    assert status["failure"]["message"] == "workflow sub has not finished within 1s"
    path = path_of("executions", child_of(uid))
    await cluster.until(lambda: cluster.api.objects[path]["spec"].get("stop") == "Cancel")
    await change(cluster, child_of(uid), stop="Terminate")

    await define(cluster)
    other = await cluster.submit("other", inputs={"x": 1})
    name = child_name("other", other, "call", 1)
    await made(cluster, name)
    await change(cluster, "other", stop="Terminate")
    await cluster.phase("Cancelled", name)
    assert cluster.api.objects[path_of("executions", name)]["spec"]["stop"] == "Terminate"


async def test_suspend_is_passed_down_but_not_what_somebody_suspended_beside_it(cluster: Cluster) -> None:
    await cluster.lead()
    loop = {**CALL, "forEach": {"items": [1, 2]}, "with": {"x": "${item}"}}
    await define(cluster, loop, outputs={})
    uid = await cluster.submit(inputs={"x": 1})
    first, second = (child_of(uid, f"call[{number}]") for number in (0, 1))
    for name in (first, second):
        await cluster.sandbox((await made(cluster, name))["metadata"]["uid"])
    await change(cluster, second, suspend=True)
    await change(cluster, "run", suspend=True)

    def suspended(name: str) -> bool:
        return cluster.api.objects[path_of("executions", name)]["spec"].get("suspend", False)

    await cluster.until(lambda: suspended(first))
    await change(cluster, "run", suspend=False)
    await cluster.until(lambda: not suspended(first))
    assert suspended(second)


async def test_one_that_somebody_else_has_made_is_not_believed(cluster: Cluster) -> None:
    await cluster.lead()
    await define(cluster, {**CALL, "needs": []})
    uid = await cluster.submit(suspend=True, inputs={"x": 1})
    await cluster.state(uid, lambda state: state.suspended)
    name = child_of(uid)
    labels = {
        "labels": {"citadel.dev/parent": uid},
        "annotations": {"citadel.dev/parent-step": "call", "citadel.dev/parent-attempt": "1"},
    }
    forged = {"workflowRef": {"name": "sub"}, "inputs": {"x": 666}, "stop": "Cancel"}
    await cluster.apply("executions", name, forged, metadata=labels)
    await change(cluster, "run", suspend=False)
    status = await cluster.phase("Failed")
    message = f"Execution {name} (Workflow sub) is not the one that the step asked for"
    assert status["failure"]["message"] == message


async def test_its_object_says_that_it_ended_when_the_step_has_its_output_and_not_before(
    cluster: Cluster,
) -> None:
    await cluster.lead()
    await define(cluster)
    uid = await cluster.submit(inputs={"x": 1})
    child = await made(cluster, child_of(uid))
    await cluster.succeed(await cluster.register(child["metadata"]["uid"]), "a", 7)
    await cluster.phase("Succeeded", child["metadata"]["name"])
    assert (await cluster.database.journal.read(uid)).steps["call"].status == "Succeeded"


async def test_executions_within_each_other_are_bounded(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define({"name": "again", "workflow": {"name": "flow"}})
    await cluster.submit()
    status = await cluster.phase("Failed", seconds=20)
    assert len(executions(cluster)) == MAX_DEPTH
    chain = " > ".join(["flow"] * (MAX_DEPTH + 1))
    deepest = max(executions(cluster), key=len)
    assert cluster.status(deepest)["message"] == (
        f"step again: found 9 executions within each other, expected at most 8: {chain}"
    )
    assert status["failure"]["reason"] == "ChildFailed"
