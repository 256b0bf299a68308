"""The API server's double as the controller needs it: stamped objects, and discovery for kopf."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from citadel.kube.resources import Object
from component.kube.fakeapi import FakeApi

SANDBOXES = "citadel-sandboxes"
CITADEL = "/apis/citadel.dev/v1alpha1"
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


def path_of(kind: str, name: str, namespace: str = "team") -> str:
    """The path of an object: of a pod in the sandbox namespace, else of ours in `namespace`."""
    if kind == "pods":
        return f"/api/v1/namespaces/{SANDBOXES}/pods/{name}"
    if kind == "executionpolicies":
        return f"{CITADEL}/{kind}/{name}"
    return f"{CITADEL}/namespaces/{namespace}/{kind}/{name}"


def since_epoch(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class ClusterApi(FakeApi):
    """The API server's double, which also stamps what it creates, and tells what resources there are."""

    async def change(self, kind: str, path: str, obj: Object) -> Object:
        metadata = {"creationTimestamp": since_epoch(time.time()), **obj["metadata"]}
        return await super().change(kind, path, {**obj, "metadata": metadata})

    async def _route(self, request: web.Request) -> web.StreamResponse:
        if request.path in ("/api", "/apis"):
            return web.json_response({"versions": ["v1"], "groups": _GROUPS})
        found = _DISCOVERY.get(request.path)
        if found is not None:
            resources = [_described(plural, kind) for plural, kind in found.items()]
            return web.json_response({"kind": "APIResourceList", "resources": resources})
        answer = await super()._route(request)
        plural = request.path.rpartition("/")[2]
        if request.method == "GET" and isinstance(answer, web.Response) and answer.text:
            body = json.loads(answer.text)
            if body.get("kind") == "PodList":  # which the double says of every list
                kind = next((group[plural] for group in _DISCOVERY.values() if plural in group), "Pod")
                version = "v1" if request.path.startswith("/api/") else "citadel.dev/v1alpha1"
                return web.json_response({**body, "kind": f"{kind}List", "apiVersion": version})
        return answer

    def writes(self) -> list[tuple[str, str]]:
        """Method and path of every request so far that changes something."""
        return [(method, path) for method, path, _ in self.requests if method in _WRITES]


_VERSION = {"groupVersion": "citadel.dev/v1alpha1", "version": "v1alpha1"}
_EXTENSIONS = {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
_GROUPS = [
    {"name": "citadel.dev", "versions": [_VERSION], "preferredVersion": _VERSION},
    {"name": "apiextensions.k8s.io", "versions": [_EXTENSIONS], "preferredVersion": _EXTENSIONS},
]
_DISCOVERY = {
    "/api/v1": {"pods": "Pod", "namespaces": "Namespace", "events": "Event"},
    CITADEL: {
        "executions": "Execution",
        "approvals": "Approval",
        "workflows": "Workflow",
        "runtimes": "Runtime",
        "triggers": "Trigger",
        "models": "Model",
        "agents": "Agent",
        "tools": "Tool",
        "executionpolicies": "ExecutionPolicy",
    },
    "/apis/apiextensions.k8s.io/v1": {"customresourcedefinitions": "CustomResourceDefinition"},
}


def _described(plural: str, kind: str) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "create", "patch", "delete"]
    return {
        "name": plural,
        "singularName": kind.lower(),
        "kind": kind,
        "namespaced": plural not in ("namespaces", "customresourcedefinitions", "executionpolicies"),
        "verbs": verbs,
        "shortNames": [],
        "categories": [],
    }
