"""Any process may stop at any moment: executions finish, no recorded step runs again, none is lost.

What one test breaks is whole again before the next begins.
"""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

import proofs
from citadel.kube.resources import EXECUTIONS, NAMESPACES, PODS
from live import SANDBOXES, SYSTEM, Cluster, crash, kubectl, python

pytestmark = pytest.mark.alone

CHAIN = 12
#: Seconds for which Postgres is away, and the kubelet is stopped: after a minute its node counts as lost.
AWAY, STOPPED = proofs.of((10, 20), (30, 60))
#: Each step adds its own mark to what it was given: an output tells which steps ran, and in which order.
MARK = """
import time
def main(seen, me):
    print("ran", me)
    time.sleep(0.5)
    return [*seen, me]
"""


async def chain(cluster: Cluster, name: str) -> str:
    """A chain of steps that takes some seconds."""
    steps = [python("s0", MARK, args={"seen": [], "me": 0})]
    steps += [
        python(f"s{n}", MARK, args={"seen": f"${{steps.s{n - 1}.output}}", "me": n}) for n in range(1, CHAIN)
    ]
    return await cluster.workflow(name, steps, outputs={"seen": f"${{steps.s{CHAIN - 1}.output}}"})


def under_way(obj: dict[str, object]) -> bool:
    status = obj.get("status")
    return isinstance(status, dict) and (status.get("progress") or {}).get("done", 0) >= 2


async def ready(component: str) -> None:
    """Waits until every pod of a component is ready again."""
    what = f"deployment/citadel-{component}"
    wait = ("rollout", "status", what)
    if component == "postgres":
        wait = ("wait", "--for=condition=Ready", "pod/citadel-postgres-0")
    await asyncio.to_thread(kubectl, "-n", SYSTEM, *wait, "--timeout=120s")


@pytest.mark.parametrize("component", ["controller", "gateway"])
async def test_a_crash_under_a_running_execution_loses_and_repeats_nothing(
    cluster: Cluster, component: str
) -> None:
    name = await cluster.execute(await chain(cluster, "chain"))
    await cluster.until(name, under_way)
    crash(component)
    status = (await cluster.finished(name, 120))["status"]
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"seen": list(range(CHAIN))}), status
    await ready(component)


async def test_two_controllers_and_two_gateways_do_every_step_once(cluster: Cluster) -> None:
    components = ("controller", "gateway")
    for component in components:
        kubectl("-n", SYSTEM, "scale", f"deployment/citadel-{component}", "--replicas=2")
    try:
        for component in components:
            await ready(component)
        workflow = await chain(cluster, "chain")
        names = [await cluster.execute(workflow) for _ in range(4)]
        await cluster.until(names[0], under_way)
        kubectl("-n", SYSTEM, "delete", "pod", "--wait=false", *_leader(), "--force", "--grace-period=0")
        for name in names:
            status = (await cluster.finished(name, 120))["status"]
            assert status.get("outputs") == {"seen": list(range(CHAIN))}, status
    finally:
        for component in components:
            kubectl("-n", SYSTEM, "scale", f"deployment/citadel-{component}", "--replicas=1")
        for component in components:
            await ready(component)


def _leader() -> list[str]:
    path = "jsonpath={.spec.holderIdentity}"
    holder = kubectl("-n", SYSTEM, "get", "lease", "citadel-controller", "-o", path)
    return [holder.partition("_")[0]]


async def test_postgres_away_for_a_while_only_delays(cluster: Cluster) -> None:
    name = await cluster.execute(await chain(cluster, "chain"))
    await cluster.until(name, under_way)
    loop = asyncio.get_running_loop()
    away_until = loop.time() + AWAY
    while loop.time() < away_until:
        stop = ("-n", SYSTEM, "exec", "citadel-postgres-0", "--", "sh", "-c", "kill -INT 1")
        await asyncio.to_thread(kubectl, *stop, check=False)
        await asyncio.sleep(0.5)
    assert not (await cluster.get(name))["status"].get("finishedAt")
    await ready("postgres")
    status = (await cluster.finished(name, 180))["status"]
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"seen": list(range(CHAIN))}), status


def kubelet() -> int:
    """The process id of the node's kubelet, which a test stops for a while."""
    pid_file = Path("/run/citadel-node/kubelet.pid")
    if not pid_file.exists():
        pytest.fail(f"{pid_file}: this proof needs the project's own node, whose kubelet it stops")
    pid = int(pid_file.read_text())
    assert "kubelet" in Path(f"/proc/{pid}/cmdline").read_text()
    return pid


