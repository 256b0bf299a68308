"""The real cluster: every test has a namespace of its own, and leaves nothing behind."""

import contextlib
import json
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from citadel.kube.client import KubeClient
from citadel.kube.config import from_kubeconfig
from citadel.kube.errors import NotFound
from citadel.kube.resources import NAMESPACES
from live import Cluster, User, foreign_image, kubeconfig, kubectl, policy


@pytest.fixture
async def kube() -> AsyncIterator[KubeClient]:
    """The API server, as the cluster's admin."""
    async with KubeClient(from_kubeconfig([kubeconfig()])) as client:
        yield client


@pytest.fixture
async def cluster(kube: KubeClient) -> AsyncIterator[Cluster]:
    """A fresh namespace; under the RuntimeClass of CITADEL_TEST_RUNTIME_CLASS, if that is set."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    found = Cluster(kube, name)
    async with contextlib.AsyncExitStack() as stack:
        if runtime_class := os.environ.get("CITADEL_TEST_RUNTIME_CLASS"):
            await stack.enter_async_context(policy(found, runtimeClass={"name": runtime_class}))
        yield found
    with contextlib.suppress(NotFound):
        await kube.delete(NAMESPACES, name)


@pytest.fixture
def container_image() -> str:
    """An image that knows nothing of Citadel, with a shell and jq."""
    return foreign_image()


@pytest.fixture
def user(cluster: Cluster, tmp_path: Path) -> User:
    """A user bound to `edit` in the test's namespace."""
    namespace = cluster.namespace
    kubectl("create", "serviceaccount", "someone", "-n", namespace)
    subject = f"--serviceaccount={namespace}:someone"
    kubectl("create", "rolebinding", "someone", "--clusterrole=edit", subject, "-n", namespace)
    config = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
    config["users"][0]["user"] = {"token": kubectl("create", "token", "someone", "-n", namespace).strip()}
    config["contexts"][0]["context"]["namespace"] = namespace
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return User(path, namespace)
