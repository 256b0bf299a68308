"""Pods that are a sandbox's but for one control: there each attack must succeed."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from citadel.kube.resources import PODS, Object
from citadel.render.pod import MAIN_UID
from hostile.corpus import Case, Twin
from hostile.driver import SUFFIXES, program, results
from hostile.town import image_of, pod
from live import Cluster, kubectl

#: What main of a sandbox has, see render/pod.py.
HARDENED = {
    "runAsUser": MAIN_UID,
    "runAsGroup": MAIN_UID,
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}
CONFINED = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
PRIVILEGED = {"privileged": True, "runAsUser": 0}
#: What the shim makes, and a runner to wait for.
PREPARE = """
import os, socket, time
for place in ("work", "tmp"):
    os.makedirs(f"/dev/shm/{place}", exist_ok=True)
while os.environ.get("BESIDE"):
    try:
        socket.create_connection(("127.0.0.1", 7070)).close()
        break
    except OSError:
        time.sleep(0.05)
"""
INTERPRETERS = {"python": ["python3"], "javascript": ["node"], "container": ["bash"]}
SECONDS = 120.0


def twin_pod(twin: Twin, namespace: str, image: str, language: str = "python") -> Object:
    """The pod in which a program, of a ConfigMap of its name, runs without the control that `twin` names."""
    main: dict[str, Any] = {
        "image": image,
        "command": [*INTERPRETERS[language], f"/program/program.{SUFFIXES[language]}"],
        "securityContext": dict(HARDENED),
        "resources": {"requests": {"cpu": "5m"}, "limits": {"cpu": "1", "memory": "256Mi"}},
    }
    spec: dict[str, Any] = {
        "securityContext": dict(CONFINED),
        "enableServiceLinks": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
    }
    match twin:
        case Twin.NO_SECCOMP:
            spec["securityContext"]["seccompProfile"] = {"type": "Unconfined"}
        case Twin.PRIVILEGED | Twin.HOST:
            main["securityContext"], spec["securityContext"] = dict(PRIVILEGED), {}
        case Twin.NEW_PRIVILEGES:
            main["securityContext"] |= {"allowPrivilegeEscalation": True, "capabilities": {}}
        case Twin.SHARED_PROCESSES:
            spec["shareProcessNamespace"] = True
            main["env"] = [{"name": "BESIDE", "value": "a runner"}]
        case Twin.TOKEN:
            spec["automountServiceAccountToken"] = True
        case Twin.NO_POLICY:
            del spec["dnsPolicy"], spec["dnsConfig"]
        case Twin.NO_LIMITS:
            main["resources"] = {}
            main["volumeMounts"] = [{"name": "roomy", "mountPath": "/dev/shm"}]
            spec["volumes"] = [{"name": "roomy", "emptyDir": {"medium": "Memory"}}]
    if language == "container":
        main["volumeMounts"] = [{"name": "tmp", "mountPath": "/tmp"}]
        spec["volumes"] = [{"name": "tmp", "emptyDir": {"medium": "Memory"}}]
    if twin is Twin.HOST:
        spec["hostPID"] = True
        main["volumeMounts"] = [{"name": "kubelet", "mountPath": "/var/lib/kubelet"}]
        spec["volumes"] = [{"name": "kubelet", "hostPath": {"path": "/var/lib"}}]
    name = f"twin-{twin.name.lower().replace('_', '-')}-{language}"
    main.setdefault("volumeMounts", []).append({"name": "program", "mountPath": "/program"})
    spec.setdefault("volumes", []).append({"name": "program", "configMap": {"name": name}})
    made = pod(name, namespace, main, **spec)
    if twin is Twin.SHARED_PROCESSES:
        made["spec"]["containers"].append(_runner_with_a_key(image))
    return made


def _runner_with_a_key(image: str) -> dict[str, Any]:
    """What the runner must never be: of the same uid, in the same process namespace, and listening still."""
    listen = "import socket, time; s = socket.create_server(('127.0.0.1', 7070)); time.sleep(300)"
    return {
        "name": "runner",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/bash", "-c", 'exec -a /runner python3 -c "$0"', listen],
        "env": [{"name": "CITADEL_KEY", "value": "not-a-key"}],
        "securityContext": dict(HARDENED),
    }


async def run_twin(
    cluster: Cluster, twin: Twin, cases: list[Case], facts: Mapping[str, Any]
) -> dict[str, dict[str, str]]:
    """What each case, all of one language, got where the control is missing."""
    language = cases[0].language
    if twin is Twin.THIS_MACHINE:
        command = [sys.executable, "-c", program(cases, facts)]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=SECONDS
        )
        return results(done.stdout)
    made = twin_pod(twin, cluster.namespace, await image_of(cluster, language), language)
    made["spec"]["containers"][0].setdefault("env", []).append({"name": "NODE", "value": str(facts["node"])})
    name = made["metadata"]["name"]
    text = (PREPARE if language == "python" else "") + program(cases, facts)
    await cluster.config_map(name, **{f"program.{SUFFIXES[language]}": text})
    await cluster.kube.create(PODS, made)
    status = await _ended(cluster, name)
    said = kubectl("logs", "-n", cluster.namespace, name, "-c", "main")
    try:
        return results(said)
    except ValueError:
        raise AssertionError(f"twin {name}: {said[-2000:]} {json.dumps(status)}") from None


async def _ended(cluster: Cluster, name: str) -> Mapping[str, Any]:
    """The status of main once it has terminated; fails after a while."""
    found: Object = {}
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                found = await cluster.kube.get(PODS, name, cluster.namespace)
                for status in found.get("status", {}).get("containerStatuses", ()):
                    if status["name"] == "main" and "terminated" in status.get("state", {}):
                        return dict(status)
                await asyncio.sleep(0.3)
    except TimeoutError:
        raise AssertionError(f"twin {name}: {json.dumps(found.get('status'))}") from None