async def test_a_kubelet_that_is_stopped_for_a_while_does_not_fail_a_running_step(cluster: Cluster) -> None:
    pid = kubelet()
    code = f"import time\ndef main():\n    time.sleep({0.75 * STOPPED})\n    return 'here'"
    await cluster.workflow("long", [python("a", code)], outputs={"a": "${steps.a.output}"})
    name = await cluster.execute("long")
    await cluster.until(name, lambda obj: _is_running(obj, "a"))
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED)
    finally:
        os.kill(pid, signal.SIGCONT)
    # The step ended meanwhile; on a single node its gateway may have been out of reach, too.
    status = (await cluster.finished(name, 90))["status"]
    assert (status["phase"], status.get("outputs")) == ("Succeeded", {"a": "here"}), status
    kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")
    for component in ("controller", "gateway", "postgres"):
        await ready(component)


def _is_running(obj: dict[str, object], step: str) -> bool:
    status = obj.get("status")
    steps = status.get("steps") or () if isinstance(status, dict) else ()
    return any(item["name"] == step and item["status"] == "Running" for item in steps)


async def test_a_sandbox_that_vanishes_fails_its_attempt_and_is_retried_where_asked(cluster: Cluster) -> None:
    code = "import time\ndef main():\n    time.sleep(4)\n    return 1"
    await cluster.workflow("once", [python("a", code)])
    await cluster.workflow("again", [python("a", code, retry={"attempts": 2, "backoff": {"initial": "1s"}})])
    names = {flow: await cluster.execute(flow) for flow in ("once", "again")}
    for name in names.values():
        await cluster.until(name, lambda obj: _is_running(obj, "a"))
        pods = (await cluster.kube.list(PODS, SANDBOXES)).items
        mine = f"{cluster.namespace}/{name}"
        for pod in pods:
            if pod["metadata"]["annotations"]["citadel.dev/execution"] == mine:
                await cluster.kube.delete(PODS, pod["metadata"]["name"], SANDBOXES, grace_seconds=0)
    once = (await cluster.finished(names["once"]))["status"]
    assert (once["phase"], once["reason"]) == ("Failed", "SandboxLost"), once
    again = (await cluster.finished(names["again"]))["status"]
    assert again["phase"] == "Succeeded", again


async def test_what_is_deleted_while_it_runs_leaves_no_sandbox(cluster: Cluster) -> None:
    code = "import time\ndef main():\n    time.sleep(300)"
    await cluster.workflow("slow", [python("a", code)])
    names = [await cluster.execute("slow") for _ in range(2)]
    for name in names:
        await cluster.until(name, lambda obj: _is_running(obj, "a"))
    await cluster.kube.delete(EXECUTIONS, names[0], cluster.namespace)
    await _no_sandboxes(cluster, names[0])
    await cluster.kube.delete(NAMESPACES, cluster.namespace)
    await _no_sandboxes(cluster, names[1])


async def _no_sandboxes(cluster: Cluster, name: str) -> None:
    """Waits until no pod of this execution is left."""
    mine = f"{cluster.namespace}/{name}"
    async with asyncio.timeout(60):
        while True:
            listed = await cluster.kube.list(PODS, SANDBOXES)
            if not any(p["metadata"]["annotations"]["citadel.dev/execution"] == mine for p in listed.items):
                return
            version = listed.resource_version
            async for event in cluster.kube.watch(PODS, SANDBOXES, resource_version=version, timeout=30):
                if event.type == "DELETED":
                    break


async def test_a_journal_that_forgot_a_started_execution_never_runs_it_again(cluster: Cluster) -> None:
    await cluster.workflow("flow", [python("a", "def main(): return 1")])
    name = await cluster.execute("flow", suspend=True)
    started = await cluster.until(name, lambda obj: obj.get("status", {}).get("startedAt"))
    uid = started["metadata"]["uid"]
    assert re.fullmatch(r"[0-9a-f-]{36}", uid)
    query = f"DELETE FROM executions WHERE uid = '{uid}'"
    script = f'PGPASSWORD=$(cat $POSTGRES_PASSWORD_FILE) psql -h /tmp -U postgres citadel -c "{query}"'
    kubectl("-n", SYSTEM, "exec", "citadel-postgres-0", "--", "sh", "-c", script)
    await cluster.kube.patch(EXECUTIONS, name, {"spec": {"suspend": False}}, cluster.namespace)
    status = (await cluster.finished(name))["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "JournalLost")
