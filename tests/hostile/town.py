"""What stands around a sandbox: a neighbour, something that answers as the metadata service, as the internet.

All of it is made by the tests: two pods in a namespace of their own. One is in the node's network, where it
adds the addresses that nobody has; where a cloud answers as the metadata service, that is left alone.
"""

import asyncio
import json
from typing import Any

from citadel.kube.resources import PODS, RUNTIMES, SERVICES, Object, Resource
from live import SANDBOXES, SYSTEM, Cluster, environment, foreign_image

ENDPOINTS = Resource("", "v1", "endpoints")
#: Of the range that documentation may use: nobody has it.
INTERNET = "203.0.113.9"
METADATA = "169.254.169.254"
SERVER = """
import fcntl, signal, socket, struct, sys, threading

def add(name, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        for request, value in ((0x8916, address), (0x891C, "255.255.255.255")):
            body = struct.pack("16sHH4s8x", name.encode(), socket.AF_INET, 0, socket.inet_aton(value))
            fcntl.ioctl(one, request, body)

def remove(name):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        fcntl.ioctl(one, 0x8914, struct.pack("16sH14x", name.encode(), 0))

def tcp(address, port):
    one = socket.create_server((address, port), backlog=64)
    while True:
        connection, _ = one.accept()
        try:
            connection.settimeout(2)
            connection.recv(512)
            connection.sendall(b"here I am")
        except OSError:
            pass
        connection.close()

def udp(address, port):
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind((address, port))
    while True:
        _, peer = one.recvfrom(512)
        one.sendto(b"here I am", peer)

def stop(*_):
    for name in added:
        remove(name)
    sys.exit(0)

added = []
for name, address in {addresses}:
    try:
        socket.create_connection((address, 80), timeout=1).close()
    except OSError:
        add(name, address)
        added.append(name)
signal.signal(signal.SIGTERM, stop)
for address, port in {ports}:
    for serve in (tcp, udp):
        threading.Thread(target=serve, args=(address, port), daemon=True).start()
print("ready", flush=True)
signal.pause()
"""


def server(addresses: list[tuple[str, str]], ports: list[tuple[str, int]]) -> list[str]:
    """The command of a server at these ports, which adds the addresses first."""
    return ["python3", "-c", SERVER.replace("{addresses}", repr(addresses)).replace("{ports}", repr(ports))]


async def image_of(cluster: Cluster, language: str) -> str:
    """The image of the shared Runtime of a language, or one that knows nothing of Citadel."""
    if language == "container":
        return foreign_image()
    return str((await cluster.kube.get(RUNTIMES, language, SYSTEM))["spec"]["image"])


def pod(name: str, namespace: str, container: dict[str, Any], **spec: Any) -> Object:
    """A pod of one container called main, that ends at once when it is told to."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": False,
            "containers": [{"name": "main", "imagePullPolicy": "IfNotPresent", **container}],
            **spec,
        },
    }


async def build(cluster: Cluster) -> dict[str, Any]:
    """Builds the town in the test's namespace; returns the facts that attacks are given."""
    image = await image_of(cluster, "python")
    neighbour = pod(
        "neighbour", cluster.namespace, {"image": image, "command": server([], [("0.0.0.0", 8080)])}
    )
    far = {
        "image": image,
        "command": server(
            [("lo:metadata", METADATA), ("lo:internet", INTERNET)],
            [(METADATA, 80), (INTERNET, 80), (INTERNET, 5353)],
        ),
        "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN", "NET_BIND_SERVICE"]}},
    }
    for made in (neighbour, pod("far", cluster.namespace, far, hostNetwork=True)):
        await cluster.kube.create(PODS, made)
    address = await pod_address(cluster, "neighbour")
    node = await pod_address(cluster, "far")
    kubernetes = (await cluster.kube.get(ENDPOINTS, "kubernetes", "default"))["subsets"][0]
    gateways = (
        await cluster.kube.list(PODS, SYSTEM, label_selector="app.kubernetes.io/component=gateway")
    ).items
    return {
        "neighbour": address,
        "node": node,
        "internet": INTERNET,
        "api": await service(cluster, "kubernetes", "default"),
        "api_node": kubernetes["addresses"][0]["ip"],
        "api_port": kubernetes["ports"][0]["port"],
        "dns": await service(cluster, "kube-dns", "kube-system"),
        "gateway_pod": gateways[0]["status"]["podIP"],
        "citadel_api": await service(cluster, "citadel-api", SYSTEM),
    }


async def service(cluster: Cluster, name: str, namespace: str) -> str:
    """The address of a Service."""
    return str((await cluster.kube.get(SERVICES, name, namespace))["spec"]["clusterIP"])


async def pod_address(cluster: Cluster, name: str, seconds: float = 60) -> str:
    """The address of a pod once it runs; fails with its status otherwise."""
    found: Object = {}
    try:
        async with asyncio.timeout(seconds):
            while found.get("status", {}).get("phase") != "Running":
                found = await cluster.kube.get(PODS, name, cluster.namespace)
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"pod {name}: {json.dumps(found.get('status'))}") from None
    return str(found["status"]["podIP"])


class Knocker:
    """Tries to reach every sandbox and every twin from the neighbour's pod, again and again."""

    PROGRAM = """
import socket, sys, threading, time
addresses = set()
threading.Thread(target=lambda: [addresses.add(line.strip()) for line in sys.stdin], daemon=True).start()
while True:
    for address in list(addresses):
        try:
            socket.create_connection((address, 9009), timeout=0.1).close()
        except OSError:
            pass
    time.sleep(0.2)
"""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def __aenter__(self) -> None:
        program = ["python3", "-u", "-c", self.PROGRAM]
        self._process = await asyncio.create_subprocess_exec(
            *("kubectl", "exec", "-i", "-n", self._cluster.namespace, "neighbour", "--", *program),
            stdin=asyncio.subprocess.PIPE,
            env=environment(),
        )
        self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        assert self._process.stdin is not None
        while True:
            for where in (SANDBOXES, self._cluster.namespace):
                for found in (await self._cluster.kube.list(PODS, where)).items:
                    address = found.get("status", {}).get("podIP")
                    if address:
                        self._process.stdin.write(f"{address}\n".encode())
            await asyncio.sleep(0.5)

    async def __aexit__(self, *_: object) -> None:
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)
        self._process.kill()
        await self._process.wait()
