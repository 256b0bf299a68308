"""What the egress proxy adds to a connection: the same server by name, from a step and from an ordinary pod.

A connection is counted from the look-up of the name to the first byte of the server. The pod has no proxy and
no policy; both ask the cluster's DNS for every connection, the step by way of the proxy.
"""

import asyncio
import json
import time

from internet import GREETER, pod, python_image, start_internet
from live import Cluster, kubectl, policy

CONNECTIONS = 300
MEASURE = """
import json, socket, time
def main(host, port, count):
    times = []
    for number in range(count + 20):
        began = time.perf_counter()
        with socket.create_connection((host, port), 10) as connection:
            connection.recv(1)
        times.append(round(time.perf_counter() - began, 6))
        time.sleep(0.005)
    return times[20:]
"""


async def added_by_proxy(cluster: Cluster) -> tuple[list[float], list[float]]:
    """Seconds of each connection: from a step, and from an ordinary pod beside it."""
    internet = await start_internet(cluster)
    egress = {"allow": [internet.at(GREETER)]}
    async with policy(cluster, egress=egress, privateDestinations=internet.private):
        direct = await _from_a_pod(cluster, internet.host)
        step = {
            "name": "measure",
            "run": {"runtime": "python", "code": MEASURE},
            "with": {"host": internet.host, "port": GREETER, "count": CONNECTIONS},
            "network": {"egress": [internet.at(GREETER)]},
        }
        await cluster.workflow("egress", [step], outputs={"times": "${steps.measure.output}"})
        status = await cluster.run("egress", 120)
        assert "outputs" in status, status
        return status["outputs"]["times"], direct


async def _from_a_pod(cluster: Cluster, host: str) -> list[float]:
    # With the dot at its end the name is asked for once, not once for each search domain.
    call = f"print(json.dumps(main({host + '.'!r}, {GREETER}, {CONNECTIONS})))"
    await pod(
        cluster,
        "direct",
        await python_image(cluster),
        ["python3", "-c", f"{MEASURE}\n{call}\ntime.sleep(600)"],
    )
    return await asyncio.to_thread(_logged, cluster.namespace)


def _logged(namespace: str) -> list[float]:
    """What the pod has measured, once it says so."""
    until = time.monotonic() + 60
    while not (told := kubectl("logs", "direct", "-n", namespace, check=False)).startswith("["):
        assert time.monotonic() < until, f"the pod has measured nothing within 60 s: {told}"
        time.sleep(0.5)
    times: list[float] = json.loads(told)
    return times
