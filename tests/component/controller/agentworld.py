"""Agents, Tools and what they need, as tests of the controller put them into the cluster."""

import asyncio
import base64
from typing import Any

from nacl.public import PrivateKey

from citadel.core.mcp import digest_of
from citadel.kube.resources import Object
from citadel.store.tool_checks import Check
from component.controller.cluster import Cluster

SESAME = "open-sesame-123"
SCRIPTED = {"provider": "scripted", "script": [{"text": "hi"}]}
TEXT = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
CODE = {"runtime": "python", "code": "def main(q): return q"}
TOOL: dict[str, Any] = {"description": "Finds.", "parameters": TEXT, "code": CODE}
HTTP: dict[str, Any] = {
    "description": "Finds.",
    "parameters": TEXT,
    "http": {"method": "GET", "url": "https://api.example.com/v1/find/${args.q}"},
}
MCP: dict[str, Any] = {"mcp": {"url": "https://mcp.example.com/mcp"}}
FUNCTIONS = {
    "search": {"description": "Searches.", "parameters": TEXT},
    "broken": {"description": "", "parameters": {"type": "object", "$ref": "https://x.example/y"}},
}
DIGEST = digest_of(FUNCTIONS)
RUNTIME = {"language": "python", "image": "python:1"}


def encoded(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


async def put(cluster: Cluster, plural: str, name: str, **fields: Any) -> None:
    path = f"/api/v1/namespaces/team/{plural}/{name}"
    await cluster.api.change("ADDED", path, {"metadata": {"name": name, "namespace": "team"}, **fields})


async def secret(cluster: Cluster, namespace: str, name: str, hosts: str | None = None, **data: str) -> None:
    """A Secret, or another state of it; `hosts` are those that it may be sent to."""
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if hosts is not None:
        metadata["annotations"] = {"citadel.dev/hosts": hosts}
    obj = {"metadata": metadata, "data": {key: encoded(value) for key, value in data.items()}}
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    await cluster.api.change("MODIFIED" if path in cluster.api.objects else "ADDED", path, obj)


async def public_key(cluster: Cluster, process: str, key: PrivateKey) -> None:
    """The key that credentials are sealed to for a process."""
    public = encoded(bytes(key.public_key))
    await secret(cluster, "citadel-system", f"citadel-{process}-key", public=public)


async def lead(cluster: Cluster) -> None:
    """A controller that leads, a Model, and the Runtimes that are used."""
    await cluster.database.tool_checks.forget("team", "hub")  # of another test: the database is one
    await cluster.lead()
    for name in ("agent", "python"):
        await cluster.apply("runtimes", name, RUNTIME)
    await cluster.apply("models", "writer", SCRIPTED)
    await cluster.until(lambda: cluster.ready("writer", "models") == "True")


async def allow(cluster: Cluster, *egress: str) -> None:
    path = "/apis/citadel.dev/v1alpha1/executionpolicies/p"
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": "ExecutionPolicy"}
    obj = {**kind, "metadata": {"name": "p", "generation": 1}, "spec": {"egress": {"allow": list(egress)}}}
    await cluster.api.change("ADDED", path, obj)


async def shared(cluster: Cluster, plural: str, name: str, spec: Any, **metadata: Any) -> Object:
    path = f"/apis/citadel.dev/v1alpha1/namespaces/citadel-system/{plural}/{name}"
    kind = {"apiVersion": "citadel.dev/v1alpha1", "kind": plural.removesuffix("s").capitalize()}
    about = {"name": name, "namespace": "citadel-system", "generation": 1, **metadata}
    return await cluster.api.change("ADDED", path, {**kind, "metadata": about, "spec": spec})


def told(cluster: Cluster, name: str, kind: str = "agents") -> str:
    """Why something is not ready; `ready` if it is."""
    conditions = cluster.status(name, kind).get("conditions") or ()
    found = next((item for item in conditions if item["type"] == "Ready"), None)
    if found is None:
        return ""
    return "ready" if found["status"] == "True" else f"{found['reason']}: {found['message']}"


async def says(cluster: Cluster, name: str, text: str, kind: str = "agents") -> str:
    try:
        await cluster.until(lambda: text in told(cluster, name, kind), 5.0)
    except TimeoutError:
        raise AssertionError(f"expected {text!r}, found {told(cluster, name, kind)!r}") from None
    return told(cluster, name, kind)


async def checked(cluster: Cluster, result: Any) -> Check:
    """The check that waits to be made, answered."""
    async with asyncio.timeout(8):
        while True:
            taken = await cluster.database.tool_checks.take("me", {"token": "hash"}, 60)
            if taken:
                break
            await asyncio.sleep(0.01)
    await cluster.database.tool_checks.answer("me", taken[0][0], result)
    return taken[0][0]


# ---- tools
