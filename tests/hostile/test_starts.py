"""From its first instruction on a sandbox reaches nothing: also while its network is still being set up."""

import asyncio
import json
from typing import Any

import pytest

from citadel.kube.resources import NAMESPACES, NETWORKPOLICIES, PODS
from hostile.conftest import namespace
from hostile.town import build, image_of, pod
from hostile.twins import CONFINED, HARDENED
from live import SANDBOXES, Cluster

STARTS, AT_A_TIME = 200, 8
#: Everything at once, as nobody knows when the policy comes; the last one is permitted.
PROBE = """
import json, select, socket, sys, time
targets = json.loads(sys.argv[1])
reached, waiting = [], {}
for name, address in targets.items():
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(tuple(address))
    waiting[one.fileno()] = name, one
end = time.monotonic() + 1
while waiting and (left := end - time.monotonic()) > 0:
    for number in select.select([], list(waiting), [], left)[1]:
        name, one = waiting.pop(number)
        if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
            reached.append(name)
with open("/dev/termination-log", "w") as file:
    json.dump(sorted(reached), file)
"""


async def start(cluster: Cluster, where: str, name: str, image: str, targets: dict[str, Any]) -> list[str]:
    """What a new pod, hardened as a sandbox, reached in its first second."""
    main = {
        "image": image,
        "command": ["python3", "-I", "-S", "-c", PROBE, json.dumps(targets)],
        "securityContext": HARDENED,
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
    }
    made = pod(name, where, main, securityContext=CONFINED)
    # One set of labels, as all sandboxes have: each further one is an identity, which every pod on the node
    # must learn of before it may go on.
    made["metadata"]["labels"] = {"app": "start"}
    await cluster.kube.create(PODS, made)
    try:
        async with asyncio.timeout(90):
            while True:
                found = await cluster.kube.get(PODS, name, where)
                for status in found.get("status", {}).get("containerStatuses", ()):
                    if ended := status.get("state", {}).get("terminated"):
                        return list(json.loads(ended["message"]))
                await asyncio.sleep(0.3)
    finally:
        await cluster.kube.delete(PODS, name, where)


async def policy_of_sandboxes(cluster: Cluster, where: str) -> None:
    """The chart's NetworkPolicy in another namespace, with the neighbour in the gateway's place."""
    (found,) = (await cluster.kube.list(NETWORKPOLICIES, SANDBOXES)).items
    assert found["spec"]["podSelector"] == {}
    assert not found["spec"].get("ingress")
    assert found["spec"]["egress"], "the sandboxes' policy permits the gateway"
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": cluster.namespace}},
        "podSelector": {"matchLabels": {"app": "neighbour"}},
    }
    spec = {**found["spec"], "egress": [{"to": [peer], "ports": [{"protocol": "TCP", "port": 8080}]}]}
    policy = {"apiVersion": NETWORKPOLICIES.api_version, "kind": "NetworkPolicy", "metadata": {"name": "p"}}
    policy["metadata"]["namespace"] = where
    await cluster.kube.create(NETWORKPOLICIES, {**policy, "spec": spec})


@pytest.mark.timeout(600)
async def test_of_200_new_sandboxes_none_reaches_anything_but_what_it_may() -> None:
    async with namespace() as cluster:
        facts, image = await build(cluster), await image_of(cluster, "python")
        targets = {
            "kubelet": [facts["node"], 10250],
            "api server": [facts["api"], 443],
            "api server on its node": [facts["api_node"], facts["api_port"]],
            "dns": [facts["dns"], 53],
            "metadata": ["169.254.169.254", 80],
            "internet": [facts["internet"], 80],
            "api of citadel": [facts["citadel_api"], 443],
            "permitted": [facts["neighbour"], 8080],
        }
        open_to_all = [await start(cluster, cluster.namespace, f"open-{n}", image, targets) for n in range(3)]
        assert open_to_all == [sorted(targets)] * 3, "without a policy everything is reached"
        where = f"{cluster.namespace}-closed"
        metadata = {"name": where, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
        await cluster.kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
        try:
            await policy_of_sandboxes(cluster, where)
            few = asyncio.Semaphore(AT_A_TIME)

            async def bounded(number: int) -> list[str]:
                async with few:
                    return await start(cluster, where, f"closed-{number}", image, targets)

            reached = await asyncio.gather(*map(bounded, range(STARTS)))
        finally:
            await cluster.kube.delete(NAMESPACES, where)
    assert {name for names in reached for name in names} <= {"permitted"}
    assert sum(names == ["permitted"] for names in reached) == STARTS
