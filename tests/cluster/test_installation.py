"""Citadel as the chart installs it: who may do what, who reaches whom, what upgrade and uninstall leave."""

import asyncio
import json
from base64 import b64decode
from typing import Any

import pytest
import yaml
from cryptography import x509

from chart import CHART, done
from citadel.kube.client import KubeClient
from citadel.kube.resources import PODS, SECRETS, SERVICES, SUBJECTACCESSREVIEWS, Object
from live import SANDBOXES, SYSTEM, Cluster, kubectl, python

CONTROLLER = f"system:serviceaccount:{SYSTEM}:citadel-controller"
GATEWAY = f"system:serviceaccount:{SYSTEM}:citadel-gateway"
API = f"system:serviceaccount:{SYSTEM}:citadel-api"


async def may(kube: KubeClient, user: str, verb: str, what: str, name: str, namespace: str) -> bool:
    """Whether a user of the group system:authenticated may; `what` is group/resource[/subresource]."""
    group, resource, *sub = what.split("/")
    asked = {"verb": verb, "group": group, "resource": resource, "name": name, "namespace": namespace}
    review: Object = {
        "apiVersion": SUBJECTACCESSREVIEWS.api_version,
        "kind": "SubjectAccessReview",
        "spec": {
            "user": user,
            "groups": ["system:authenticated"],
            "resourceAttributes": {**asked, "subresource": sub[0] if sub else ""},
        },
    }
    return bool((await kube.create(SUBJECTACCESSREVIEWS, review))["status"]["allowed"])


@pytest.mark.parametrize(
    ("user", "verb", "what", "name", "namespace", "allowed"),
    [
        (CONTROLLER, "create", "/pods", "", SANDBOXES, True),
        (CONTROLLER, "create", "/pods", "", "default", False),
        (CONTROLLER, "create", "/pods", "", SYSTEM, False),
        (CONTROLLER, "get", "/secrets", "citadel-ca", SYSTEM, True),
        (CONTROLLER, "get", "/secrets", "anything-else", SYSTEM, False),
        (CONTROLLER, "create", "/secrets", "", SYSTEM, False),
        (CONTROLLER, "get", "/secrets", "anything", "default", False),
        (CONTROLLER, "list", "/secrets", "", "default", False),
        (CONTROLLER, "update", "citadel.dev/workflows", "", "default", False),
        # Installs of packages, in the namespace of their Runtime; never a change of what is there.
        (CONTROLLER, "create", "citadel.dev/executions", "", "default", True),
        (CONTROLLER, "update", "citadel.dev/executions", "", "default", False),
        # spec.stop of what a Trigger replaces; of a spec nothing else but suspend can change.
        (CONTROLLER, "patch", "citadel.dev/executions", "", "default", True),
        (CONTROLLER, "patch", "citadel.dev/triggers", "", "default", False),
        (CONTROLLER, "delete", "citadel.dev/executions", "", "default", True),
        # It asks, and never answers.
        (CONTROLLER, "create", "citadel.dev/approvals", "", "default", True),
        (CONTROLLER, "update", "citadel.dev/approvals", "", "default", False),
        (CONTROLLER, "patch", "citadel.dev/approvals", "", "default", False),
        (GATEWAY, "get", "citadel.dev/executions", "", "default", False),
        (GATEWAY, "get", "/pods", "", SANDBOXES, False),
        (GATEWAY, "get", "/secrets", "citadel-ca", SYSTEM, False),
        (API, "create", "authorization.k8s.io/subjectaccessreviews", "", "", True),
        (API, "get", "/secrets", "citadel-ca", SYSTEM, False),
        (API, "list", "citadel.dev/executions", "", "default", False),
        ("anybody", "create", "/pods/portforward", "citadel-api-0", SYSTEM, True),
        ("anybody", "create", "/pods/portforward", "citadel-postgres-0", SYSTEM, False),
        ("anybody", "create", "/pods/exec", "citadel-api-0", SYSTEM, False),
        ("anybody", "get", "/configmaps", "citadel-ca", SYSTEM, True),
        ("anybody", "get", "/secrets", "citadel-database", SYSTEM, False),
        ("anybody", "get", "/pods", "", SANDBOXES, False),
        ("anybody", "get", "citadel.dev/executions", "", "default", False),
    ],
)
async def test_rights_are_what_they_have_to_be(
    kube: KubeClient, user: str, verb: str, what: str, name: str, namespace: str, allowed: bool
) -> None:
    assert await may(kube, user, verb, what, name, namespace) is allowed


