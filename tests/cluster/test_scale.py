"""Two thousand Executions at once: all end, and live sandboxes stay bounded."""

import asyncio
import time
from contextlib import suppress

from citadel.kube.client import KubeClient
from citadel.kube.resources import EXECUTIONS, PODS, Object
from live import SANDBOXES, SYSTEM, Cluster, kubectl, python

LIGHT, REAL = 1900, 100
SKIPPED = [python("never", "def main(): return 1", when="inputs.n < 0")]
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def limit() -> int:
    """How many sandboxes this installation allows."""
    path = "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='CITADEL_MAX_SANDBOXES')].value}"
    return int(kubectl("-n", SYSTEM, "get", "deployment", "citadel-controller", "-o", path))


async def test_two_thousand_executions_at_once_all_end_and_pods_stay_bounded(cluster: Cluster) -> None:
    await cluster.workflow("light", SKIPPED, inputs=SCHEMA)
    await cluster.workflow("real", [python("one", "def main(): return 1")])
    most = limit()
    peak = [0]
    watching = asyncio.create_task(keep_peak(cluster.kube, peak))
    gate = asyncio.Semaphore(16)

    async def create(workflow: str, number: int) -> None:
        async with gate:
            inputs = {"inputs": {"n": number}} if workflow == "light" else {}
            await cluster.execute(workflow, f"{workflow}-{number}", **inputs)

    wanted = [("real", n) for n in range(REAL)] + [("light", n) for n in range(LIGHT)]
    await asyncio.gather(*(create(*item) for item in wanted))
    phases = await all_finished(cluster, LIGHT + REAL, seconds=600)
    watching.cancel()
    assert phases == {"Succeeded": LIGHT + REAL}
    with suppress(asyncio.CancelledError):
        await watching
    assert 0 < peak[0] <= most


def ended(pod: Object) -> bool:
    """Whether a pod takes no room any more, though it may still be there."""
    return pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


async def keep_peak(kube: KubeClient, peak: list[int]) -> None:
    """Watches sandbox pods, and keeps in `peak` the highest number that was live at a time."""
    listed = await kube.list(PODS, SANDBOXES)
    live = {item["metadata"]["name"] for item in listed.items if not ended(item)}
    version = listed.resource_version
    while True:
        async for event in kube.watch(PODS, SANDBOXES, resource_version=version, timeout=60):
            version = event.resource_version
            if event.type == "BOOKMARK":
                continue
            name = event.object["metadata"]["name"]
            if event.type == "DELETED" or ended(event.object):
                live.discard(name)
            else:
                live.add(name)
            peak[0] = max(peak[0], len(live))


async def all_finished(cluster: Cluster, number: int, seconds: float) -> dict[str, int]:
    """How many executions of the namespace ended in which phase, once `number` have."""
    deadline = time.monotonic() + seconds
    while True:
        items = (await cluster.kube.list(EXECUTIONS, cluster.namespace)).items
        ended = [item["status"]["phase"] for item in items if item.get("status", {}).get("finishedAt")]
        if len(ended) >= number or time.monotonic() > deadline:
            return {phase: ended.count(phase) for phase in sorted(set(ended))}
        await asyncio.sleep(2)
