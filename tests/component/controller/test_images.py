"""One execution runs one image under a reference, whoever moves the tag meanwhile, and whoever leads."""

from typing import Any

from citadel.store.sandboxes import SandboxRow
from component.controller.cluster import Cluster, Controller
from component.controller.clusterapi import path_of

TAG, DIGEST = "registry.example.com/tool:1", f"sha256:{'a' * 64}"


def command(name: str, **modifiers: Any) -> dict[str, Any]:
    return {"name": name, "container": {"image": TAG, "command": ["true"]}, **modifiers}


def image(cluster: Cluster, row: SandboxRow) -> str:
    main = cluster.api.objects[path_of("pods", row.name)]["spec"]["containers"][1]
    return str(main["image"])


async def ran(cluster: Cluster, row: SandboxRow, digest: str) -> None:
    """The kubelet tells what a sandbox runs."""
    state = {"running": {}}
    statuses = [{"name": "main", "imageID": f"registry.example.com/tool@{digest}", "state": state}]
    await cluster.set_pod(row.name, containerStatuses=statuses)


async def test_later_container_steps_are_given_the_image_that_the_first_ran(cluster: Cluster) -> None:
    async with Controller(cluster).running(cluster):
        await cluster.define(command("a"), command("b", needs=["a"]))
        uid = await cluster.submit()
        first = await cluster.register(uid)
        assert image(cluster, first) == TAG
        await ran(cluster, first, DIGEST)
        await cluster.rows(lambda rows: rows[0].template.get("imageId"))
    # By another controller.
    async with Controller(cluster).running(cluster):
        await cluster.succeed(first, "a")
        rows = await cluster.rows(lambda rows: any(row.pod_uid for row in rows if row.name != first.name))
        (second,) = (row for row in rows if row.name != first.name)
        assert image(cluster, second) == f"{TAG}@{DIGEST}"


async def test_a_sandbox_that_runs_another_one_fails_its_attempt(cluster: Cluster) -> None:
    await cluster.lead()
    await cluster.define(command("a"), command("b", needs=[]))
    uid = await cluster.submit()
    rows = await cluster.rows(lambda rows: len(rows) == 2 and all(row.pod_uid for row in rows))
    await ran(cluster, rows[0], DIGEST)
    await cluster.rows(lambda rows: any("imageId" in row.template for row in rows))
    await ran(cluster, rows[1], f"sha256:{'b' * 64}")
    state = await cluster.state(uid, lambda state: state.failing)
    (failure,) = (step.failure for step in state.steps.values() if step.failure is not None)
    assert failure.reason == "SandboxStartFailed"
    assert f"expected registry.example.com/tool@{DIGEST} as in this execution before" in failure.message
