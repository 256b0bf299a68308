"""ExecutionPolicies on a real cluster: who may write them, what they stop, and that they heal."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from citadel.kube.errors import NotFound
from citadel.kube.resources import NODES, POLICIES, RUNTIMES, WORKFLOWS, Object, Resource
from live import Cluster, python

GVISOR = "gvisor"


@contextlib.asynccontextmanager
async def policy(cluster: Cluster, **spec: Any) -> AsyncIterator[str]:
    """An ExecutionPolicy for the test's namespace alone, understood by the controller."""
    name = f"only-{cluster.namespace}"
    selector = {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}}
    body = {"apiVersion": POLICIES.api_version, "kind": "ExecutionPolicy", "metadata": {"name": name}}
    await cluster.kube.create(POLICIES, {**body, "spec": {"namespaceSelector": selector, **spec}})
    try:
        await condition(cluster, POLICIES, name, None, lambda ready: ready["status"] == "True")
        yield name
    finally:
        with contextlib.suppress(NotFound):
            await cluster.kube.delete(POLICIES, name)


async def condition(
    cluster: Cluster, resource: Resource, name: str, namespace: str | None, holds: Any
) -> Object:
    """The condition Ready of an object, once it is as wanted."""
    async for event in cluster.kube.watch(
        resource, namespace, field_selector=f"metadata.name={name}", timeout=20
    ):
        for item in event.object.get("status", {}).get("conditions") or ():
            if item["type"] == "Ready" and holds(item):
                found: Object = item
                return found
    raise AssertionError(f"{resource.plural}/{name}: {await cluster.kube.get(resource, name, namespace)}")


async def test_what_a_policy_refuses_is_said_by_the_workflow_and_by_the_execution(cluster: Cluster) -> None:
    await cluster.workflow("flow", [python("a", "def main(): return 1")])
    async with policy(cluster, limits={"memory": "64Mi"}) as name:
        ready = await condition(
            cluster, WORKFLOWS, "flow", cluster.namespace, lambda item: item["status"] == "False"
        )
        says = f"found 256Mi, expected at most 64Mi (ExecutionPolicy {name}, spec.limits.memory)"
        assert ready["reason"] == "PolicyDenied"
        assert says in ready["message"]
        status = await cluster.run("flow")
        assert (status["phase"], status["reason"]) == ("Failed", "PolicyDenied")
        assert says in status["message"]
    await condition(cluster, WORKFLOWS, "flow", cluster.namespace, lambda item: item["status"] == "True")
    assert (await cluster.run("flow"))["phase"] == "Succeeded"


async def test_an_image_that_is_not_allowed_is_never_pulled(cluster: Cluster, container_image: str) -> None:
    step = {"name": "a", "container": {"image": container_image, "command": ["true"]}}
    await cluster.workflow("flow", [step])
    own = {
        "apiVersion": RUNTIMES.api_version,
        "kind": "Runtime",
        "metadata": {"name": "own", "namespace": cluster.namespace},
        "spec": {"image": container_image},
    }
    await cluster.kube.create(RUNTIMES, own)
    async with policy(cluster, images={"allow": ["registry.example/"]}):
        status = await cluster.run("flow")
        assert (status["phase"], status["reason"]) == ("Failed", "PolicyDenied")
        ready = await condition(
            cluster, RUNTIMES, "own", cluster.namespace, lambda item: item["status"] == "False"
        )
        assert "spec.images.allow" in ready["message"]


async def test_a_policy_puts_every_sandbox_under_gvisor(cluster: Cluster, container_image: str) -> None:
    release = "uname -r | jq -R . > $CITADEL_OUTPUT"
    steps = [
        python("code", "import os\ndef main(): return os.uname().release"),
        {"name": "foreign", "container": {"image": container_image, "command": ["sh", "-c", release]}},
    ]
    outputs = {"code": "${steps.code.output}", "foreign": "${steps.foreign.output}"}
    await cluster.workflow("flow", steps, outputs=outputs)
    (node, *_) = (await cluster.kube.list(NODES)).items
    kernel = node["status"]["nodeInfo"]["kernelVersion"]
    async with policy(cluster, runtimeClass={"name": GVISOR}):
        status = await cluster.run("flow")
        assert status["phase"] == "Succeeded", status
        assert kernel not in status["outputs"].values()
    assert (await cluster.run("flow"))["outputs"] == {"code": kernel, "foreign": kernel}
