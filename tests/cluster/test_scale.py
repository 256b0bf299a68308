"""Many Executions at once, many items, many steps: all end, and what Kubernetes holds of them stays small.

`make proofs` has two thousand executions, a thousand items and two thousand steps.
"""

import asyncio
import json
import time
from contextlib import suppress
from typing import Any

import pytest

import proofs
from citadel.kube.client import KubeClient
from citadel.kube.resources import EXECUTIONS, PODS, Object
from live import SANDBOXES, SYSTEM, Cluster, citadel, kubectl, python

pytestmark = pytest.mark.alone

LIGHT, REAL = proofs.of((360, 40), (1900, 100))
SKIPPED = [python("never", "def main(): return 1", when="inputs.n < 0")]
#: Bytes of JSON that a status may have at any time.
STATUS_LIMIT = 20_000
ITEMS, CHAIN = proofs.of((500, 500), (1000, 2000))
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}


def limit() -> int:
    """How many sandboxes this installation allows."""
    path = "jsonpath={.spec.template.spec.containers[0].env[?(@.name=='CITADEL_MAX_SANDBOXES')].value}"
    return int(kubectl("-n", SYSTEM, "get", "deployment", "citadel-controller", "-o", path))


async def test_many_executions_at_once_all_end_and_pods_stay_bounded(cluster: Cluster) -> None:
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


async def sizes(cluster: Cluster, name: str) -> tuple[Object, list[int]]:
    """The Execution once it has ended, and how many bytes of JSON each status took that a watch told."""
    found: list[int] = []

    def over(obj: Object) -> bool:
        found.append(len(json.dumps(obj.get("status", {}), separators=(",", ":")).encode()))
        return bool(obj.get("status", {}).get("finishedAt"))

    return await cluster.until(name, over, 240), found


async def rows(cluster: Cluster, name: str) -> dict[str, Any]:
    """All steps of an Execution, by name, as the command line tells them."""
    text = await asyncio.to_thread(citadel, "get", name, "-o", "json", "-n", cluster.namespace)
    return {row["name"]: row for row in json.loads(text)["status"]["steps"]}


def told(what: str, count: int, obj: Object, seen: list[int]) -> None:
    status = obj["status"]
    print(f"{what}: {count} in {status['duration']}, {len(seen)} statuses, at most {max(seen)} bytes")


async def test_many_items_leave_the_status_small(cluster: Cluster) -> None:
    loop = {"items": "${inputs.list}", "parallelism": 10}
    each = python("each", "def main(x): return x * x", args={"x": "${item}"}, forEach=loop)
    total = python("total", "def main(all): return sum(all)", args={"all": "${steps.each.output}"})
    outputs = {"all": "${steps.each.output}", "total": "${steps.total.output}"}
    inputs = {"type": "object", "properties": {"list": {"type": "array"}}}
    await cluster.workflow("flow", [each, total], parallelism=2, outputs=outputs, inputs=inputs)
    found, seen = await sizes(cluster, await cluster.execute("flow", inputs={"list": list(range(ITEMS))}))
    name, squares = found["metadata"]["name"], [n * n for n in range(ITEMS)]
    assert found["status"]["phase"] == "Succeeded", found["status"]
    assert found["status"]["progress"]["text"] == f"{ITEMS + 2}/{ITEMS + 2}"
    assert max(seen) <= STATUS_LIMIT
    given = json.loads(await asyncio.to_thread(citadel, "get", name, "--outputs", "-n", cluster.namespace))
    assert given == {"all": squares, "total": sum(squares)}
    listed = await rows(cluster, name)
    assert listed.keys() == {"each", "total", *(f"each[{n}]" for n in range(ITEMS))}
    assert {row["status"] for row in listed.values()} == {"Succeeded"}
    told("forEach", ITEMS, found, seen)


async def test_a_long_chain_leaves_the_status_small(cluster: Cluster) -> None:
    code = "def main(n): return n + 1"
    steps = [
        python(f"s{n}", code, args={"n": f"${{steps.s{n - 1}.output}}" if n else 0}) for n in range(CHAIN)
    ]
    outputs = {"n": f"${{steps.s{CHAIN - 1}.output}}"}
    await cluster.workflow("flow", steps, parallelism=1, outputs=outputs)
    found, seen = await sizes(cluster, await cluster.execute("flow"))
    assert found["status"]["phase"] == "Succeeded", found["status"]
    assert found["status"]["outputs"] == {"n": CHAIN}
    assert max(seen) <= STATUS_LIMIT
    assert len(await rows(cluster, found["metadata"]["name"])) == CHAIN
    told("chain", CHAIN, found, seen)
