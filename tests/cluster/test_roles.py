"""The rights that the chart grants: these, and none beside them."""

import pytest

from chart import Object, of_kind, pod_specs, render


def test_gateways_egress_proxy_and_database_have_no_token_and_no_rights() -> None:
    objects = render({})
    without = {c for c, spec in pod_specs(objects) if spec.get("automountServiceAccountToken") is False}
    assert without == {"gateway", "egress", "models", "tools", "postgres"}
    subjects = {
        s["name"] for b in of_kind(objects, "ClusterRoleBinding", "RoleBinding") for s in b["subjects"]
    }
    assert subjects == {"citadel-controller", "citadel-api", "system:authenticated"}


def rules(objects: list[Object], kind: str, name: str, namespace: str | None = None) -> set[str]:
    """A role's rules, each as `group/resource[/name] verbs`."""
    (role,) = [
        o
        for o in of_kind(objects, kind)
        if (o["metadata"]["name"], o["metadata"].get("namespace")) == (name, namespace)
    ]
    return {
        f"{group or 'core'}/{resource}{f'[{only}]' if only else ''}: {' '.join(rule['verbs'])}"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for only in rule.get("resourceNames") or [""]
    }


WRITES = "create update patch delete deletecollection"
ROLES: list[tuple[str, str, str | None, set[str]]] = [
    (
        "ClusterRole",
        "citadel-controller",
        None,
        {
            "citadel.dev/workflows: get list watch",
            "citadel.dev/runtimes: get list watch",
            "citadel.dev/models: get list watch",
            "citadel.dev/agents: get list watch",
            "citadel.dev/tools: get list watch",
            "citadel.dev/executions: get list watch",
            "citadel.dev/executionpolicies: get list watch",
            "citadel.dev/approvals: get list watch",
            "citadel.dev/approvals: create delete",
            "citadel.dev/approvals/status: patch",
            "citadel.dev/executions: delete patch",
            "citadel.dev/triggers: get list watch",
            "citadel.dev/triggers/status: patch",
            "citadel.dev/workflows: create",
            "citadel.dev/executions: create",
            "citadel.dev/workflows/status: patch",
            "citadel.dev/runtimes/status: patch",
            "citadel.dev/models/status: patch",
            "citadel.dev/agents/status: patch",
            "citadel.dev/tools/status: patch",
            "citadel.dev/executions/status: patch",
            "citadel.dev/executionpolicies/status: patch",
            "node.k8s.io/runtimeclasses: get",
            "discovery.k8s.io/endpointslices[kubernetes]: get",
            "core/services[kubernetes]: get",
            "core/events: create patch",
            "core/configmaps: get",
            "core/namespaces: get list watch",
            "core/nodes: get list watch",
        },
    ),
    ("Role", "citadel-controller", "citadel-sandboxes", {"core/pods: get list watch create delete"}),
    (
        "Role",
        "citadel-controller",
        "x",
        {
            "coordination.k8s.io/leases: get create patch",
            "core/pods: get list",
            "core/secrets[citadel-ca]: get patch",
            "core/secrets[citadel-gateway-tls]: get patch",
            "core/secrets[citadel-api-tls]: get patch",
            "core/secrets[citadel-egress-tls]: get patch",
            "core/secrets[citadel-models-tls]: get patch",
            "core/secrets[citadel-models-key]: get patch",
            "core/secrets[citadel-tools-key]: get patch",
            "core/secrets[citadel-database]: get patch",
            "core/configmaps[citadel-ca]: get patch",
            "core/services[citadel-gateway]: get",
            "core/services[citadel-api]: get",
            "core/services[citadel-egress]: get",
            # Its addresses stand in the certificate of its door.
            "core/services[citadel-models]: get",
            "citadel.dev/runtimes: create patch",
        },
    ),
    (
        "ClusterRole",
        "citadel-api",
        None,
        {
            "authentication.k8s.io/tokenreviews: create",
            "authorization.k8s.io/subjectaccessreviews: create",
            "citadel.dev/executions: get",
            "core/namespaces: get",
        },
    ),
    (
        "Role",
        "citadel-api-access",
        "x",
        {
            "core/pods/portforward[citadel-api-0]: create get",
            "core/pods[citadel-api-0]: get",
            "core/configmaps[citadel-ca]: get",
            "citadel.dev/agents: get list",
            "citadel.dev/tools: get list",
        },
    ),
    (
        "ClusterRole",
        "citadel-view",
        None,
        {
            "citadel.dev/workflows: get list watch",
            "citadel.dev/runtimes: get list watch",
            "citadel.dev/models: get list watch",
            "citadel.dev/agents: get list watch",
            "citadel.dev/tools: get list watch",
            "citadel.dev/executions: get list watch",
            "citadel.dev/executionpolicies: get list watch",
            "citadel.dev/workflows/status: get",
            "citadel.dev/runtimes/status: get",
            "citadel.dev/models/status: get",
            "citadel.dev/agents/status: get",
            "citadel.dev/tools/status: get",
            "citadel.dev/executions/status: get",
            "citadel.dev/executionpolicies/status: get",
            "citadel.dev/executions/log: get",
            "citadel.dev/agents/memory: get",
            "citadel.dev/approvals: get list watch",
            "citadel.dev/approvals/status: get",
            "citadel.dev/triggers: get list watch",
            "citadel.dev/triggers/status: get",
        },
    ),
    (
        "ClusterRole",
        "citadel-edit",
        None,
        {
            f"citadel.dev/workflows: {WRITES}",
            f"citadel.dev/agents: {WRITES}",
            f"citadel.dev/executions: {WRITES}",
            f"citadel.dev/triggers: {WRITES}",
            "citadel.dev/approvals: update patch",
            "citadel.dev/executions/signal: create",
            "citadel.dev/agents/memory: delete",
        },
    ),
    ("ClusterRole", "citadel-approver", None, {"citadel.dev/approvals: get list watch update patch"}),
    (
        "ClusterRole",
        "citadel-admin",
        None,
        # A Model says what calls cost, by which budgets are kept, and a Tool where a credential is sent.
        {f"citadel.dev/{kind}: {WRITES}" for kind in ("runtimes", "models", "tools")},
    ),
]


@pytest.mark.parametrize(
    ("kind", "name", "namespace", "expected"), ROLES, ids=[f"{k} {n} {s}" for k, n, s, _ in ROLES]
)
def test_a_role_grants_exactly_this(kind: str, name: str, namespace: str | None, expected: set[str]) -> None:
    assert rules(render({}), kind, name, namespace) == expected


def test_no_role_is_missing_from_the_table_above() -> None:
    objects = render({})
    known = {(kind, name, namespace) for kind, name, namespace, _ in ROLES}
    found = {
        (o["kind"], o["metadata"]["name"], o["metadata"].get("namespace"))
        for o in of_kind(objects, "Role", "ClusterRole")
    }
    assert found == known


def test_port_forwarding_is_granted_to_exactly_the_pods_of_the_api() -> None:
    granted = rules(render({"api": {"replicas": 2}}), "Role", "citadel-api-access", "x")
    assert {rule for rule in granted if "portforward" in rule} == {
        "core/pods/portforward[citadel-api-0]: create get",
        "core/pods/portforward[citadel-api-1]: create get",
    }
    assert not of_kind(render({"api": {"portForward": {"subjects": []}}}), "Role")[0]["metadata"][
        "name"
    ].endswith("access")


def test_without_rbac_create_there_is_no_role_at_all() -> None:
    assert not of_kind(
        render({"rbac": {"create": False}}), "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"
    )
