"""The real cluster: every test has a namespace of its own, and leaves nothing behind."""

import uuid
from collections.abc import AsyncIterator

import pytest

from citadel.kube.client import KubeClient
from citadel.kube.config import from_kubeconfig
from citadel.kube.errors import NotFound
from citadel.kube.resources import NAMESPACES
from live import Cluster, foreign_image, kubeconfig


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
def container_image() -> str:
    """An image that knows nothing of Citadel, with a shell and jq."""
    return foreign_image()
