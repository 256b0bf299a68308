"""ExecutionPolicies at work: told early, enforced at start and for each sandbox, published for gateways."""

import asyncio
from typing import Any

from build import python_step
from citadel.kube.resources import NAMESPACES
from component.controller.cluster import Cluster
from component.controller.clusterapi import path_of

LIMITED = {"limits": {"memory": "128Mi"}}


async def policy(cluster: Cluster, name: str = "strict", **spec: Any) -> None:
    await cluster.api.change(
        "MODIFIED" if path_of("executionpolicies", name) in cluster.api.objects else "ADDED",
        path_of("executionpolicies", name),
        {
            "apiVersion": "citadel.dev/v1alpha1",
            "kind": "ExecutionPolicy",
            "metadata": {"name": name, "generation": 1},
            "spec": spec,
        },
    )
    await cluster.until(lambda: cluster.ready(name, "executionpolicies") is not None)


async def test_a_workflow_says_early_what_a_policy_refuses_and_heals_with_the_policy(
    cluster: Cluster,
) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    await policy(cluster, **LIMITED)
    await cluster.until(lambda: cluster.ready("flow", "workflows") == "False")
    (ready,) = (item for item in cluster.status("flow", "workflows")["conditions"] if item["type"] == "Ready")
    assert ready["reason"] == "PolicyDenied"
    assert ready["message"] == (
        "Workflow flow, step a: resources.limits.memory: found 256Mi, expected at most 128Mi"
        " (ExecutionPolicy strict, spec.limits.memory)"
    )
    await policy(cluster, limits={"memory": "1Gi"})
    await cluster.until(lambda: cluster.ready("flow", "workflows") == "True")


async def test_an_execution_that_a_policy_refuses_fails_at_once(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    await policy(cluster, **LIMITED)
    await cluster.submit()
    status = await cluster.phase("Failed")
    assert status["reason"] == "PolicyDenied"
    assert "ExecutionPolicy strict, spec.limits.memory" in status["message"]
    assert not cluster.pods()


async def test_a_policy_of_today_holds_for_a_revision_of_yesterday(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    await cluster.submit()
    old = (await cluster.phase("Pending"))["definition"]
    await policy(cluster, **LIMITED)
    await cluster.submit("again", workflowRef={"name": "flow", "revision": old})
    assert (await cluster.phase("Failed", "again"))["reason"] == "PolicyDenied"


async def test_a_policy_holds_for_sandboxes_of_executions_that_run_already(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"), python_step("b", isolation="step"))
    uid = await cluster.submit()
    row = await cluster.register(uid)
    await policy(cluster, **LIMITED)
    await cluster.succeed(row, "a")
    status = await cluster.phase("Failed")
    assert (status["failure"]["step"], status["failure"]["reason"]) == ("b", "PolicyDenied")


async def test_a_broken_policy_is_told_and_stops_what_it_selects(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(python_step("a"))
    await policy(cluster, "other", namespaceSelector={"matchLabels": {"team": "b"}}, images={"alow": []})
    assert cluster.ready("other", "executionpolicies") == "False"
    await cluster.submit("first")
    await cluster.until(lambda: cluster.status("first").get("startedAt"))
    await policy(cluster, images={"alow": []})
    await cluster.submit("second")
    status = await cluster.phase("Failed", "second")
    assert "ExecutionPolicy strict" in status["message"]
    assert "found one that cannot be understood: spec.images.alow: unknown field" in status["message"]


async def test_gateways_are_told_of_a_policy_before_anything_starts_by_it_and_of_its_end(
    cluster: Cluster,
) -> None:
    controller = await cluster.lead()
    await cluster.define(python_step("a"))
    await policy(cluster, limits={"memory": "1Gi"})
    await cluster.submit()
    await cluster.until(lambda: cluster.status().get("startedAt"))
    (told,) = await cluster.database.policies.get("team")
    assert (told["metadata"], told["spec"]) == ({"name": "strict"}, {"limits": {"memory": "1Gi"}})
    team = {"metadata": {"name": "team", "resourceVersion": "1"}}
    controller.cache.put(NAMESPACES, team)
    await cluster.remove("executionpolicies", "strict")
    async with asyncio.timeout(8):
        while await cluster.database.policies.all():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
