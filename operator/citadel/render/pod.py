"""The pod of a sandbox: two containers, nothing privileged, no token for user code.

Every field is written here; nothing a user wrote is merged in but the allow-listed fields of the placement.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from citadel.api.durations import quantity
from citadel.api.meta import EXECUTION_ANNOTATION, SANDBOX_LABELS, SPEC_HASH_ANNOTATION
from citadel.core.jsonvalues import canonical, digest

RUNNER_UID = 65532
MAIN_UID = 65533
AUDIENCE = "citadel-gateway"
TOKEN_DIR = "/var/run/citadel"  # noqa: S105
SHIM_DIR = "/citadel"
#: What starts the warm harness of each language, behind the shim.
HARNESS = {"python": ("python3", "-I", "-B", f"{SHIM_DIR}/harness.py")}
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
    service_account: str = "sandbox"


def sandbox_pod(name: str, execution: str, template: Mapping[str, Any], site: Site) -> dict[str, Any]:
    """The manifest of a sandbox's pod. `execution` is `namespace/name`, `template` a placement's."""
    foreign = "language" not in template
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": site.service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["127.0.0.1"]},
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_runner(site, foreign), _main(template, foreign)],
        "volumes": _volumes(template, foreign),
    }
    if site.user_namespaces:
        spec["hostUsers"] = False
    for field in ("nodeSelector", "tolerations", "priorityClassName", "imagePullSecrets"):
        if template.get(field):
            spec[field] = template[field]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": site.namespace,
            "labels": dict(SANDBOX_LABELS),
            "annotations": {
                EXECUTION_ANNOTATION: execution,
                SPEC_HASH_ANNOTATION: digest(canonical(spec)).removeprefix("sha256:")[:32],
            },
        },
        "spec": spec,
    }


def _runner(site: Site, foreign: bool) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "runner",
        "image": site.runner_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/runner"],
        "env": [
            {"name": "CITADEL_GATEWAY", "value": site.gateway_url},
            {"name": "CITADEL_CA", "value": site.ca},
            {"name": "CITADEL_TOKEN_FILE", "value": f"{TOKEN_DIR}/token"},
        ],
        "resources": {"requests": {"cpu": "5m", "memory": "16Mi"}, "limits": {"cpu": "1", "memory": "64Mi"}},
        "securityContext": _security(RUNNER_UID),
        "volumeMounts": [{"name": "token", "mountPath": TOKEN_DIR, "readOnly": True}],
    }
    if foreign:
        # The kubelet starts main only after this hook, so the shim is in place by then.
        container["lifecycle"] = {"postStart": {"exec": {"command": ["/runner", "install", SHIM_DIR]}}}
        container["volumeMounts"].append({"name": "shim", "mountPath": SHIM_DIR})
    return container


def _main(template: Mapping[str, Any], foreign: bool) -> dict[str, Any]:
    mounts = [{"name": "work", "mountPath": "/work"}, {"name": "tmp", "mountPath": "/tmp"}]  # noqa: S108
    if foreign:
        mounts.append({"name": "shim", "mountPath": SHIM_DIR, "readOnly": True})  # type: ignore[dict-item]
    harness = () if foreign else HARNESS[template["language"]]
    return {
        "name": "main",
        "image": template["image"],
        "imagePullPolicy": "IfNotPresent",
        "command": [f"{SHIM_DIR}/shim", *harness],
        "workingDir": "/work",
        "resources": template["resources"],
        "securityContext": _security(MAIN_UID),
        "volumeMounts": mounts,
    }


def _security(uid: int) -> dict[str, Any]:
    return {
        "runAsUser": uid,
        "runAsGroup": uid,
        "runAsNonRoot": True,
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def _volumes(template: Mapping[str, Any], foreign: bool) -> list[dict[str, Any]]:
    memory = quantity(template["resources"]["limits"]["memory"])
    # Memory-backed files count against main's memory limit; half of it leaves room for the code itself.
    size = str(int(max(SMALLEST_MOUNT, memory / 2)))
    token = {"audience": AUDIENCE, "expirationSeconds": 600, "path": "token"}
    volumes: list[dict[str, Any]] = [
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        {"name": "work", "emptyDir": {"medium": "Memory", "sizeLimit": size}},
        {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": size}},
    ]
    if foreign:
        volumes.append({"name": "shim", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}})
    return volumes
