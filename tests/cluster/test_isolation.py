"""Nothing forbidden answers user code in the first moment of a sandbox: no window is open while a pod starts.

Many small executions, since a sandbox has one first moment alone.
"""

import asyncio
import uuid
from typing import Any

import pytest

import proofs
from citadel.kube.resources import PODS, SERVICES
from live import SYSTEM, Cluster, python

STARTS = proofs.of(40, 200)
#: Executions under way at a time: their pods are what takes long, and the node is small.
AT_ONCE = 12
#: Each target is tried from the first instruction on, for as long as a pod's policy might be late.
FIRST = """
import select, socket, time
def main(targets):
    began, open_sockets, reached = time.monotonic(), {}, []
    for host, port in targets:
        trying = socket.socket()
        trying.setblocking(False)
        error = trying.connect_ex((host, port))
        if error in (0, 104, 111):
            reached.append([host, port, error])
        elif error == 115:
            open_sockets[trying] = [host, port]
    poller = select.poll()
    for trying in open_sockets:
        poller.register(trying, select.POLLOUT)
    by_number = {trying.fileno(): trying for trying in open_sockets}
    while (left := began + 0.25 - time.monotonic()) > 0:
        for number, _ in poller.poll(left * 1000):
            trying = by_number[number]
            error = trying.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error in (0, 104, 111):
                reached.append([*open_sockets[trying], error])
            poller.unregister(number)
    return reached
"""


async def forbidden(cluster: Cluster) -> list[list[Any]]:
    """Where a sandbox must not get to: control plane, node, neighbours, metadata."""
    system = (await cluster.kube.list(PODS, SYSTEM)).items
    gateway = next(p for p in system if p["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway")
    api = next(p for p in system if p["metadata"]["labels"]["app.kubernetes.io/component"] == "api")
    kubernetes = (await cluster.kube.get(SERVICES, "kubernetes", "default"))["spec"]["clusterIP"]
    postgres = (await cluster.kube.get(SERVICES, "citadel-postgres", SYSTEM))["spec"]["clusterIP"]
    return [
        [kubernetes, 443],
        [gateway["status"]["hostIP"], 6443],
        [gateway["status"]["hostIP"], 10250],
        [gateway["status"]["podIP"], 8444],
        [gateway["status"]["podIP"], 8080],
        [api["status"]["podIP"], 8443],
        [postgres, 5432],
        ["169.254.169.254", 80],
    ]


@pytest.mark.timeout(600)
async def test_no_sandbox_of_many_reaches_anything_forbidden_with_its_first_instruction(
    cluster: Cluster,
) -> None:
    targets = await forbidden(cluster)
    await cluster.workflow(
        "first",
        # Resources of its own: no pool has such a sandbox, each is a new one.
        [
            python(
                "first", FIRST, args={"targets": targets}, run={"resources": {"limits": {"memory": "200Mi"}}}
            )
        ],
        outputs={"reached": "${steps.first.output}"},
    )
    turns = asyncio.Semaphore(AT_ONCE)

    async def start() -> dict[str, Any]:
        async with turns:
            name = await cluster.execute("first", f"first-{uuid.uuid4().hex[:8]}")
            status: dict[str, Any] = (await cluster.finished(name, 120))["status"]
            return status

    ended = await asyncio.gather(*(start() for _ in range(STARTS)))
    assert [status["phase"] for status in ended] == ["Succeeded"] * STARTS
    assert [status["outputs"]["reached"] for status in ended if status["outputs"]["reached"]] == []
    isolated = [
        item["status"]
        for status in ended
        for item in status["conditions"]
        if item["type"] == "NetworkIsolated"
    ]
    # And they prove it themselves, nearly all before their execution ends even on a node that is full.
    assert "False" not in isolated
    assert isolated.count("True") > STARTS * 0.9
    # The control: the same code finds what may be reached.
    (gateway,) = [[(await cluster.kube.get(SERVICES, "citadel-gateway", SYSTEM))["spec"]["clusterIP"], 443]]
    await cluster.workflow(
        "control",
        [python("first", FIRST, args={"targets": [gateway]})],
        outputs={"reached": "${steps.first.output}"},
    )
    assert (await cluster.run("control"))["outputs"]["reached"] == [[*gateway, 0]]