@pytest.mark.parametrize(
    ("role", "verb", "what", "allowed"),
    [
        ("view", "get", "citadel.dev/executions", True),
        ("view", "get", "citadel.dev/executions/log", True),
        ("view", "create", "citadel.dev/executions", False),
        ("edit", "get", "citadel.dev/executions/log", True),
        ("edit", "create", "citadel.dev/executions", True),
        ("edit", "patch", "citadel.dev/workflows", True),
        ("edit", "create", "citadel.dev/triggers", True),
        ("edit", "patch", "citadel.dev/triggers/status", False),
        ("edit", "create", "citadel.dev/runtimes", False),
        ("edit", "create", "citadel.dev/models", False),
        ("edit", "create", "citadel.dev/agents", True),
        ("edit", "patch", "citadel.dev/agents/status", False),
        ("edit", "create", "citadel.dev/tools", False),
        ("view", "get", "citadel.dev/agents", True),
        ("view", "get", "citadel.dev/tools", True),
        ("admin", "create", "citadel.dev/tools", True),
        ("admin", "patch", "citadel.dev/tools/status", False),
        ("view", "get", "citadel.dev/models", True),
        ("admin", "create", "citadel.dev/models", True),
        ("edit", "patch", "citadel.dev/approvals", True),
        ("edit", "create", "citadel.dev/approvals", False),
        ("edit", "delete", "citadel.dev/approvals", False),
        ("edit", "patch", "citadel.dev/approvals/status", False),
        ("edit", "create", "citadel.dev/executions/signal", True),
        ("view", "create", "citadel.dev/executions/signal", False),
        ("view", "get", "citadel.dev/agents/memory", True),
        ("view", "delete", "citadel.dev/agents/memory", False),
        ("edit", "delete", "citadel.dev/agents/memory", True),
        ("view", "patch", "citadel.dev/approvals", False),
        ("citadel-approver", "patch", "citadel.dev/approvals", True),
        ("citadel-approver", "get", "citadel.dev/executions", False),
        ("edit", "patch", "citadel.dev/executions/status", False),
        ("edit", "create", "citadel.dev/executionpolicies", False),
        ("admin", "create", "citadel.dev/runtimes", True),
        ("admin", "create", "citadel.dev/executionpolicies", False),
        ("admin", "patch", "citadel.dev/executionpolicies", False),
        ("admin", "delete", "citadel.dev/executionpolicies", False),
        ("admin", "patch", "citadel.dev/workflows/status", False),
    ],
)
async def test_the_clusters_own_roles_include_citadels_resources(
    cluster: Cluster, role: str, verb: str, what: str, allowed: bool
) -> None:
    kubectl("-n", cluster.namespace, "create", "rolebinding", "r", f"--clusterrole={role}", "--user=jo")
    # The API server hears of a binding a moment later; what every one of these roles may do tells when.
    for _ in range(600):
        if await may(cluster.kube, "jo", "get", "citadel.dev/approvals", "", cluster.namespace):
            break
        await asyncio.sleep(0.05)
    assert await may(cluster.kube, "jo", verb, what, "", cluster.namespace) is allowed
    assert not await may(cluster.kube, "jo", verb, what, "", "default")


def test_citadels_own_pods_pass_the_restricted_pod_security_standard() -> None:
    pods = json.loads(kubectl("-n", SYSTEM, "get", "pods", "-o", "json"))["items"]
    specs = [{**pod, "metadata": {"name": "x", "namespace": SANDBOXES}} for pod in pods]
    assert len(specs) >= 4
    for pod in specs:
        # What enforces it already, answers for it; names of other namespaces do not matter to a dry run.
        pod["spec"].pop("serviceAccountName", None)
        pod["spec"].pop("serviceAccount", None)
        pod.pop("status", None)
        kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


REACH = """
import socket

def main(targets):
    reached = []
    for host, port in targets:
        try:
            socket.create_connection((host, port), timeout=1).close()
            reached.append([host, port])
        except OSError:
            pass
    return reached
"""


