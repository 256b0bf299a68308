"""Steps with agents, on a cluster: several that work together, and one whose model and tools answer at once.

`python tests/bench/multiagent.py`.
"""

import asyncio
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agentflows import EXAMPLES
from bench.machine import ALONE, Host, at_rest, observed
from bench.pools import Figures, ready
from citadel.kube.client import KubeClient
from citadel.kube.config import from_kubeconfig
from citadel.kube.resources import NAMESPACES, RUNTIMES
from internet import pod, python_image, service
from internet import ready as pod_ready
from live import SYSTEM, Cluster, kubeconfig, kubectl, policy, sql

TOGETHER, WARM = 5, 20
PORT = 8080
MODEL_TAKES = "300ms"
SERVE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""


def applied(cluster: Cluster, *objects: dict[str, Any]) -> None:
    kubectl("apply", "-n", cluster.namespace, "-f", "-", stdin=yaml.safe_dump_all(objects))


def an(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "citadel.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


async def together(cluster: Cluster) -> list[Figures]:
    """The example of an agent that leads others, from create to end."""
    objects = list(yaml.safe_load_all((EXAMPLES / "supervisor" / "workflow.yaml").read_text()))
    for found in objects:
        if found["kind"] == "Model":
            for answer in found["spec"]["script"]:
                answer["delay"] = MODEL_TAKES
    applied(cluster, *objects)
    what = f"three agents, a model that takes {MODEL_TAKES}"
    cold = await timed(cluster, 0)
    for name, least in (("agent", 3), ("python", 1)):
        await pooled(cluster, name, name, min=least, max=least + 1)
    pooled_times = await timed(cluster, 4)
    kubectl("delete", "-n", cluster.namespace, "runtime", "agent", "python")
    return [
        Figures(f"{what}, sandboxes that start when they are wanted", cold, "at most 10000"),
        Figures(f"{what}, sandboxes from warm pools", pooled_times, "at most 10000"),
    ]


async def timed(cluster: Cluster, members: int) -> list[float]:
    """Milliseconds of the example, each begun with so many members of pools; the first is left out."""
    times = []
    for _ in range(TOGETHER + 1):
        await ready(cluster, members)
        await at_rest()
        began = time.monotonic()
        status = await cluster.run("supervisor", 120)
        assert status["phase"] == "Succeeded", status
        times.append((time.monotonic() - began) * 1000)
    return times[1:]


async def pooled(cluster: Cluster, name: str, like: str, **pool: int) -> None:
    """A Runtime of the namespace as the installation has one, with a pool."""
    shared = (await cluster.kube.get(RUNTIMES, like, SYSTEM))["spec"]
    kept = {field: shared[field] for field in ("language", "image", "resources") if field in shared}
    runtime = an("Runtime", name, **kept, pool={**pool, "idleTTL": "1s"})
    if like == "agent":
        runtime["metadata"]["annotations"] = {
            "citadel.dev/agents": "true"
        }  # its pool is of sandboxes for agents
    applied(cluster, runtime)


async def warm(cluster: Cluster) -> list[Figures]:
    """An agent step with two calls of a tool, from the claim of a warm sandbox to its end.

    Every other one comes right after the pool was refilled: what else a pod's start does goes on beside it.
    """
    await pod(cluster, "instant", await python_image(cluster), ["python3", "-c", SERVE], PORT)
    address = await service(cluster, "instant", PORT)
    await pod_ready(cluster, "instant")
    host = f"instant.{cluster.namespace}.svc.cluster.local:{PORT}"
    await pooled(cluster, "agent-warm", "agent", min=2, max=4)
    call = {"toolCalls": [{"name": "look", "arguments": {}}]}
    script = [{"turn": 0, **call}, {"turn": 1, **call}, {"text": "done"}]
    look = {"method": "GET", "url": f"http://{host}/"}
    nothing = {"type": "object", "additionalProperties": False}
    tools = [{"name": "look", "tool": "look"}]
    applied(
        cluster,
        an("Model", "instant", provider="scripted", script=script),
        an("Tool", "look", description="Looks.", parameters=nothing, http=look),
        an("Agent", "instant", model="instant", runtime="agent-warm", tools=tools),
    )
    await cluster.workflow("instant", [{"name": "a", "agent": {"name": "instant", "prompt": "Look twice."}}])
    async with policy(cluster, egress={"allow": [host]}, privateDestinations=[f"{address}/32:{PORT}"]):
        machine, taken = Host(), []
        for number in range(2 * WARM):
            await ready(cluster, 2)
            if number % 2:
                await at_rest()
            machine.took()
            status = await cluster.run("instant", 60)
            taken.append(machine.took())
            assert status["phase"] == "Succeeded", status
    query = (
        "SELECT b.claimed_at IS NULL, (s.finished_at - b.claimed_at) * 1000 FROM sandboxes b"
        " JOIN executions e ON e.uid = b.uid JOIN steps s ON s.uid = e.uid AND s.name = 'a'"
        f" WHERE e.namespace = '{cluster.namespace}' AND e.workflow = 'instant' ORDER BY e.created_at"
    )
    times = [row.partition("|")[2] for row in await asyncio.to_thread(sql, query)]
    print(f"  of {len(times)} agent steps {times.count('')} found no member")
    name = "an agent step with two calls of a tool, from a warm pool"
    refilled, resting = ([float(one) for one in found if one] for found in (times[::2], times[1::2]))
    alone = [float(one) for one, part in zip(times[1::2], taken[1::2], strict=True) if one and part <= ALONE]
    quiet = [Figures(f"  {len(alone)} of these the host left alone", alone, "the same")] if alone else []
    return [
        Figures(f"{name} at rest", resting, "median ≤ 150"),
        *quiet,
        Figures(f"{name} that was refilled just now", refilled, "no goal"),
    ]


async def main() -> None:
    """Both, in a namespace of their own."""
    async with KubeClient(from_kubeconfig([kubeconfig()])) as kube:
        namespace = f"bench-{uuid.uuid4().hex[:6]}"
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
        await kube.create(NAMESPACES, body)
        try:
            for measure in (together, warm):
                for figures in await measure(Cluster(kube, namespace)):
                    print(figures)
        finally:
            await kube.delete(NAMESPACES, namespace)


if __name__ == "__main__":
    with observed():
        asyncio.run(main())
