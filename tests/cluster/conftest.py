"""The real cluster: every test has a namespace of its own, and leaves nothing behind."""

import uuid
from collections.abc import AsyncIterator

import pytest

from citadel.kube.client import KubeClient
from citadel.kube.config import from_kubeconfig
from citadel.kube.errors import NotFound
from citadel.kube.resources import NAMESPACES, RUNTIMES
from live import SYSTEM, Cluster, kubeconfig


@pytest.fixture
async def kube() -> AsyncIterator[KubeClient]:
    """The API server, as the cluster's admin."""
    async with KubeClient(from_kubeconfig([kubeconfig()])) as client:
        yield client


@pytest.fixture
async def cluster(kube: KubeClient) -> AsyncIterator[Cluster]:
    """A fresh namespace."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await kube.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield Cluster(kube, name)
    try:
        await kube.delete(NAMESPACES, name)
    except NotFound:
        return


@pytest.fixture
async def python_image(kube: KubeClient) -> str:
    """The image of the shared Runtime `python`: one that surely is on the node."""
    found = await kube.get(RUNTIMES, "python", SYSTEM)
    return str(found["spec"]["image"])
