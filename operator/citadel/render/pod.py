"""The pod of a sandbox: two containers, nothing privileged, no token of the cluster anywhere.

Every field is written here; nothing a user wrote is merged in but the allow-listed fields of the placement.
A pod of a language runtime has no volumes, because the kubelet looks for their mounts only every 300 ms: that
would be a third of a cold start (0.83 s instead of 0.57 s to main's first instruction).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.durations import quantity
from citadel.api.meta import (
    AGENTS_LABELS,
    EXECUTION_ANNOTATION,
    SANDBOX_LABELS,
    SPEC_HASH_ANNOTATION,
)
from citadel.core.jsonvalues import canonical, digest

RUNNER_UID = 65532
MAIN_UID = 65533
#: Memory every container has; the shim makes /work and /tmp of a language runtime there.
SHARED_MEMORY = "/dev/shm"  # noqa: S108
#: What of that is /tmp of a language runtime, by a link in its image. gVisor makes a /tmp for whoever has
#: none, and fails at a link that leads nowhere yet: in pods of a RuntimeClass something is mounted here.
SHARED_TMP = f"{SHARED_MEMORY}/tmp"  # noqa: S108
#: How much fits into it, where its Runtime has no scratch.
TMP_SIZE = "64Mi"
SHIM_DIR = "/citadel"
#: What starts the warm harness of each language, behind the shim. Python is started
#: without `site`, which the harness loads when nobody waits for it. Node.js has one thread,
#: because a fork has but one. A program in Go is its own process, and what stands here
#: compiles it. A JVM serves as long as what it ran can have left nothing in it.
HARNESS = {
    "python": ("python3", "-I", "-S", "-B", "-X", "utf8", f"{SHIM_DIR}/harness.py"),
    "javascript": (
        *("node", "--single-threaded", "--experimental-vm-modules", "--disable-warning=ExperimentalWarning"),
        f"{SHIM_DIR}/harness.mjs",
    ),
    "go": ("program", "--", f"{SHIM_DIR}/build", f"{SHIM_DIR}/kit"),
    "java": ("keep", "--", "java", f"@{SHIM_DIR}/java.options", "-jar", f"{SHIM_DIR}/harness.jar"),
}
#: A file on the node's disk that the kubelet makes writable for everybody and that no limit counts: it
#: lies where images let only root in.
LAST_MESSAGE = "/root/last-message"
#: Where it lies in a sandbox that mounts its own memory: to have something there makes SHARED_TMP, and what
#: the sandbox mounts covers it before user code runs.
COVERED_MESSAGE = f"{SHARED_TMP}/last-message"
KEY_VARIABLE = "CITADEL_KEY"
GRACE_SECONDS = 10
#: Bytes a writable mount may hold at least, whatever the memory limit says.
SMALLEST_MOUNT = 16 * 2**20


@dataclass(frozen=True)
class Site:
    """What all sandboxes of an installation share."""

    namespace: str
    runner_image: str
    gateway_url: str
    ca: str
    """PEM of the CA that signed the gateway's certificate."""
    user_namespaces: bool
    """Whether every node can give a pod a user namespace of its own."""
    forbidden: tuple[str, ...] = ()
    """What no sandbox may reach, as `name=ip:port`: its runner tries."""
    service_account: str = "sandbox"
    egress: str = ""
    """Address and port of the egress proxy."""
    models: str = ""
    """URL of the model gateway, for the pods of agents alone; empty where there is none."""
    own_mounts: bool = False
    """Whether a sandbox may mount its own memory: under a RuntimeClass with such a kernel."""


def sandbox_pod(
    name: str, execution: str, template: Mapping[str, Any], site: Site, key: str
) -> dict[str, Any]:
    """The manifest of a sandbox's pod. `execution` is `namespace/name`, `template` a placement's.

    `key` is what its runner registers with, once.
    """
    foreign = "language" not in template
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": site.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            # The runner answers DNS, and stands for every host at the host's own port.
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}],
        },
        "containers": [_runner(name, site, template, foreign), _main(template, foreign, site.own_mounts)],
    }
    if volumes := _volumes(template, foreign, site.own_mounts):
        spec["volumes"] = volumes
    if site.user_namespaces:
        spec["hostUsers"] = False
    for field in ("nodeSelector", "tolerations", "priorityClassName", "imagePullSecrets", "runtimeClassName"):
        if template.get(field):
            spec[field] = template[field]
    # Of everything but the key: the same sandbox has the same hash.
    spec_hash = digest(canonical(spec)).removeprefix("sha256:")[:32]
    spec["containers"][0]["env"].append({"name": KEY_VARIABLE, "value": key})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": site.namespace,
            "labels": {**SANDBOX_LABELS, **(AGENTS_LABELS if template.get("agent") else {})},
            "annotations": {
                EXECUTION_ANNOTATION: execution,
                SPEC_HASH_ANNOTATION: spec_hash,
            },
        },
        "spec": spec,
    }