async def test_user_code_reaches_the_gateway_and_nothing_else(cluster: Cluster) -> None:
    async def address(name: str, namespace: str) -> str:
        return str((await cluster.kube.get(SERVICES, name, namespace))["spec"]["clusterIP"])

    system = (await cluster.kube.list(PODS, SYSTEM)).items
    gateway = next(p for p in system if p["metadata"]["labels"]["app.kubernetes.io/component"] == "gateway")
    api = next(p for p in system if p["metadata"]["labels"]["app.kubernetes.io/component"] == "api")
    allowed = [[await address("citadel-gateway", SYSTEM), 443], [gateway["status"]["podIP"], 8443]]
    forbidden = [
        [await address("kubernetes", "default"), 443],
        [await address("citadel-api", SYSTEM), 443],
        [await address("citadel-postgres", SYSTEM), 5432],
        [gateway["status"]["podIP"], 8080],
        [await address("citadel-gateway", SYSTEM), 8444],
        [gateway["status"]["podIP"], 8444],
        [api["status"]["podIP"], 8443],
        [gateway["status"]["hostIP"], 10250],
        [gateway["status"]["hostIP"], 6443],
        ["169.254.169.254", 80],
    ]
    await cluster.workflow(
        "reach",
        [python("reach", REACH, args={"targets": allowed + forbidden})],
        outputs={"reached": "${steps.reach.output}"},
    )
    assert (await cluster.run("reach"))["outputs"]["reached"] == allowed


async def secrets(kube: KubeClient) -> dict[str, Any]:
    found = (await kube.list(SECRETS, SYSTEM)).items
    return {
        s["metadata"]["name"]: s.get("data") for s in found if s["metadata"]["name"].startswith("citadel-")
    }


def installed_values() -> Object:
    """The values of the release, to install it again as it is."""
    return dict(yaml.safe_load(done("get", "values", "citadel", "-n", SYSTEM, "-o", "yaml")))


def has_volume(values: Object) -> bool:
    """Whether the bundled database keeps its data when its pod goes."""
    return bool(values.get("postgres", {}).get("persistence", {}).get("enabled"))


def install(values: Object) -> None:
    """Installs or upgrades, and waits until it is ready."""
    command = ("upgrade", "--install", "citadel", str(CHART), "-n", SYSTEM, "--create-namespace")
    done(*command, "--wait", "--timeout", "3m", values=values)


@pytest.mark.alone
async def test_an_upgrade_to_the_same_restarts_nothing_and_keeps_every_secret(kube: KubeClient) -> None:
    async def pods() -> set[str]:
        return {p["metadata"]["uid"] for p in (await kube.list(PODS, SYSTEM)).items}

    before, running = await secrets(kube), await pods()
    assert all(before.values())
    install(installed_values())
    assert await secrets(kube) == before
    assert await pods() == running


@pytest.mark.alone
async def test_after_the_databases_pod_is_replaced_executions_go_on(cluster: Cluster) -> None:
    nap = "import time\ndef main():\n    time.sleep(8)\n    return 'slept'"
    await cluster.workflow("nap", [python("nap", nap)], outputs={"nap": "${steps.nap.output}"})
    name = await cluster.execute("nap")
    await cluster.until(name, lambda e: e.get("status", {}).get("phase") == "Running")
    kubectl("-n", SYSTEM, "delete", "pod", "citadel-postgres-0")
    # Without a volume its journal is lost, and it says so; in both cases the next one runs.
    ended = await cluster.finished(name, 120)
    expected = "Succeeded" if has_volume(installed_values()) else "Failed"
    assert ended["status"]["phase"] == expected
    assert (await cluster.run("nap", 120))["outputs"] == {"nap": "slept"}


@pytest.mark.alone
async def test_after_uninstalling_no_pod_is_left_and_installing_again_gives_a_working_citadel(
    cluster: Cluster,
) -> None:
    kube = cluster.kube
    await cluster.workflow("again", [python("one", "def main(): return 1")])
    values, before = installed_values(), await secrets(kube)
    try:
        done("uninstall", "citadel", "-n", SYSTEM, "--wait", "--timeout", "2m")
        # Helm waits for what it deleted, which is not the pods.
        for namespace in (SYSTEM, SANDBOXES):
            kubectl("-n", namespace, "wait", "--for=delete", "pod", "--all", "--timeout=60s")
            assert (await kube.list(PODS, namespace)).items == []
        # The passwords stay where the database does.
        kept = {"citadel-database": before["citadel-database"]} if has_volume(values) else {}
        assert await secrets(kube) == kept
        assert "NotFound" in kubectl("get", "namespace", SANDBOXES, check=False)
        # Workflows and executions stay: the chart keeps its CRDs.
        assert kubectl("-n", cluster.namespace, "get", "workflow", "again", "-o", "name")
    finally:
        install(values)
    found = await secrets(kube)
    leaf = x509.load_pem_x509_certificate(b64decode(found["citadel-gateway-tls"]["tls.crt"]))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    service = await kube.get(SERVICES, "citadel-gateway", SYSTEM)
    assert str(names.get_values_for_type(x509.IPAddress)[0]) == service["spec"]["clusterIP"]
    assert (await cluster.run("again"))["phase"] == "Succeeded"
