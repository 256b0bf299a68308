"""Servers on a real cluster that stand for the internet: steps reach them by name, at private addresses."""

import asyncio
from dataclasses import dataclass
from typing import Any

from citadel.kube.resources import PODS, RUNTIMES, SERVICES
from live import SYSTEM, Cluster, built_images

HTTP, POSTGRES, GREETER = 8080, 5432, 7000
#: HTTP at one port; at another whoever connects gets a byte at once.
SERVE = """
import http.server, socketserver, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"hello from the internet"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Greeter(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(b"x")
class Threads(socketserver.ThreadingTCPServer):
    request_queue_size = 128
threading.Thread(target=Threads(("", 7000), Greeter).serve_forever).start()
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
START_POSTGRES = """
data=/tmp/data bin=$(echo /usr/lib/postgresql/*/bin)
$bin/initdb -D $data -U someone -A trust >/dev/null
echo 'host all all all trust' >> $data/pg_hba.conf
exec $bin/postgres -D $data -k /tmp -c listen_addresses='*'
"""


@dataclass(frozen=True)
class Internet:
    """A host that is reached by name, at a private address."""

    host: str
    address: str

    def at(self, port: int) -> str:
        """A destination."""
        return f"{self.host}:{port}"

    @property
    def private(self) -> list[str]:
        """What a policy has to list."""
        return [f"{self.address}/32:{port}" for port in (HTTP, GREETER)]


async def pod(
    cluster: Cluster, name: str, image: str, command: list[str], port: int = 0, user: int = 65532
) -> None:
    """An ordinary pod of the test's namespace; with a server at a port it is ready once that answers."""
    security = {"runAsNonRoot": True, "runAsUser": user, "seccompProfile": {"type": "RuntimeDefault"}}
    container: dict[str, Any] = {
        "name": "server",
        "image": image,
        "command": command,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    if port:
        container["readinessProbe"] = {"tcpSocket": {"port": port}, "periodSeconds": 1}
    spec = {
        "containers": [container],
        "securityContext": security,
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    metadata = {"name": name, "namespace": cluster.namespace, "labels": {"port": str(port)}}
    await cluster.kube.create(
        PODS,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {**spec, "enableServiceLinks": False},
        },
    )


async def service(cluster: Cluster, name: str, *ports: int) -> str:
    listed = [{"name": f"p{port}", "port": port} for port in ports]
    spec = {"selector": {"port": str(ports[0])}, "ports": listed}
    metadata = {"name": name, "namespace": cluster.namespace}
    made = await cluster.kube.create(
        SERVICES, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    )
    address: str = made["spec"]["clusterIP"]
    return address


async def ready(cluster: Cluster, name: str) -> None:
    async with asyncio.timeout(60):
        async for event in cluster.kube.watch(
            PODS, cluster.namespace, field_selector=f"metadata.name={name}"
        ):
            conditions = event.object.get("status", {}).get("conditions") or ()
            if any(item["type"] == "Ready" and item["status"] == "True" for item in conditions):
                return


async def start_internet(cluster: Cluster) -> Internet:
    """An HTTP server and a Postgres, in two pods behind one Service, ready to answer."""
    image = await python_image(cluster)
    database = built_images()["CITADEL_IMAGE_POSTGRES"]
    await pod(cluster, "http", image, ["python3", "-c", SERVE], HTTP)
    await pod(cluster, "postgres", database, ["bash", "-ec", START_POSTGRES], POSTGRES, user=999)
    address = await service(cluster, "internet", HTTP, GREETER)
    await service(cluster, "database", POSTGRES)
    for name in ("http", "postgres"):
        await ready(cluster, name)
    return Internet(f"internet.{cluster.namespace}.svc.cluster.local", address)


async def python_image(cluster: Cluster) -> str:
    """The image of the default Runtime python: it is on every node that has run something."""
    image: str = (await cluster.kube.get(RUNTIMES, "python", SYSTEM))["spec"]["image"]
    return image
