"""Artifacts that are too large for the database, in object storage within the cluster."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chart import CHART, done
from citadel.kube.client import KubeClient
from citadel.kube.resources import PODS, RUNTIMES
from component.s3 import server
from live import SYSTEM, Cluster, built_images, foreign_image, kubectl, python

pytestmark = pytest.mark.alone

PORT = 7070
SIZE = 64 * 2**20
SERVE = f"""
mkdir -p /s3/objects/artifacts /s3/metadata
until [ -e /s3/complete ]; do sleep 0.1; done
exec /s3/versitygw --port :{PORT} --quiet posix --sidecar /s3/metadata /s3/objects
"""
MAKE = f"head -c {SIZE} /dev/urandom > large; sha256sum large | head -c 64 > sum"
READ = """
import hashlib, os
def main():
    with open("in/large", "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [digest == open("in/sum").read(), os.path.getsize("in/large")]
"""


@pytest.fixture
async def storage(cluster: Cluster, kube: KubeClient) -> AsyncIterator[str]:
    """A bucket that Citadel uses while the test lasts; the name of the pod that has it."""
    container = {
        "name": "s3",
        "image": foreign_image(),
        "command": ["sh", "-c", SERVE],
        "env": [
            {"name": "ROOT_ACCESS_KEY", "value": "user"},
            {"name": "ROOT_SECRET_KEY", "value": "secret-secret"},
        ],
        "volumeMounts": [{"name": "s3", "mountPath": "/s3"}],
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "s3", "namespace": cluster.namespace},
        "spec": {
            "containers": [container],
            "volumes": [{"name": "s3", "emptyDir": {}}],
            "terminationGracePeriodSeconds": 0,
        },
    }
    await kube.create(PODS, pod)
    here = ("-n", cluster.namespace)
    kubectl(*here, "wait", "--for=condition=Ready", "pod/s3", "--timeout=60s")
    kubectl(*here, "cp", str(server()), "s3:/s3/versitygw")
    kubectl(*here, "exec", "s3", "--", "touch", "/s3/complete")
    address = kubectl(*here, "get", "pod", "s3", "-o", "jsonpath={.status.podIP}")
    keys = ("--from-literal=accessKeyId=user", "--from-literal=secretAccessKey=secret-secret")
    kubectl("-n", SYSTEM, "create", "secret", "generic", "test-s3", *keys)
    endpoint = f"http://{address}:{PORT}"
    try:
        upgrade({"endpoint": endpoint, "bucket": "artifacts", "credentialsSecret": "test-s3"})
        yield "s3"
    finally:
        upgrade({"endpoint": "", "bucket": "", "credentialsSecret": ""})
        kubectl("-n", SYSTEM, "delete", "secret", "test-s3", "--ignore-not-found")


def upgrade(s3: dict[str, str]) -> None:
    """The installation with this object storage, all else as it is."""
    options = ("-n", SYSTEM, "--reuse-values", "--wait", "--timeout", "3m")
    done("upgrade", "citadel", str(CHART), *options, values={"artifacts": {"s3": s3}})


async def test_64_mib_go_from_step_to_step_through_object_storage(
    cluster: Cluster, kube: KubeClient, storage: str
) -> None:
    limits = {"limits": {"memory": "384Mi"}}
    runtime = {
        "apiVersion": RUNTIMES.api_version,
        "kind": "Runtime",
        "metadata": {"name": "roomy", "namespace": cluster.namespace},
        "spec": {"image": built_images()["CITADEL_IMAGE_PYTHON"], "scratch": "128Mi", "resources": limits},
    }
    await kube.create(RUNTIMES, runtime)
    make: dict[str, Any] = {
        "name": "make",
        "container": {"image": foreign_image(), "command": ["sh", "-c", MAKE], "resources": limits},
        "artifacts": {"out": {"all": "./"}},
    }
    read = python("read", READ) | {
        "run": {"runtime": "roomy", "code": READ},
        "artifacts": {"in": {"in": "steps.make.artifacts.all"}},
    }
    await cluster.workflow("large", [make, read], outputs={"read": "${steps.read.output}"})
    status = await cluster.run("large", seconds=120)
    assert status["phase"] == "Succeeded", status
    assert status["outputs"] == {"read": [True, SIZE]}
    listed = kubectl("-n", cluster.namespace, "exec", storage, "--", "ls", "-l", "/s3/objects/artifacts")
    sizes = [int(line.split()[4]) for line in listed.splitlines() if line.startswith("-")]
    assert len(sizes) == 1
    assert sizes[0] > SIZE