def key_of(pod: Mapping[str, Any]) -> str | None:
    """The key that a pod's runner was given."""
    containers = (item for item in pod["spec"]["containers"] if item["name"] == "runner")
    variables = (item for container in containers for item in container.get("env") or ())
    return next((item.get("value") for item in variables if item["name"] == KEY_VARIABLE), None)


def _runner(name: str, site: Site, template: Mapping[str, Any], foreign: bool) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "runner",
        "image": site.runner_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/runner"],
        "env": [
            {"name": "CITADEL_GATEWAY", "value": site.gateway_url},
            {"name": "CITADEL_EGRESS", "value": site.egress},
            {"name": "CITADEL_CA", "value": site.ca},
            {"name": "CITADEL_SANDBOX", "value": name},
            {"name": "CITADEL_FORBIDDEN", "value": ",".join(site.forbidden)},
            {"name": "CITADEL_NODE_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
        ],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
        "securityContext": _security(RUNNER_UID),
    }
    if template.get("agent"):
        container["env"].append({"name": "CITADEL_MODELS_URL", "value": site.models})
    if foreign:
        # The kubelet starts main only after this hook, so the shim is in place by then.
        container["lifecycle"] = {"postStart": {"exec": {"command": ["/runner", "install", SHIM_DIR]}}}
        container["volumeMounts"] = [{"name": "shim", "mountPath": SHIM_DIR}]
    return container


def _main(template: Mapping[str, Any], foreign: bool, own_mounts: bool) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "main",
        "image": template["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": [f"{SHIM_DIR}/shim"],
        "terminationMessagePath": LAST_MESSAGE,
        "resources": template["resources"],
        "securityContext": _security(MAIN_UID),
    }
    if foreign:
        container["workingDir"] = "/work"
        container["volumeMounts"] = [
            {"name": "work", "mountPath": "/work"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108
            {"name": "shim", "mountPath": SHIM_DIR, "readOnly": True},
        ]
        if template.get("data"):
            container["volumeMounts"].append({"name": "data", "mountPath": "/data"})
            container["env"] = [{"name": "CITADEL_DATA_DIR", "value": "/data"}]
        return container
    container["command"] += HARNESS[template["language"]]
    container["env"] = [{"name": "CITADEL_SCRATCH", "value": SHARED_MEMORY}]
    if own_mounts:
        # As without a RuntimeClass: nothing can be executed from what a Runtime has not asked for.
        size, execution = template.get("scratch") or TMP_SIZE, "exec" if template.get("scratch") else "noexec"
        before = [f"{SHIM_DIR}/scratch", str(int(quantity(size))), execution]
        return {
            **container,
            "command": before + container["command"],
            "terminationMessagePath": COVERED_MESSAGE,
        }
    mounts = [{"name": "scratch", "mountPath": SHARED_MEMORY}] if template.get("scratch") else []
    if template.get("runtimeClassName"):
        mounts.append({"name": "tmp", "mountPath": SHARED_TMP})
    return {**container, "volumeMounts": mounts} if mounts else container


def _security(uid: int) -> dict[str, Any]:
    return {
        "runAsUser": uid,
        "runAsGroup": uid,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def _volumes(template: Mapping[str, Any], foreign: bool, own_mounts: bool) -> list[dict[str, Any]]:
    if not foreign and own_mounts:
        return []
    if not foreign:
        volumes = [_memory("scratch", template["scratch"])] if template.get("scratch") else []
        if template.get("runtimeClassName"):
            volumes.append(_memory("tmp", template.get("scratch") or TMP_SIZE))
        return volumes
    # Files in memory count against main's memory limit; half of it leaves room for the code itself.
    size = str(int(max(SMALLEST_MOUNT, quantity(template["resources"]["limits"]["memory"]) / 2)))
    volumes = [_memory("work", size), _memory("tmp", size), _memory("shim", "16Mi")]
    return [*volumes, _memory("data", size)] if template.get("data") else volumes


def _memory(name: str, size: str) -> dict[str, Any]:
    return {"name": name, "emptyDir": {"medium": "Memory", "sizeLimit": size}}
