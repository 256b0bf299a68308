"""A whole term of leading with kopf's watches: from nothing to a finished execution, and an orderly end."""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import kopf
import pytest
from prometheus_client import CollectorRegistry

from build import python_step
from citadel.controller.leading import Leader
from citadel.controller.metrics import ControllerMetrics
from citadel.controller.watching import WATCHED, Key, Watcher, settings
from citadel.kube.cache import Cache
from citadel.kube.metrics import Metrics
from citadel.kube.resources import EXECUTIONS, PODS
from citadel.serving import end_on_signals
from citadel.settings import Settings
from component.controller.cluster import Cluster
from component.controller.clusterapi import SANDBOXES, path_of
from component.gateway.test_process import free_port

SYSTEM = "/api/v1/namespaces/citadel-system"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/citadel-system/leases/citadel-controller"


@pytest.fixture(autouse=True)
def kubeconfig(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """kopf finds the API server as our client would."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": {"server": cluster.api.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "current-context": "x",
    }
    file = tmp_path / "kubeconfig"
    file.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    level = logging.getLogger("kopf").level
    yield
    logging.getLogger("kopf").setLevel(level)


async def prepare(cluster: Cluster) -> None:
    """What the chart and the cluster bring."""
    ports = [{"name": "https", "port": 8443}, {"name": "tripwire", "port": 8444}]
    service = {
        "metadata": {"name": "citadel-gateway", "namespace": "citadel-system"},
        "spec": {"clusterIP": "10.96.0.7", "ports": ports},
    }
    await cluster.api.change("ADDED", f"{SYSTEM}/services/citadel-gateway", service)
    proxy = {
        "metadata": {"name": "citadel-egress", "namespace": "citadel-system"},
        "spec": {"clusterIP": "10.96.0.8", "ports": [{"name": "https", "port": 8443}]},
    }
    await cluster.api.change("ADDED", f"{SYSTEM}/services/citadel-egress", proxy)
    node = {"status": {"runtimeHandlers": [{"name": "", "features": {"userNamespaces": True}}]}}
    await cluster.api.change("ADDED", "/api/v1/nodes/n1", {"metadata": {"name": "n1"}, **node})


async def leader_of(cluster: Cluster, url: str) -> Leader:
    """A leader with its settings."""
    await prepare(cluster)
    env = {"CITADEL_DATABASE_URL": url, "CITADEL_RUNTIME_IMAGE_PYTHON": "python:1"}
    registry = CollectorRegistry()
    metrics, counted = Metrics(registry), ControllerMetrics(registry)
    return Leader(Settings.from_env(env), cluster.kube, cluster.database, metrics, counted)


async def test_a_term_of_leading(cluster: Cluster, postgres_url: str) -> None:
    leader = await leader_of(cluster, postgres_url)
    lost = asyncio.Event()
    term = asyncio.create_task(leader.lead(lost))
    term.add_done_callback(lambda _: asyncio.ensure_future(cluster.api.send("BOOKMARK", "/", {})))
    try:
        shared = "/apis/citadel.dev/v1alpha1/namespaces/citadel-system/runtimes/python"
        # What was there before the watches is looked at too.
        await cluster.until(lambda: term.done() or "status" in cluster.api.objects.get(shared, {}))
        await cluster.apply("workflows", "flow", {"steps": [python_step("a")]})
        await cluster.until(lambda: term.done() or cluster.ready("flow", "workflows") == "True")
        uid = await cluster.submit()
        row = await cluster.register(uid)
        pod = cluster.api.objects[path_of("pods", row.name)]
        assert pod["spec"]["hostUsers"] is False
        assert pod["spec"]["containers"][0]["env"][0]["value"] == "https://10.96.0.7:8443"
        await cluster.succeed(row, "a")
        await cluster.phase("Succeeded")
        await cluster.until(lambda: not cluster.pods())
    finally:
        lost.set()
        async with asyncio.timeout(8):
            await term
    for path, obj in cluster.api.objects.items():
        assert "finalizers" not in obj["metadata"], path
        assert "kopf" not in json.dumps(obj), path


async def test_the_watcher_tells_of_every_change_and_forgets_what_is_deleted(cluster: Cluster) -> None:
    keys: list[Key] = []
    cache = Cache()
    uid = await cluster.submit("before")
    stop = asyncio.Event()
    watching = asyncio.create_task(Watcher(cache, keys.append, SANDBOXES).run(stop))
    try:
        await cluster.until(lambda: cluster.api.watchers > len(WATCHED))
        assert cache.get(EXECUTIONS, "team", "before") is not None
        await cluster.submit("after")
        pod = {"metadata": {"name": "cx-1", "namespace": SANDBOXES}, "status": {"phase": "Running"}}
        await cluster.api.change("ADDED", path_of("pods", "cx-1"), pod)
        await cluster.remove("executions", "before")
        async with asyncio.timeout(5):
            while True:
                if {"gone", "sandbox"} <= {key.kind for key in keys}:
                    break
                await asyncio.sleep(0.01)
        assert Key("execution", "team", "before") in keys
        assert Key("execution", "team", "after") in keys
        assert Key("sandbox", SANDBOXES, "cx-1") in keys
        assert Key("gone", "team", "before", uid) in keys
        assert cache.get(EXECUTIONS, "team", "before") is None
        assert cache.get(PODS, SANDBOXES, "cx-1") is not None
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await watching


async def test_the_process_ends_at_sigterm_and_gives_the_lead_back(
    cluster: Cluster, postgres_url: str, tmp_path: Path
) -> None:
    await prepare(cluster)
    given = {"CITADEL_DATABASE_URL": postgres_url, "CITADEL_HEALTH_PORT": str(free_port())}
    with (tmp_path / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "citadel", "controller"), env=os.environ | given, stderr=log
        )
    try:
        await cluster.until(lambda: cluster.api.watchers > len(WATCHED), seconds=20)
        lease = cluster.api.objects[LEASE]
        assert lease["spec"]["holderIdentity"]
        began = time.monotonic()
        process.terminate()
        async with asyncio.timeout(10):
            code = await process.wait()
        assert code == 0, (tmp_path / "log").read_text()[-2000:]
        assert time.monotonic() - began < 4
        assert not cluster.api.objects[LEASE]["spec"].get("holderIdentity")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_signal_ends_the_process_though_kopf_would_have_it(cluster: Cluster) -> None:
    ours, stop, started = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def take_back() -> None:
        end_on_signals(ours)
        started.set()

    loop = asyncio.get_running_loop()
    watching = asyncio.create_task(Watcher(Cache(), lambda key: None, SANDBOXES, take_back).run(stop))
    try:
        async with asyncio.timeout(5):
            await started.wait()
        await cluster.until(lambda: cluster.api.watchers > len(WATCHED))
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(5):
            await ours.wait()
        assert not watching.done()
    finally:
        stop.set()
        async with asyncio.timeout(5):
            await watching
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def test_an_older_version_of_an_object_is_no_news() -> None:
    keys: list[Key] = []
    cache = Cache()
    watcher = Watcher(cache, keys.append, SANDBOXES)
    obj = {"metadata": {"name": "run", "namespace": "team", "uid": "u", "resourceVersion": "7"}}
    watcher.take(EXECUTIONS, "execution", "ADDED", obj)
    watcher.take(EXECUTIONS, "execution", "MODIFIED", obj)
    watcher.take(EXECUTIONS, "execution", None, {"metadata": {**obj["metadata"], "resourceVersion": "6"}})
    assert keys == [Key("execution", "team", "run")]
    watcher.take(
        EXECUTIONS, "execution", "DELETED", {"metadata": {**obj["metadata"], "resourceVersion": "8"}}
    )
    assert keys[1:] == [Key("gone", "team", "run", "u")]


def test_kopf_keeps_nothing_in_objects() -> None:
    found = settings()
    assert found.posting.enabled is False
    assert found.scanning.disabled is True
    body = kopf.Body({"metadata": {"name": "x"}, "spec": {"a": 1}})
    assert found.persistence.progress_storage.fetch(key="k", body=body) is None
    assert found.persistence.diffbase_storage.build(body=body) == {}
    patch = kopf.Patch()
    found.persistence.diffbase_storage.store(body=body, patch=patch, essence={})
    assert not patch
